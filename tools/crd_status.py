"""The status schema of the custom resource definition, made from the declaration of the status.

``modelcache_operator.core.status`` declares it; pydantic makes a JSON schema of that, and this module a structural
schema as Kubernetes wants it: without references, titles, defaults and null.
"""

from __future__ import annotations

from typing import Any

from modelcache_operator.core.status import STATUS

Json = dict[str, Any]

LIST_KEYS = {"models": "name", "conditions": "type", "copies": "node"}
"""Lists that are maps by this field."""


def status_schema() -> Json:
    """For ``properties.status``.

    The default is for kstatus (Helm, Flux), which calls a resource without a status Current; of an older generation it
    is in progress.
    """
    schema = STATUS.json_schema(by_alias=True)
    return {**_structural(schema, schema.pop("$defs")), "default": {"observedGeneration": -1}}


def _structural(schema: Json, definitions: Json) -> Json:
    schema = {key: value for key, value in schema.items() if key not in ("title", "default", "required")}
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if "anyOf" in schema:
        (only,) = (each for each in schema.pop("anyOf") if each.get("type") != "null")
        schema = {**only, **schema}
    if "$ref" in schema:
        target = definitions[schema.pop("$ref").rpartition("/")[2]]
        target.pop("enum", None)  # phases and reasons: a later version may know more words
        return _structural({**target, **schema}, definitions)
    if schema.get("type") == "integer":
        schema["format"] = "int64"
    if "additionalProperties" in schema:
        schema["additionalProperties"] = _structural(schema["additionalProperties"], definitions)
    if "items" in schema:
        schema["items"] = _structural(schema["items"], definitions)
    if "properties" in schema:
        schema["properties"] = {key: _property(key, each, definitions) for key, each in schema["properties"].items()}
    return schema


def _property(name: str, schema: Json, definitions: Json) -> Json:
    found = _structural(schema, definitions)
    if found.get("type") == "array":
        found["x-kubernetes-list-type"] = "map" if name in LIST_KEYS else "atomic"
        if by := LIST_KEYS.get(name):
            found["x-kubernetes-list-map-keys"] = [by]
            found["items"]["required"] = [by]
    return found
