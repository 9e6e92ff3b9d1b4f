"""The chart's documents from their sources: ``python tests/support/chart_docs.py`` (``make chart-docs``) writes them.

values.yaml    # -- Size of the claim        a comment on every value: the only place for its description
               size: 120Gi
the CRD        descriptions and rules of what is copied into a ModelCache
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

CHART = Path(__file__).parents[2] / "charts/modelcache"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"
SHOWN = 48
"""Longer defaults are left to values.yaml."""
FROM_CRD = ("type", "properties", "additionalProperties", "items", "required", "description", "enum")
BOUNDS = ("minItems", "maxItems", "minimum", "minLength", "maxLength")

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
    tables = "\n".join(_tables(values))
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


def schema(text: str, values: list[Value], crd: Json) -> str:
    """The schema with its descriptions, and with what is the CRD's, renewed."""
    document = json.loads(text)
    cache = document["properties"]["cache"]["properties"]
    spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    cache["models"] = _from_crd(spec["models"])
    cache["job"] = _from_crd(spec["sync"]["properties"]["job"])
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


def _from_crd(crd: Json) -> Json:
    """What JSON schema and Helm understand of it; patterns stay with the API server, whose messages say more."""
    found = {key: crd[key] for key in (*FROM_CRD, *BOUNDS) if key in crd}
    if "enum" in found:
        found["enum"] = [each for each in found["enum"] if each is not None]
        found.pop("type", None)
    if "properties" in found:
        found["properties"] = {key: _from_crd(inner) for key, inner in found["properties"].items()}
        if not crd.get("x-kubernetes-preserve-unknown-fields"):
            found["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _from_crd(found[key])
    return found


def documents() -> dict[Path, str]:
    """What each generated file must hold."""
    values = read_values((CHART / "values.yaml").read_text())
    crd = yaml.safe_load((CHART / "crds/modelcaches.yaml").read_text())
    page, rules = CHART / "README.md", CHART / "values.schema.json"
    return {page: readme(page.read_text(), values), rules: schema(rules.read_text(), values, crd)}


def undescribed(text: str) -> list[str]:
    """Values without a comment that no comment above covers."""
    return [".".join(each.path) for each in read_values(text) if not each.comment and not each.group]


if __name__ == "__main__":
    if missing := undescribed((CHART / "values.yaml").read_text()):
        raise SystemExit(f"values.yaml: a comment that begins with '# --' is missing above {', '.join(missing)}")
    for path, content in documents().items():
        path.write_text(re.sub(r"\n{3,}", "\n\n", content))
