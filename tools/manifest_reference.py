"""docs/reference/manifest.md, made of the definition's schema: types, defaults, limits, descriptions and messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from init_sync.core.manifest_rules import NAME

REFERENCE = Path(__file__).parents[1] / "docs/reference/manifest.md"

Schema = dict[str, Any]

HEAD = """\
<!-- Made by `make generated` from init_sync/core/manifest_schema.py. Edit that table, not this page. -->

# The manifest, field by field

What `kubectl apply` and `init-sync --spec` read. A file may hold other documents beside it; exactly one must be a
`ModelCache`. An unknown key is an error to `init-sync` wherever it stands, and all errors of a manifest are told at
once. How alternatives, links and pins work is in [sync.md](../sync.md#the-manifest); whole manifests are in
[examples](../../examples/).

The same text, in a cluster: `kubectl explain modelcache.spec --recursive`.

## Paths

Paths, patterns and places of links are relative, with `/` between their parts. No part is empty, `.` or `..`, or longer
than 255 bytes; none holds `\\` or control characters. The whole has at most 1,024 characters. Nothing may lie below
`.modelcache`, which is the cache's own. A pattern may end in `/`: all below that directory.

## Repositories and revisions

A repository is `owner/name` or `name`, of letters, digits, `.`, `_` and `-`, with no `--`, no `..` and no `.git` at the
end. A revision holds no white space, none of `~ ^ : ? * [ \\` and no `..`, `//` or `@{`. It does not begin
with `/`, nor end with `/` or `.`.
"""

STATUS_HEAD = """\
What the operator writes. Its phases and conditions are explained in [operator.md](../operator.md#phases), its reasons
in [operations.md](../operations.md#reasons).
"""


def page(root: Schema) -> str:
    """The whole of it."""
    fields = [_section(path, each) for path, each in tables(root) if not path.startswith("status")]
    status = [_section(path, each) for path, each in tables(root) if path.startswith("status")]
    return "\n".join([HEAD, *fields, _with_head(status[0]), *status[1:]])


def tables(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every object with fields of its own, with its path, outer ones first."""
    properties = schema.get("properties", {})
    if path and properties and not _is_foreign(schema):
        yield path, schema
    for name, field in properties.items():
        inner = f"{path}.{name}" if path else name
        yield from tables(field.get("items", field), f"{inner}[]" if "items" in field else inner)


def _with_head(text: str) -> str:
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{STATUS_HEAD}{rest}"


def _section(path: str, schema: Schema) -> str:
    lines = [f"## {path}", "", *([schema["description"], ""] if "description" in schema else [])]
    rules = [rule["message"] for rule in schema.get("x-kubernetes-validations", ())]
    if rules:
        lines += ["Refused, with these words: " + "; ".join(f"“{rule}”" for rule in rules) + ".", ""]
    required = (*schema.get("required", ()), *(["name"] if path == "metadata" else []))
    rows: list[tuple[str, ...]] = [
        (
            f"`{name}`",
            _type(field, f"{path}.{name}"),
            "**required**" if name in required else _default(field),
            _meaning(field) or f"The {name} of the cache.",
            _rules(field),
        )
        for name, field in schema["properties"].items()
    ]
    return "\n".join([*lines, *_table(("field", "type", "default", "meaning", "rules"), rows), ""])


def _table(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Without the columns that are empty in every row."""
    used = [index for index in range(len(titles)) if any(row[index] for row in rows)]
    lines = [[titles[index] for index in used], ["---"] * len(used), *([row[index] for index in used] for row in rows)]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def _is_foreign(schema: Schema) -> bool:
    """A type of Kubernetes' own, of which only the key is described."""
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))


def _type(field: Schema, path: str) -> str:
    if "items" in field:
        items = field["items"]
        if items["type"] != "object":
            return f"list of {items['type']}s"
        return "list, as in a pod" if _is_foreign(items) else f"list of [{path}[]]({_anchor(path)})"
    if _is_foreign(field):
        return "as in a pod"
    if "additionalProperties" in field:
        return f"{field['additionalProperties']['type']} for each key"
    if "properties" in field:
        return f"[{path}]({_anchor(path)})"
    return "time" if field.get("format") == "date-time" else str(field["type"])


def _anchor(path: str) -> str:
    return "#" + path.lower().replace(".", "").replace("[]", "")


def _default(field: Schema) -> str:
    if "default" not in field:
        return ""
    return f"`{json.dumps(field['default']).strip(chr(34))}`"


def _meaning(field: Schema) -> str:
    return " ".join(str(field.get("description", "")).split())


def _rules(field: Schema) -> str:
    items = field.get("items", {})
    of_items = _of_value(items) if items.get("type") == "string" else ()
    return "; ".join([*_of_list(field), *_of_value(field), *of_items])


def _of_list(field: Schema) -> Iterator[str]:
    if "items" not in field:
        return
    if "maxItems" in field:
        least = field.get("minItems")
        yield f"{least} to {field['maxItems']} entries" if least else f"at most {field['maxItems']} entries"
    if keys := field.get("x-kubernetes-list-map-keys"):
        yield f"`{keys[0]}` is unique"
    yield from (rule["message"] for rule in field.get("x-kubernetes-validations", ()))


def _of_value(field: Schema) -> Iterator[str]:
    if "allOf" in field:
        yield "a [path](#paths)"
        return
    if "enum" in field:
        yield "one of " + ", ".join(f"`{value}`" for value in field["enum"])
    if "pattern" in field:  # the name, of which a definition may say no more
        yield NAME.cure
    if field["type"] == "string":
        yield from (rule["message"] for rule in field.get("x-kubernetes-validations", ()))
    if "maxLength" in field:
        yield f"at most {field['maxLength']} characters"
    if "minimum" in field:
        yield f"at least {field['minimum']}"
