"""The tables that ``kubectl get`` prints, which the API server computes: the demo shows caches and pods with them.

Columns of custom resources are those of their definition. Pods have those that tell whether one may start; other
built-in kinds have name and age alone.
"""

from __future__ import annotations

import datetime
from typing import Any

from support.kubeapi.kinds import Kind, dig

Json = dict[str, Any]
AGE: Json = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def table(kind: Kind, objects: list[Json], version: str) -> Json:
    columns = [{"name": "Name", "type": "string", "format": "name", "jsonPath": ".metadata.name"}, *_columns(kind)]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": version},
        "columnDefinitions": [_definition(column) for column in columns],
        "rows": [_row(columns, each) for each in objects],
    }


def _columns(kind: Kind) -> list[Json]:
    own = list(POD_COLUMNS if kind.plural == "pods" else kind.columns)
    return own if any(each["name"] == AGE["name"] for each in own) else [*own, AGE]


def _definition(column: Json) -> Json:
    public = {key: value for key, value in column.items() if key not in ("jsonPath", "cell")}
    return {"format": "", "description": "", "priority": 0, **public}


def _row(columns: list[Json], value: Json) -> Json:
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": value["metadata"]}
    return {"cells": [_cell(column, value) for column in columns], "object": partial}


def _cell(column: Json, value: Json) -> Any:
    if "cell" in column:
        return column["cell"](value)
    found = dig(value, column["jsonPath"])
    return _age(found) if column["type"] == "date" and found else found


def _age(stamp: str) -> str:
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(stamp)
    seconds = int(age.total_seconds())
    if seconds < 120:
        return f"{seconds}s"
    return f"{seconds // 60}m" if seconds < 7200 else f"{seconds // 3600}h"


def _ready(pod: Json) -> str:
    statuses = dig(pod, "status.containerStatuses") or []
    return f"{sum(bool(each['ready']) for each in statuses)}/{len(pod['spec'].get('containers', ()))}"


def _restarts(pod: Json) -> str:
    everything = [dig(pod, f"status.{key}") or [] for key in ("initContainerStatuses", "containerStatuses")]
    return str(sum(each["restartCount"] for some in everything for each in some))


def pod_status(pod: Json) -> str:
    """The word that stands for all conditions and containers."""
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if any(each.get("reason") == "SchedulingGated" for each in status.get("conditions") or ()):
        return "SchedulingGated"
    for number, each in enumerate(status.get("initContainerStatuses") or ()):
        if word := _init_word(each["state"], f"{number}/{len(pod['spec']['initContainers'])}"):
            return f"Init:{word}"
    states = [each["state"] for each in status.get("containerStatuses") or ()]
    words = [(state.get("waiting") or state.get("terminated") or {}).get("reason") for state in states]
    return next(filter(None, words), str(status.get("reason") or status.get("phase", "Unknown")))


def _init_word(state: Json, place: str) -> str:
    """Empty for a container that has succeeded."""
    if ended := state.get("terminated"):
        return str(ended["reason"]) if ended["exitCode"] else ""
    reason = state.get("waiting", {}).get("reason", "PodInitializing")
    return place if reason in ("PodInitializing", "ContainerCreating") else str(reason)


POD_CELLS = {"Ready": _ready, "Status": pod_status, "Restarts": _restarts}
POD_COLUMNS = (
    *({"name": name, "type": "string", "cell": cell} for name, cell in POD_CELLS.items()),
    {"name": "IP", "type": "string", "priority": 1, "jsonPath": ".status.podIP"},
)
