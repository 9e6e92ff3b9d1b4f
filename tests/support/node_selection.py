"""What a scheduler makes of a node selector and required node affinity, as Kubernetes documents them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def required(**term: Any) -> dict[str, Any]:
    """The part of a pod's spec that has this one term."""
    return {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [term]}}}}


def on(node: str) -> dict[str, Any]:
    """As the DaemonSet controller writes it."""
    return required(matchFields=[{"key": "metadata.name", "operator": "In", "values": [node]}])


def may_run(affinity: Json | None, name: str, labels: Mapping[str, str]) -> bool:
    """Terms are alternatives; what is in one of them must all hold; a term with nothing in it matches nothing."""
    found = ((affinity or {}).get("nodeAffinity") or {}).get(REQUIRED)
    return found is None or any(_matches(term, name, labels) for term in found["nodeSelectorTerms"])


def may_run_pod(spec: Json, node: Json) -> bool:
    """Whether a pod may run on a node, as far as their specs say."""
    meta = node["metadata"]
    selected = (spec.get("nodeSelector") or {}).items() <= meta["labels"].items()
    return selected and may_run(spec.get("affinity"), meta["name"], meta["labels"])


def _matches(term: Json, name: str, labels: Mapping[str, str]) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    return all(_holds(each, labels) for each in expressions) and all(
        _holds(each, {"metadata.name": name}) for each in fields
    )


def _holds(expression: Json, labels: Mapping[str, str]) -> bool:
    value, values = labels.get(expression["key"]), list(expression.get("values") or ())
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return _number(value) is not None and int(str(value)) > int(values[0])
        case "Lt":
            return _number(value) is not None and int(str(value)) < int(values[0])
    raise AssertionError(expression)


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and value.isdigit() else None
