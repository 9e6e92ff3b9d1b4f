"""Volumes as folders: claims live as long as the claim, everything else as long as the pod.

    NODE/claims/NAMESPACE/CLAIM/            a PersistentVolumeClaim's files
    NODE/pods/UID/volumes/VOLUME/           emptyDir, configMap, secret
    NODE/pods/UID/CONTAINER/                working directory, /tmp, termination log and logs of a container

That a mount is read-only, and whose files they are, is not enforced.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.runner.environment import Find, Missing, contents
from support.runner.paths import Paths

Json = dict[str, Any]
KINDS = ("persistentVolumeClaim", "configMap", "secret", "emptyDir")


def claim_folder(node: Path, namespace: str, claim: str) -> Path:
    return node / "claims" / namespace / claim


def log_file(node: Path, pod: Json, container: str, previous: bool) -> Path | None:
    """Of the present run or of the one before; None for a container that has no status yet."""
    status = pod.get("status") or {}
    everything = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for each in everything:
        if each["name"] == container:
            return node / "pods" / str(pod["metadata"]["uid"]) / container / f"{each['restartCount'] - previous}.log"
    return None


class PodVolumes:
    """The folders of one pod."""

    def __init__(self, node: Path, pod: Json, find: Find) -> None:
        self._node = node
        self._namespace = pod["metadata"]["namespace"]
        self._volumes: list[Json] = pod["spec"].get("volumes") or []
        self._find = find
        self.folder: Path = node / "pods" / pod["metadata"]["uid"]

    def mount(self) -> dict[str, Path]:
        """Volume -> folder, each of them filled. Raises Missing for what is not there yet."""
        return {each["name"]: self._mounted(each) for each in self._volumes}

    def refresh(self) -> None:
        """Files of ConfigMaps and Secrets that changed become new ones; one that is gone leaves its files."""
        for each in self._volumes:
            for resource, source in _sources(each):
                if found := self._find(resource, _name(source)):
                    _write(self._place(each), _chosen(source, contents(found)))

    def _mounted(self, volume: Json) -> Path:
        place: Path
        if claim := volume.get("persistentVolumeClaim"):
            place = claim_folder(self._node, self._namespace, claim["claimName"])
        elif any(kind in volume for kind in KINDS):
            place = self._place(volume)
        else:
            kinds = ", ".join(key for key in volume if key != "name")
            raise NotImplementedError(f"volume {volume['name']}: {kinds}: only {', '.join(KINDS)} are known")
        place.mkdir(parents=True, exist_ok=True)
        for resource, source in _sources(volume):
            found = self._find(resource, _name(source))
            if found is None and not source.get("optional"):
                raise Missing(f'MountVolume.SetUp failed for volume "{volume["name"]}": {_name(source)} not found')
            _write(place, _chosen(source, contents(found)))
        return place

    def _place(self, volume: Json) -> Path:
        name: str = volume["name"]
        return self.folder / "volumes" / name


def container_paths(container: Json, mounted: Mapping[str, Path], own: Path) -> Paths:
    """``own``: the container's folder, for what no volume is mounted at."""
    (own / "tmp").mkdir(parents=True, exist_ok=True)
    places = {"/tmp": own / "tmp", container.get("terminationMessagePath", "/dev/termination-log"): own / "message"}
    for mount in container.get("volumeMounts") or ():
        places[mount["mountPath"].rstrip("/")] = mounted[mount["name"]] / mount.get("subPath", "")
    return Paths(places)


def _sources(volume: Json) -> list[tuple[str, Json]]:
    known = (("configmaps", "configMap"), ("secrets", "secret"))
    return [(resource, volume[kind]) for resource, kind in known if kind in volume]


def _name(source: Json) -> str:
    return str(source.get("name") or source["secretName"])


def _chosen(source: Json, files: Mapping[str, bytes]) -> dict[str, bytes]:
    if "items" not in source:
        return dict(files)
    return {each["path"]: files[each["key"]] for each in source["items"] if each["key"] in files}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Each file as a whole; a reader never sees half of one."""
    for name, content in files.items():
        path = folder / name
        if path.exists() and path.read_bytes() == content:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(content)
        os.replace(temporary, path)
