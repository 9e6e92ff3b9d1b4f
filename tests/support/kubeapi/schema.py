"""Structural schemas: defaults, pruning, validation and CEL rules, as the API server does them for custom resources.

CEL is evaluated by a maintained library, without the server's cost limits: a rule that is too expensive passes here and
is refused there.
"""

from __future__ import annotations

import copy
import json
import re
from functools import lru_cache
from typing import Any

import cel

from support.kubeapi.errors import ApiError

Json = dict[str, Any]
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "integer": (int,),
}


class Conformity:
    """One pass of one object against one schema."""

    def __init__(self) -> None:
        self.errors: list[str] = []
        self.unknown: list[str] = []
        self._blocking = 0
        """Errors that keep the rules around them from being asked, for these rely on types, sizes and what is there."""

    def check(self, value: Any, schema: Json, path: str = "") -> Any:
        """The value with defaults filled in and unknown fields removed; problems are collected."""
        if schema.get("x-kubernetes-int-or-string") or (value is None and schema.get("nullable")):
            return value
        kind = schema.get("type")
        if kind in TYPES and (
            not isinstance(value, TYPES[kind]) or (kind in ("integer", "number") and isinstance(value, bool))
        ):
            self._wrong(path, value, f"must be of type {kind}", blocking=True)
            return value
        before = self._blocking
        self._scalar(value, schema, path)
        if kind == "array":
            value = self._array(value, schema, path)
        elif kind == "object":
            value = self._object(value, schema, path)
        if self._blocking == before:
            self._rules(value, schema, path)
        return value

    def _wrong(self, path: str, value: Any, what: str, blocking: bool = False) -> None:
        self.errors.append(f"{path}: Invalid value: {json.dumps(value)[:100]}: {what}")
        self._blocking += blocking

    def _refuse(self, error: str) -> None:
        self.errors.append(error)
        self._blocking += 1

    def _scalar(self, value: Any, schema: Json, path: str) -> None:
        if "enum" in schema and value not in schema["enum"]:
            allowed = ", ".join(map(json.dumps, schema["enum"]))
            self._refuse(f"{path}: Unsupported value: {json.dumps(value)}: supported values: {allowed}")
        if isinstance(value, str):
            self._string(value, schema, path)
            for part in schema.get("allOf", ()):
                self._string(value, part, path)
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            if value < schema.get("minimum", value):
                self._wrong(path, value, f"should be greater than or equal to {schema['minimum']}")
            if value > schema.get("maximum", value):
                self._wrong(path, value, f"should be less than or equal to {schema['maximum']}")

    def _string(self, value: str, schema: Json, path: str) -> None:
        if "pattern" in schema and not re.search(re.sub(r"\$$", r"\\Z", schema["pattern"]), value):
            self._wrong(path, value, f"should match '{schema['pattern']}'")
        if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)):
            self._wrong(path, value, "is too short or too long", blocking=True)

    def _array(self, value: list[Any], schema: Json, path: str) -> list[Any]:
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            self._wrong(path, value, "has too few or too many items", blocking=True)
        items = [self.check(each, schema.get("items", {}), f"{path}[{index}]") for index, each in enumerate(value)]
        if schema.get("x-kubernetes-list-type") == "map":
            keys = schema["x-kubernetes-list-map-keys"]
            found = [tuple(each.get(key) for key in keys) for each in items if isinstance(each, dict)]
            for index, each in enumerate(found):
                if each in found[:index]:
                    self._refuse(f"{path}[{index}]: Duplicate value: {json.dumps(each)}")
        return items

    def _object(self, value: Json, schema: Json, path: str) -> Json:
        properties = schema.get("properties", {})
        result = {}
        for key, each in value.items():
            inner = properties.get(key, {})
            if each is None and "default" in inner and not inner.get("nullable"):
                continue  # dropped before defaulting
            result[key] = each
        for key, inner in properties.items():
            if key not in result and "default" in inner:
                result[key] = copy.deepcopy(inner["default"])
        for key in schema.get("required", []):
            if key not in result:
                self._refuse(f"{path}.{key}: Required value".lstrip("."))
        for key in list(result):
            self._field(result, key, schema, path)
        return result

    def _field(self, result: Json, key: str, schema: Json, path: str) -> None:
        where = f"{path}.{key}".lstrip(".")
        properties, extra = schema.get("properties", {}), schema.get("additionalProperties")
        if not path and key in ("apiVersion", "kind"):
            return
        if not path and key == "metadata":
            self._metadata(result[key], properties.get(key, {}))
        elif key in properties:
            result[key] = self.check(result[key], properties[key], where)
        elif isinstance(extra, dict):
            result[key] = self.check(result[key], extra, where)
        elif not (extra or schema.get("x-kubernetes-preserve-unknown-fields")):
            self.unknown.append(where)
            del result[key]

    def _metadata(self, metadata: Json, schema: Json) -> None:
        """Only name and generateName may be restricted."""
        for key, inner in schema.get("properties", {}).items():
            if key in metadata:
                self.check(metadata[key], inner, f"metadata.{key}")

    def _rules(self, value: Any, schema: Json, path: str) -> None:
        for rule in schema.get("x-kubernetes-validations", ()):
            if not _program(rule["rule"]).execute({"self": _without_null(value)}):
                self._wrong(path, value, rule.get("message") or f"failed rule: {rule['rule']}")


@lru_cache(maxsize=256)
def _program(rule: str) -> Any:
    return cel.compile(rule)


def _without_null(value: Any) -> Any:
    """``has()`` is false for a null."""
    if isinstance(value, dict):
        return {key: _without_null(each) for key, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list) else value


METADATA_FIELDS = frozenset(
    {
        *("annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers"),
        *("generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences"),
        *("resourceVersion", "selfLink", "uid"),
    }
)


def conform(value: Json, schema: Json, title: str, validation: str) -> tuple[Json, str]:
    """The object as it is stored, and a warning or nothing; ``validation``: Strict, Warn or Ignore.

    Raises:
        ApiError: 400 for unknown fields under strict validation, 422 for anything else that is wrong.
    """
    pass_ = Conformity()
    result = pass_.check(value, schema)
    pass_.unknown += [f"metadata.{key}" for key in value.get("metadata", {}) if key not in METADATA_FIELDS]
    if pass_.unknown and validation == "Strict":
        raise ApiError(400, "BadRequest", f'strict decoding error: unknown field "{pass_.unknown[0]}"')
    if pass_.errors:
        found = pass_.errors[0] if len(pass_.errors) == 1 else f"[{', '.join(pass_.errors)}]"
        raise ApiError(422, "Invalid", f"{title} is invalid: {found}")
    warning = f'299 - "unknown field \\"{pass_.unknown[0]}\\""' if pass_.unknown and validation == "Warn" else ""
    return result, warning
