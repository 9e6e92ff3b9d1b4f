"""Pods as people and controllers create them, and what of the result a test looks at."""

from __future__ import annotations

import copy
from typing import Any

Json = dict[str, Any]
CACHE, PATH, INJECT = "modelcache.dev/cache", "modelcache.dev/mount-path", "modelcache.dev/inject"
GATE = "modelcache.dev/complete"
TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
OWNERS = {"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1"}


def container(name: str = "main", mounts: dict[str, str] | None = None, **more: Any) -> Json:
    """``mounts``: volumes by path."""
    found: Json = {"name": name, "image": "registry.example/image", **more}
    if mounts:
        found["volumeMounts"] = [{"name": volume, "mountPath": path} for path, volume in mounts.items()]
    return found


def pod(
    *containers: Json,
    cache: str | None = "cache",
    labels: dict[str, str] | None = None,
    notes: dict[str, str] | None = None,
    level: str = "",
    owner: str = "",
    **spec: Any,
) -> Json:
    """``cache``: the label, none if it is None. ``level="restricted"``: it meets that standard."""
    security: Json = {"securityContext": RESTRICTED} if level == "restricted" else {}
    metadata: Json = {"generateName": "pod-", "labels": {"app": "x", **(labels or {})}}
    if cache is not None:
        metadata["labels"][CACHE] = cache
    if notes:
        metadata["annotations"] = notes
    if owner:
        kind = {"apiVersion": OWNERS[owner], "kind": owner, "name": "it", "controller": True}
        metadata["ownerReferences"] = [{**kind, "uid": "2f0e9d66-5b0c-4b7e-8d54-b5a1d2c3e4f5"}]
    return {"metadata": metadata, "spec": {"containers": list(containers) or [container(**security)], **spec}}


def claim(name: str, volume: str = "weights", **more: Any) -> Json:
    return {"name": volume, "persistentVolumeClaim": {"claimName": name, **more}}


def scratch(name: str) -> Json:
    return {"name": name, "emptyDir": {}}


def config(name: str) -> Json:
    return {"name": name, "configMap": {"name": "theirs"}}


def summary(made: Json) -> Json:
    """Gates, init containers, volumes and mounts; without those of the service account token."""
    spec = made["spec"]
    every = [*spec.get("initContainers", ()), *spec["containers"]]
    return {
        "gates": [each["name"] for each in spec.get("schedulingGates", ())],
        "init": [each["name"] for each in spec.get("initContainers", ())],
        "volumes": [each["name"] for each in spec.get("volumes", ()) if not each["name"].startswith("kube-api-access")],
        "claims": [
            each["persistentVolumeClaim"]["claimName"]
            for each in spec.get("volumes", ())
            if "persistentVolumeClaim" in each
        ],
        "sync": next((_mounts(each)["/models"] for each in every if each["name"] == "init-sync"), None),
        "mounts": {each["name"]: _mounts(each) for each in every if each["name"] != "init-sync"},
    }


def _mounts(of: Json) -> dict[str, str]:
    found = {each["mountPath"]: each for each in of.get("volumeMounts", ()) if each["mountPath"] != TOKEN_PATH}
    return {path: each["name"] + (", read-only" if each.get("readOnly") else "") for path, each in found.items()}


ADDED = ["modelcache-models", "modelcache-manifest", "modelcache-tmp", "modelcache-no-token"]


def joined(**differences: Any) -> Json:
    """What a pod of one container without volumes becomes; ``own``: volumes of its own, before those that are added."""
    mounts = {"main": {"/models": "modelcache-models, read-only"}}
    expected = {"gates": [GATE], "init": ["init-sync"], "volumes": ADDED, "claims": ["models"], "mounts": mounts}
    return {"sync": "modelcache-models", **expected, **differences}


def comparable(made: Json) -> Json:
    """Without what differs between two creations of the same pod."""
    found: Json = copy.deepcopy({"labels": made["metadata"].get("labels"), "spec": made["spec"]})
    found["annotations"] = made["metadata"].get("annotations")
    for volume in found["spec"].get("volumes", ()):
        if volume["name"].startswith("kube-api-access"):
            volume["name"] = "kube-api-access"
    for each in [*found["spec"].get("initContainers", ()), *found["spec"]["containers"]]:
        for mount in each.get("volumeMounts", ()):
            if mount["name"].startswith("kube-api-access"):
                mount["name"] = "kube-api-access"
    return found
