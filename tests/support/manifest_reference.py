"""``make docs``: docs/reference/manifest.md, made from the custom resource definition.

Types, defaults, limits and descriptions are the schema's own. What it can only say as a regular expression is put into
words here, once for each expression, with samples that a test holds against it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
DEFINITION = ROOT / "charts" / "modelcache" / "crds" / "modelcaches.yaml"
REFERENCE = ROOT / "docs" / "reference" / "manifest.md"

Schema = dict[str, Any]

HEAD = """\
<!-- Made by `make docs` from charts/modelcache/crds/modelcaches.yaml. Edit that file, not this one. -->

# The manifest, field by field

What `kubectl apply` and `init-sync --spec` read. A file may hold other documents beside it; exactly one must be a
`ModelCache`. An unknown key is an error to `init-sync` wherever it stands, and all errors of a manifest are told at
once. How alternatives, links and pins work is in [sync.md](../sync.md#the-manifest); whole manifests are in
[examples](../../examples/).

The same text, in a cluster: `kubectl explain modelcache.spec --recursive`.

## Paths

Paths, patterns and places of links are relative, with `/` between their parts. No part is empty, `.` or `..`, or longer
than 255 bytes; none holds `\\` or control characters. The whole has at most 1,024 characters. Nothing may lie below
`.modelcache`, which is the cache's own.
"""

STATUS_HEAD = """\
What the operator writes. Its phases and conditions are explained in [operator.md](../operator.md#phases), its reasons
in [operations.md](../operations.md#reasons).
"""


@dataclass(frozen=True, slots=True)
class Wording:
    """A pattern in words."""

    field: str
    """Where the schema has it; any other field with the same pattern gets the same words."""
    words: str
    accepts: tuple[str, ...]
    refuses: tuple[str, ...]


WORDINGS = (
    Wording(
        "metadata.name",
        "lower-case letters, digits and `-`, beginning and ending with a letter or digit",
        ("multitalk", "a-1"),
        ("Multi", "-a", "a.b"),
    ),
    Wording("spec.models[].displayName", "on one line", ("Base model", "基"), ("a\nb", "")),
    Wording(
        "spec.models[].repo",
        "`owner/name` or `name`; letters, digits, `.`, `_` and `-`",
        ("Wan-AI/Wan2.1-I2V-14B-480P", "gpt2"),
        ("a/b/c", "https://huggingface.co/a/b", ".a/b"),
    ),
    Wording(
        "spec.models[].revision",
        "no white space, none of `~ ^ : ? * [ \\`, no `/` at the beginning",
        ("main", "refs/pr/1", "v1.0"),
        ("a b", "/main", "a:b"),
    ),
    Wording(
        "spec.models[].path",
        "a [path](#paths)",
        ("a", "a/b.c", ".hidden", "..."),
        ("/a", "a//b", "a/../b", ".", "a/", "a\\b"),
    ),
    Wording(
        "spec.models[].include[]",
        "a [path](#paths), which may end in `/`",
        ("*.json", "google/", "[ab]?.bin"),
        ("/a", "../*", "a//b"),
    ),
    Wording(
        "spec.volume.claimName",
        "lower-case letters, digits, `-` and `.`, beginning and ending with a letter or digit",
        ("multitalk-models", "a.b"),
        ("A", "a_b", "-a"),
    ),
    Wording(
        "spec.volume.create.size",
        "a number with a unit such as `Gi`; no sign, no exponent",
        ("110Gi", "1.5T", "5"),
        ("-1Gi", "1e3", "110 Gi"),
    ),
    Wording("spec.auth.key", "letters, digits, `-`, `_` and `.`", ("token", "A_b.c"), ("a b", "a/b")),
)

RULES = {
    "is no repository's name on the hub; use OWNER/NAME": "no `--`, no `..`, no `.git` at the end",
    "is no revision; use a branch, a tag, a commit or 'refs/pr/N'": "no `..`, `//` or `@{`, no `.` or `/` at the end",
    "must be a relative path without '..'": "",
    "'.modelcache' is reserved for the cache's own files; choose another path": "",
}
"""Rules of single strings: the message, which answers a mistake, and the rule itself in words (empty: told above)."""
PATH_LENGTH = 1024
"""Told above, too."""


def main() -> int:
    REFERENCE.parent.mkdir(exist_ok=True)
    REFERENCE.write_text(reference(schema()))
    print(f"wrote {REFERENCE.relative_to(ROOT)}")
    return 0


def schema() -> Schema:
    definition: Schema = yaml.safe_load(DEFINITION.read_text())
    (version,) = definition["spec"]["versions"]
    found: Schema = version["schema"]["openAPIV3Schema"]
    return found


def reference(root: Schema) -> str:
    """The whole page."""
    patterns = {pattern_at(root, each.field): each.words for each in WORDINGS}
    fields = [_section(path, each, patterns) for path, each in tables(root) if not path.startswith("status")]
    status = [_section(path, each, patterns) for path, each in tables(root) if path.startswith("status")]
    return "\n".join([HEAD, *fields, *(text if index else _with_head(text) for index, text in enumerate(status))])


def tables(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every object with fields of its own, with its path, outer ones first."""
    properties = schema.get("properties", {})
    if path and properties and not _is_foreign(schema):
        yield path, schema
    for name, field in properties.items():
        inner = f"{path}.{name}" if path else name
        yield from tables(field.get("items", field), f"{inner}[]" if "items" in field else inner)


def pattern_at(root: Schema, path: str) -> str:
    found = root
    for part in path.split("."):
        found = found["properties"][part.removesuffix("[]")]
        found = found["items"] if part.endswith("[]") else found
    pattern: str = found["pattern"]
    return pattern


def _with_head(text: str) -> str:
    title, _, rest = text.partition("\n")
    return f"{title}\n\n{STATUS_HEAD}{rest}"


def _section(path: str, schema: Schema, patterns: dict[str, str]) -> str:
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
            _rules(field, patterns),
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
    value = field["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _meaning(field: Schema) -> str:
    return " ".join(str(field.get("description", "")).split())


def _rules(field: Schema, patterns: dict[str, str]) -> str:
    items = field.get("items", {})
    of_items = _of_value(items, patterns) if items.get("type") == "string" else ()
    return "; ".join([*_of_list(field), *_of_value(field, patterns), *of_items])


def _of_list(field: Schema) -> Iterator[str]:
    if "items" not in field:
        return
    if "maxItems" in field:
        least = field.get("minItems")
        yield f"{least} to {field['maxItems']} entries" if least else f"at most {field['maxItems']} entries"
    if keys := field.get("x-kubernetes-list-map-keys"):
        yield f"`{keys[0]}` is unique"
    yield from (rule["message"] for rule in field.get("x-kubernetes-validations", ()))


def _of_value(field: Schema, patterns: dict[str, str]) -> Iterator[str]:
    """Bounds, values and patterns; length in bytes (``allOf``) is part of a pattern's words."""
    if "enum" in field:
        yield "one of " + ", ".join(f"`{value}`" for value in field["enum"] if value is not None)
    if "pattern" in field:
        yield patterns[field["pattern"]]
    if field["type"] == "string":
        rules = (RULES[rule["message"]] for rule in field.get("x-kubernetes-validations", ()))
        yield from filter(None, rules)
    if field.get("maxLength", PATH_LENGTH) != PATH_LENGTH:
        yield f"at most {field['maxLength']} characters"
    if "minimum" in field:
        yield f"at least {field['minimum']}"


if __name__ == "__main__":
    sys.exit(main())
