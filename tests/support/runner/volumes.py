"""Volumes as folders: claims live as long as the node's folder, everything else as long as the pod.

    NODE/claims/NAMESPACE/CLAIM/            a PersistentVolumeClaim's files
    NODE/pods/UID/volumes/VOLUME/           emptyDir, configMap
    NODE/pods/UID/CONTAINER/                working directory, /tmp, termination log and logs of a container

That a mount is read-only, and whose files they are, is not enforced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.runner.paths import Paths

Json = dict[str, Any]
KINDS = ("persistentVolumeClaim", "configMap", "emptyDir")


class Missing(Exception):
    """Something that a pod refers to is not there; it may come."""


def claim_folder(node: Path, namespace: str, claim: str) -> Path:
    return node / "claims" / namespace / claim


def pod_folder(node: Path, pod: Json) -> Path:
    return node / "pods" / str(pod["metadata"]["uid"])


def log_file(node: Path, pod: Json, container: str, restarts: int) -> Path:
    return pod_folder(node, pod) / container / f"{restarts}.log"


def mount(node: Path, pod: Json, find: Callable[[str, str], Json | None]) -> dict[str, Path]:
    """Volume -> folder, each of them filled. ``find("configmaps", name)`` looks in the pod's namespace.

    Raises:
        Missing: for what is not there yet.
    """
    folders = {}
    for volume in pod["spec"].get("volumes") or ():
        folder = folders[volume["name"]] = _folder(node, pod, volume)
        folder.mkdir(parents=True, exist_ok=True)
        if source := volume.get("configMap"):
            config = find("configmaps", source["name"])
            if config is None:
                raise Missing(f'MountVolume.SetUp failed for volume "{volume["name"]}": {source["name"]} not found')
            for name, text in (config.get("data") or {}).items():
                (folder / name).write_text(text)
    return folders


def _folder(node: Path, pod: Json, volume: Json) -> Path:
    if claim := volume.get("persistentVolumeClaim"):
        return claim_folder(node, pod["metadata"]["namespace"], claim["claimName"])
    if not any(kind in volume for kind in KINDS):
        kinds = ", ".join(key for key in volume if key != "name")
        raise NotImplementedError(f"volume {volume['name']}: {kinds}: only {', '.join(KINDS)} are known")
    return pod_folder(node, pod) / "volumes" / str(volume["name"])


def container_paths(container: Json, mounted: Mapping[str, Path], own: Path) -> Paths:
    """``own``: the container's folder, for what no volume is mounted at."""
    (own / "tmp").mkdir(parents=True, exist_ok=True)
    places = {"/tmp": own / "tmp", container.get("terminationMessagePath", "/dev/termination-log"): own / "message"}
    for each in container.get("volumeMounts") or ():
        places[each["mountPath"].rstrip("/")] = mounted[each["name"]] / each.get("subPath", "")
    return Paths(places)
