"""The values and their schema: each described once, and in step with what they are passed on to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

import chart_docs
from inference.server.config import ServerConfig
from init_sync.shell.flags import declared
from modelcache_operator.core import jobs
from modelcache_operator.core.limits import FORBIDDABLE
from support.helm import CHART

Json = dict[str, Any]
VALUES = CHART / "values.yaml"
SCHEMA: Json = json.loads((CHART / "values.schema.json").read_text())


def _schema_at(path: tuple[str, ...]) -> Json:
    schema = SCHEMA
    for name in path:
        schema = _resolved(schema["properties"][name])
    return schema


def test_a_group_of_values_cannot_be_emptied() -> None:
    """Templates look into it."""
    groups = [each.path for each in chart_docs.read_values(VALUES.read_text()) if each.group]
    assert len(groups) > 20
    optional = [path for path in groups if path[-1] not in _schema_at(path[:-1]).get("required", ())]
    assert optional == [("global",), ("podSecurityContext", "seccompProfile"), ("monitoring", "rules", "thresholds")]


def test_a_switch_that_chooses_between_two_cannot_be_emptied() -> None:
    """An `if` takes null for false; a `ternary` ends in an error that names no value."""
    texts = "".join(each.read_text() for each in sorted((CHART / "templates").rglob("*.*")))
    switches = {tuple(each.split(".")) for each in re.findall(r"(?<!empty )\.Values\.([\w.]+) \| ternary", texts)}
    assert ("operator", "enabled") in switches
    assert [path for path in switches if path[-1] not in _schema_at(path[:-1]).get("required", ())] == []


def test_the_fields_that_can_be_forbidden_are_the_operators() -> None:
    forbid = _schema_at(("operator", "limits"))["properties"]["forbid"]
    assert forbid["items"]["enum"] == list(FORBIDDABLE)


def test_the_default_memory_of_a_sync_is_the_operators() -> None:
    assert yaml.safe_load(VALUES.read_text())["sync"]["resources"] == jobs.RESOURCES


def test_every_value_has_a_comment() -> None:
    assert chart_docs.undescribed(VALUES.read_text()) == []


def test_a_missing_comment_is_noticed() -> None:
    assert chart_docs.undescribed("a:\n  # -- told\n  b: 1\n  c: 2\n# told by the one above\nd: 3\n") == ["a.c", "d"]


def test_the_schema_knows_exactly_the_values() -> None:
    named = {each.path for each in chart_docs.read_values(VALUES.read_text())}
    missing = [path for path in named if not _allowed(SCHEMA, path)]
    assert missing == []
    unnamed = {path for path in _properties(SCHEMA) if path not in named}
    assert unnamed == {("crds", "global"), ("inference", "gpu", "count")}  # the latter is refused with its new name


def _resolved(schema: Json) -> Json:
    reference = schema.get("$ref", "")
    return SCHEMA["$defs"][reference.rpartition("/")[2]] if reference else schema


def _allowed(schema: Json, path: tuple[str, ...]) -> bool:
    for name in path:
        schema = _resolved(schema)
        if name not in schema.get("properties", {}):
            return False
        schema = schema["properties"][name]
    return True


FREE = {
    ("cache", "models"),
    ("cache", "job"),
    ("inference", "settings"),
    ("inference", "rollingUpdate"),
    ("operator", "probes", "readiness"),
    ("operator", "probes", "liveness"),
}
"""Empty or whole by default, with keys that the schema alone names."""


def _properties(schema: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, inner in _resolved(schema).get("properties", {}).items():
        here = (*path, name)
        yield here
        if here not in FREE and name not in ("resources", "seccompProfile"):
            yield from _properties(inner, here)


def test_every_object_of_the_schema_says_which_keys_it_takes() -> None:
    def loose(schema: Json, path: str) -> Iterator[str]:
        schema = _resolved(schema)
        if "properties" in schema and "additionalProperties" not in schema and path != ".podSecurityContext":
            yield path
        for name, inner in schema.get("properties", {}).items():
            yield from loose(inner, f"{path}.{name}")

    kubernetes_own = (".cache.job",)
    assert [path for path in loose(SCHEMA, "") if not path.startswith(kubernetes_own)] == []


def test_every_value_is_described_in_the_schema() -> None:
    def silent(schema: Json, path: str) -> Iterator[str]:
        whole = {**_resolved(schema), **schema}
        if "description" not in whole and "properties" not in whole:
            yield path
        for name, inner in whole.get("properties", {}).items():
            yield from silent(inner, f"{path}.{name}")

    assert list(silent(SCHEMA, "")) == []


def test_the_schema_describes_a_setting_as_the_server_does() -> None:
    settings = SCHEMA["properties"]["inference"]["properties"]["settings"]["properties"]
    for each in declared(ServerConfig):
        if (name := _camel(each.name)) in settings:
            assert settings[name]["description"] == each.help


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def test_settings_are_the_flags_of_the_server_but_for_those_that_follow() -> None:
    derived = {
        "spec",
        "volume",
        "port",
        "host",
        "allowed_hosts",
        "api_key_file",
        "scratch",
        "scratch_gib",
        "gpus",
        "grace_s",
    }
    camel = {_camel(each.name) for each in declared(ServerConfig) if each.name not in derived}
    assert set(SCHEMA["properties"]["inference"]["properties"]["settings"]["properties"]) == camel
