"""Objects held against the schemas of Kubernetes' newest minors, strictly: unknown fields are errors.

The schemas are those that the package kubernetes-validate carries; read once for each minor, for that takes longer than
using them.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from kubernetes_validate.utils import all_versions, schema_contents  # type: ignore[import-untyped]
from referencing import Registry, Resource

Json = dict[str, Any]
MINORS: tuple[str, ...] = tuple(dict.fromkeys(all_versions()))[-3:]
"""The newest that the package knows, oldest first."""


def schema_problems(document: Json, version: str) -> list[str]:
    """What is wrong with it in that version, a line each."""
    validator = _validator(document["kind"], document["apiVersion"], version)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


@cache
def _validator(kind: str, api_version: str, version: str) -> Draft202012Validator:
    group, _, rest = api_version.rpartition("/")
    name = f"{kind}-{group.split('.')[0]}-{rest}" if group else f"{kind}-{rest}"
    schema = schema_contents(f"{_folder(version)}/{name.lower()}.json", version)
    registry: Registry[Any] = _definitions(version)
    return Draft202012Validator(schema, registry=Resource.from_contents(schema) @ registry)


@cache
def _definitions(version: str) -> Registry[Any]:
    definitions = Resource.from_contents(schema_contents(f"{_folder(version)}/_definitions.json", version))
    empty: Registry[Any] = Registry()
    return definitions @ empty


def _folder(version: str) -> str:
    return f"kubernetes-json-schema/v{version}-local-strict"
