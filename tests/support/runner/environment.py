"""The environment variables of a container, as the kubelet computes them from its spec."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Find = Callable[[str, str], Json | None]
"""``find("secrets", name)`` in the pod's namespace."""
REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z][-._a-zA-Z0-9]*)\)")


class Missing(Exception):
    """Something that a pod refers to is not there; it may come."""


@dataclass(frozen=True, slots=True)
class PodFields:
    """What ``fieldRef`` can name."""

    pod: Json
    address: str
    node: str

    def value(self, path: str) -> str:
        metadata, spec = self.pod["metadata"], self.pod["spec"]
        known = {
            "metadata.name": metadata["name"],
            "metadata.namespace": metadata["namespace"],
            "metadata.uid": metadata["uid"],
            "spec.nodeName": self.node,
            "spec.serviceAccountName": spec.get("serviceAccountName", "default"),
            "status.podIP": self.address,
            "status.podIPs": self.address,
            "status.hostIP": "127.0.0.1",
        }
        if found := re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path):
            return str((metadata.get(found[1]) or {}).get(found[2], ""))
        if path not in known:
            raise NotImplementedError(f"fieldRef {path}: not one of {', '.join(known)}")
        return str(known[path])


def variables(container: Json, fields: PodFields, find: Find) -> dict[str, str]:
    """Raises Missing for what is referred to and not there."""
    result: dict[str, str] = {}
    for source in container.get("envFrom") or ():
        result |= _whole(source, find)
    for entry in container.get("env") or ():
        value = _expanded(entry["value"], result) if entry.get("value") else ""
        if "valueFrom" in entry:
            found = _referenced(entry["valueFrom"], fields, find)
            if found is None:
                continue
            value = found
        result[entry["name"]] = value
    return result


def _referenced(source: Json, fields: PodFields, find: Find) -> str | None:
    if "fieldRef" in source:
        return fields.value(source["fieldRef"]["fieldPath"])
    for reference, resource in (("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")):
        if each := source.get(reference):
            found = contents(find(resource, each["name"]))
            if each["key"] in found:
                return found[each["key"]].decode()
            if each.get("optional"):
                return None
            what = f"key {each['key']} in" if find(resource, each["name"]) else ""
            raise Missing(f'couldn\'t find {what} {resource[:-1]} "{each["name"]}"'.replace("  ", " "))
    raise NotImplementedError(
        f"valueFrom {', '.join(source)}: only fieldRef, secretKeyRef and configMapKeyRef are known"
    )


def _whole(source: Json, find: Find) -> dict[str, str]:
    for reference, resource in (("secretRef", "secrets"), ("configMapRef", "configmaps")):
        if each := source.get(reference):
            found = find(resource, each["name"])
            if found is None and not each.get("optional"):
                raise Missing(f'{resource[:-1]} "{each["name"]}" not found')
            return {source.get("prefix", "") + key: value.decode() for key, value in contents(found).items()}
    return {}


def contents(value: Json | None) -> dict[str, bytes]:
    """Of a Secret or a ConfigMap."""
    if value is None:
        return {}
    if value["kind"] == "Secret":
        found = {key: base64.b64decode(text) for key, text in (value.get("data") or {}).items()}
        return found | {key: text.encode() for key, text in (value.get("stringData") or {}).items()}
    found = {key: text.encode() for key, text in (value.get("data") or {}).items()}
    return found | {key: base64.b64decode(text) for key, text in (value.get("binaryData") or {}).items()}


def _expanded(text: str, known: Mapping[str, str]) -> str:
    """``$(NAME)`` of an earlier variable; ``$$`` stands for a dollar; what is not known stays as it is."""
    return REFERENCE.sub(lambda found: "$" if found[0] == "$$" else known.get(found[1], found[0]), text)


def expand(texts: list[str], known: Mapping[str, str]) -> list[str]:
    """Command and arguments."""
    return [_expanded(each, known) for each in texts]
