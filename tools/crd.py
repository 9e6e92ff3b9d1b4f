"""The custom resource definition, made of the table that the command reads manifests with.

The API server understands neither Python nor all of its expressions. So what ``init_sync`` says in Python has a second
form here: the rules of a path, and each ``Rule`` as CEL. One table of good and bad manifests is run through both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from crd_columns import columns
from crd_status import status_schema
from init_sync.core import fields
from init_sync.core.manifest_rules import NAME
from init_sync.core.manifest_schema import CACHE_NAME, DOCUMENT, KIND, SPEC

ROOT = Path(__file__).parents[1]
DEFINITION = ROOT / "charts/modelcache/charts/crds/crds/modelcaches.yaml"
HEAD = """\
# The custom resource ModelCache. Made by `make generated` from init_sync/core/manifest_schema.py; edit that table.
#
# Whatever this schema accepts, `init-sync sync --spec` accepts too, and the other way round: one table of good and bad
# manifests is run through both.
#
#   kubectl explain modelcache.spec --recursive
"""

Json = dict[str, Any]


def metadata() -> Json:
    """The chart's admission policy compares the version. A definition that is pruned takes every ModelCache with it."""
    notes = {
        "argocd.argoproj.io/sync-options": "Prune=false",
        "modelcache.dev/chart-version": (ROOT / "VERSION").read_text().strip(),
    }
    return {"name": "modelcaches.modelcache.dev", "annotations": notes}


def definition() -> Json:
    """The whole object."""
    version = {
        "name": "v1alpha1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": columns(),
        "schema": {"openAPIV3Schema": root()},
    }
    names = {"kind": KIND, "listKind": "ModelCacheList", "plural": "modelcaches", "singular": "modelcache"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": metadata(),
        "spec": {
            "group": "modelcache.dev",
            "scope": "Namespaced",
            "names": {**names, "shortNames": ["mdlc"]},
            "versions": [version],
        },
    }


def text() -> str:
    return HEAD + yaml.dump(definition(), Dumper=_Dumper, sort_keys=False, width=120)


def root() -> Json:
    """Of metadata a definition may restrict the name alone, and by no rule in CEL."""
    name = {"type": "string", "maxLength": CACHE_NAME.max_length, "pattern": f"^{NAME.pattern}$"}
    return {
        "type": "object",
        "description": DOCUMENT.description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": DOCUMENT.fields["apiVersion"].description},
            "kind": {"type": "string", "description": DOCUMENT.fields["kind"].description},
            "metadata": {"type": "object", "properties": {"name": name}},
            "spec": schema(SPEC),
            "status": status_schema(),
        },
    }


def schema(field: fields.Field) -> Json:
    """Of one field and all below it."""
    found: Json = {"type": _type(field), "description": _description(field), **_content(field)}
    rules = [*_text_rules(field), *field.cel]
    if rules:
        found["x-kubernetes-validations"] = [{"rule": rule, "message": message} for rule, message in rules]
    if field.default is not None and not field.unset_in_definition:
        found["default"] = list(field.default) if isinstance(field.default, tuple) else field.default
    elif not field.required:
        found["nullable"] = True
    return found


def _description(field: fields.Field) -> str:
    if not field.unset_in_definition:
        return field.description
    default = yaml.safe_dump(field.default).split()[0]
    return f"{field.description} {default} unless set, here or in the operator's defaults."


def _type(field: fields.Field) -> str:
    kinds = {fields.Text: "string", fields.Flag: "boolean", fields.Number: "integer", fields.Listing: "array"}
    return next((name for kind, name in kinds.items() if isinstance(field, kind)), "object")


def _content(field: fields.Field) -> Json:
    """Bounds, and what is inside."""
    match field:
        case fields.Choice():
            return {"enum": list(field.values)} if _has_enum(field) else {}
        case fields.Text():
            bounds = {"minLength": field.min_length or None, "maxLength": field.max_length}
            return {**{key: value for key, value in bounds.items() if value}, **_patterns(field)}
        case fields.Number():
            return {"format": f"int{field.bits}", "minimum": field.minimum}
        case fields.Listing():
            kind: Json = {"x-kubernetes-list-type": "atomic"}
            if field.key:
                kind = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [field.key]}
            bounds = {"minItems": field.minimum or None, "maxItems": field.maximum}
            return {**{key: value for key, value in bounds.items() if value}, **kind, "items": schema(field.of)}
        case fields.Texts():
            return {"additionalProperties": {"type": "string"}}
        case fields.Group():
            required = [name for name, each in field.fields.items() if each.required]
            properties = {name: schema(each) for name, each in field.fields.items()}
            more = {"x-kubernetes-preserve-unknown-fields": True} if field.native else {}
            return {**({"required": required} if required else {}), "properties": properties, **more}
        case fields.Native():
            return {"x-kubernetes-preserve-unknown-fields": True}
        case _:
            return {}


def _has_enum(field: fields.Choice) -> bool:
    """An enum of a field that may be null must list null, which kubectl explains as ``<no value>``."""
    return field.required or (field.default is not None and not field.unset_in_definition)


NOT_DOTS = r"([^/]*[^./][^/]*|\.{3,})"
LENGTHS = (
    r"^[^/]{0,255}(/[^/]{0,255})*$",
    r"^[^\x00-\x7f]{0,127}([\x00-\x7f]+[^\x00-\x7f]{0,127})*$",
    "^[\u0800-\U0010ffff]{0,85}([\\x00-\u07ff]+[\u0800-\U0010ffff]{0,85})*$",
)
"""255 bytes between two slashes, as nearly as an expression can say it, for characters of one, two and more bytes."""
RESERVED = (
    "self != '.modelcache' && !self.startsWith('.modelcache/')",
    "'.modelcache' is reserved for the cache's own files; choose another path",
)
RELATIVE = "must be a relative path without '..'"


def _patterns(field: fields.Text) -> Json:
    """Only for rare mistakes, and where CEL costs too much: the API server's answer is the expression itself."""
    if not isinstance(field, fields.Path):
        return {}
    more = {"pattern": f"^{NOT_DOTS}(/{NOT_DOTS})*/?$"} if field.is_pattern else {}
    patterns = [*LENGTHS, *([r"^[^\\\x00-\x1f\x7f]*$"] if field.is_pattern else [])]
    return {**more, "allOf": [{"pattern": each} for each in patterns]}


def _text_rules(field: fields.Field) -> list[tuple[str, str]]:
    match field:
        case fields.Path(is_pattern=True):  # 500 in each of 100 models: hardly any function is cheap enough
            return [("!self.startsWith('/') && !self.startsWith('../')", RELATIVE), RESERVED]
        case fields.Path():
            return [
                ("!self.startsWith('/') && !('/' + self + '/').contains('/../')", RELATIVE),
                (
                    "!(self + '/').matches('/[.]?/|^[.]/')",
                    "must be in its shortest form, without '//', './' or a trailing '/'",
                ),
                (r"!self.matches(r'[\\\x00-\x1f\x7f]')", "must not hold backslashes or control characters"),
                RESERVED,
            ]
        case fields.Choice():
            rule = (f"self in {list(field.values)}", f"use one of {', '.join(field.values)}")
            return [] if _has_enum(field) else [rule]
        case fields.Duration(rule=fields.Rule() as allowed):
            within = f"duration(self) >= duration('{field.minimum}') && duration(self) <= duration('{field.maximum}')"
            pattern = _cel(allowed)
            return [(pattern, allowed.cure), (f"!({pattern}) || ({within})", field.bounds)]
        case fields.Text(rule=fields.Rule() as allowed):
            return [(_cel(allowed), allowed.cure)]
        case _:
            return []


UNICODE_SPACE = r"\x0b\x1c-\x1f" "\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
"""What ``\\s`` matches in Python and not in RE2."""


def _cel(rule: fields.Rule) -> str:
    pattern = rule.pattern.replace(r"\s", rf"\s{UNICODE_SPACE}")
    return " && ".join(
        [
            f"self.matches(r'^{pattern}$')",
            *(f"!self.contains('{part}')" for part in rule.without),
            *(f"!self.endsWith('{part}')" for part in rule.not_ending),
            *([f"!(self in {list(rule.reserved)})"] if rule.reserved else []),
        ]
    )


class _Dumper(yaml.SafeDumper):
    """Every mapping is written out, even one that occurred before."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True
