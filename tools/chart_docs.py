"""The chart's documents from their sources.

values.yaml              # -- Size of the claim    a comment on every value: the only place for its description
                         size: 120Gi
the manifest's table     what is copied into a ModelCache
  |
  +--> README.md             the tables between the two markers; all else in it is written by hand
  +--> values.schema.json    "description" everywhere, cache.models and cache.job whole; all else is written by hand
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

import crd
from init_sync.core.fields import Choice, Field, Group, Listing
from init_sync.core.manifest_job import JOB
from init_sync.core.manifest_schema import SPEC

CHART = Path(__file__).parents[1] / "charts/modelcache"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
SHOWN = 48
"""Longer defaults are left to values.yaml."""
SHARED = (
    *("type", "description", "required", "additionalProperties"),
    *("minItems", "maxItems", "minimum", "minLength", "maxLength"),
)
"""What a Helm schema takes from the definition. Rules stay with the API server, whose messages say more."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Value:
    """One key of values.yaml."""

    path: tuple[str, ...]
    comment: str
    """Empty if there is none."""
    default: Any
    group: bool
    """A mapping whose keys have comments of their own."""


def read_values(text: str) -> list[Value]:
    """Every key, in the order of the file; what lies inside of a described value without groups is left out."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    return list(_keys(root, yaml.safe_load(text), (), text.splitlines()))


def _keys(node: yaml.Node | None, data: Any, path: tuple[str, ...], lines: list[str]) -> Iterator[Value]:
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        return
    for key, inner in node.value:
        here, default = (*path, key.value), data[key.value]
        comment = _comment_above(lines, key.start_mark.line)
        below = list(_keys(inner, default, here, lines))
        described = any(each.comment for each in below)
        yield Value(here, comment, default, described)
        if described or not comment:
            yield from below


def _comment_above(lines: list[str], line: int) -> str:
    """The comment that ends right above a line, from its ``# -- `` on."""
    found: list[str] = []
    for text in reversed(lines[:line]):
        stripped = text.strip()
        if not stripped.startswith("#"):
            return ""
        found.insert(0, stripped.removeprefix("# -- ").removeprefix("#").strip())
        if stripped.startswith("# -- "):
            return " ".join(found)
    return ""


def readme(text: str, values: list[Value]) -> str:
    """The README with its tables renewed."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = re.sub(r"\n{3,}", "\n\n", "\n".join(_tables(values)))
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def _tables(values: list[Value]) -> Iterator[str]:
    sections = [each for each in values if len(each.path) == 1 and each.group and each.path != ("podSecurityContext",)]
    titles = {each.path[0] for each in sections}
    yield from _table([each for each in values if each.path[0] not in titles])
    for section in sections:
        yield f"\n### {section.path[0]}\n\n{section.comment}\n"
        yield from _table([each for each in values if each.path[0] == section.path[0] and len(each.path) > 1])


def _table(values: list[Value]) -> Iterator[str]:
    yield "| value | default | |\n| --- | --- | --- |"
    for each in values:
        if each.comment and not (each.group and len(each.path) > 1):
            yield f"| `{'.'.join(each.path)}` | {_default(each)} | {each.comment.replace('|', chr(92) + '|')} |"


def _default(value: Value) -> str:
    text = json.dumps(value.default, ensure_ascii=False)
    if value.group:
        return ""
    return f"`{text}`" if len(text) <= SHOWN else "see values.yaml"


def schema(text: str, values: list[Value]) -> str:
    """The schema with its descriptions, and with what is the manifest's, renewed."""
    document = json.loads(text)
    cache = document["properties"]["cache"]["properties"]
    cache["models"] = of_manifest(SPEC.fields["models"])
    cache["job"] = of_manifest(JOB)
    for value in values:
        property_ = _property(document, value.path)
        if value.comment and property_ is not None:
            property_["description"] = value.comment
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _property(document: Json, path: tuple[str, ...]) -> Json | None:
    """Where the schema speaks of a value itself; None where a shared definition does."""
    for name in path:
        if name not in document.get("properties", {}):
            return None
        document = document["properties"][name]
    return document


def of_manifest(field: Field) -> Json:
    found = {key: value for key, value in crd.schema(field).items() if key in SHARED}
    match field:
        case Choice():
            return {"enum": list(field.values), "description": field.description}
        case Listing():
            return {**found, "items": of_manifest(field.of)}
        case Group():
            properties = {name: of_manifest(each) for name, each in field.fields.items()}
            return {**found, "properties": properties, "additionalProperties": field.native}
    return found


def documents() -> dict[Path, str]:
    """What each generated file must hold."""
    values = read_values((CHART / "values.yaml").read_text())
    page, rules = CHART / "README.md", CHART / "values.schema.json"
    return {page: readme(page.read_text(), values), rules: schema(rules.read_text(), values)}


def undescribed(text: str) -> list[str]:
    """Values without a comment that no comment above covers."""
    return [".".join(each.path) for each in read_values(text) if not each.comment and not each.group]
