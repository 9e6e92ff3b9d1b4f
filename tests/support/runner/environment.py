"""The environment variables of a container, as the kubelet computes them: plain values and fields of the pod.

Not known: ``$(NAME)``, Secrets, and whole ConfigMaps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PodFields:
    """What ``fieldRef`` can name."""

    pod: Json
    address: str
    node: str

    def value(self, path: str) -> str:
        metadata = self.pod["metadata"]
        known = {f"metadata.{name}": metadata[name] for name in ("name", "namespace", "uid")}
        known |= {"spec.nodeName": self.node, "status.podIP": self.address, "status.podIPs": self.address}
        if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
            return str((metadata.get(found[1]) or {}).get(found[2], ""))
        if path not in known:
            raise NotImplementedError(f"fieldRef {path}: not one of {', '.join(known)}")
        return str(known[path])


def variables(container: Json, fields: PodFields) -> dict[str, str]:
    if container.get("envFrom"):
        raise NotImplementedError(f"container {container['name']}: envFrom is not known")
    return {entry["name"]: _value(entry, fields) for entry in container.get("env") or ()}


def _value(entry: Json, fields: PodFields) -> str:
    if "valueFrom" not in entry:
        return str(entry.get("value", ""))
    if "fieldRef" not in entry["valueFrom"]:
        raise NotImplementedError(f"variable {entry['name']}: valueFrom: only fieldRef is known")
    return fields.value(entry["valueFrom"]["fieldRef"]["fieldPath"])
