"""The definition of this version beside that of 0.1.0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from support.cluster import CRD
from support.first_release import FirstRelease

Json = dict[str, Any]


def fields(schema: Json, path: str) -> Iterator[tuple[str, Json]]:
    """Every field with its schema, as ``spec.volume.claimName``, ``spec.models[].name``."""
    for name, field in schema.get("properties", {}).items():
        yield f"{path}.{name}", field
        yield from fields(field, f"{path}.{name}")
        yield from fields(field.get("items", {}), f"{path}.{name}[]")


def spec_of(definition: Json) -> dict[str, Json]:
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return {"spec": spec} | dict(fields(spec, "spec"))


def test_nothing_is_filled_into_a_stored_cache_that_0_1_0_refuses_after_a_rollback(first_release: FirstRelease) -> None:
    old, new = spec_of(first_release.definition), spec_of(yaml.safe_load(CRD.read_text()))
    filled_in = [
        path for path, field in new.items() if "default" in field and path.rpartition(".")[0].removesuffix("[]") in old
    ]
    assert filled_in
    assert [path for path in filled_in if path not in old] == []


def test_no_field_is_gone(first_release: FirstRelease) -> None:
    old, new = spec_of(first_release.definition), spec_of(yaml.safe_load(CRD.read_text()))
    assert old.keys() - new.keys() == set()
