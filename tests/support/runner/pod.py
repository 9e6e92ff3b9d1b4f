"""The life of one pod on this node, from its volumes to its end, told to the API at each change."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from support.kubeapi.errors import ApiError
from support.runner.container import Container, Pauses, RunRecord, Surroundings
from support.runner.environment import Missing, PodFields
from support.runner.images import Image, find_image
from support.runner.statuses import ContainerStatus, conditions, now, pod_phase, waiting
from support.runner.view import View
from support.runner.volumes import PodVolumes

Json = dict[str, Any]
RETRY_S = 0.1


@dataclass(frozen=True, slots=True)
class Node:
    """The machine that pods run on."""

    name: str
    folder: Path
    images: Mapping[str, Image]
    env: Mapping[str, str]
    """For pods that may know the API: where it is."""
    pauses: Pauses
    runs: list[RunRecord]


class PodLife:
    """``run`` ends when all containers have; ``end`` makes them."""

    def __init__(self, node: Node, view: View, pod: Json, address: str) -> None:
        self.pod = pod
        self.address = address
        self._node = node
        self._view = view
        self._find = lambda resource, name: view.find(resource, pod["metadata"]["namespace"], name)
        self.volumes = PodVolumes(node.folder, pod, self._find)
        self._started_at = now()
        self._inits: list[Container] = []
        self._mains: list[Container] = []
        self._ending = asyncio.Event()
        self._changed = asyncio.Event()
        self._told: Json = {}
        self._refusal: Json = {}

    @property
    def restarts(self) -> bool:
        return bool(self.pod["spec"].get("restartPolicy", "Always") == "Always")

    async def run(self) -> None:
        teller = asyncio.create_task(self._keep_telling())
        try:
            if await self._prepare() and await self._run_inits():
                await asyncio.gather(*(self._run_main(each) for each in self._mains))
        except NotImplementedError as error:
            self._refusal = {"phase": "Failed", "reason": "NotEmulated", "message": str(error)}
        finally:
            teller.cancel()
            while not await self._tell() and not self._ending.is_set():
                await asyncio.sleep(RETRY_S)

    async def end(self, grace_s: float) -> None:
        """As on deletion: preStop hooks, SIGTERM, and SIGKILL when the time is over, for all containers at once."""
        self._ending.set()
        deadline = time.monotonic() + grace_s
        await asyncio.gather(*(self._end_one(each, deadline) for each in [*self._inits, *self._mains]))

    async def _end_one(self, container: Container, deadline: float) -> None:
        await container.before_stop(deadline - time.monotonic())
        await container.end(max(0.0, deadline - time.monotonic()))

    async def _prepare(self) -> bool:
        """Volumes, once everything that they refer to is there."""
        while not self._ending.is_set():
            try:
                mounted = self.volumes.mount()
            except Missing:  # the containers stay in ContainerCreating meanwhile, as pods do
                await asyncio.sleep(RETRY_S)
                continue
            around = self._surroundings(mounted)
            self._inits = [self._container(each, around) for each in self.pod["spec"].get("initContainers") or ()]
            self._mains = [self._container(each, around) for each in self.pod["spec"]["containers"]]
            for each in self._mains if self._inits else ():
                each.say(state=waiting("PodInitializing"))
            return True
        return False

    def _surroundings(self, mounted: dict[str, Path]) -> Surroundings:
        knows_api = self.pod["spec"].get("automountServiceAccountToken", True)
        return Surroundings(
            fields=PodFields(self.pod, self.address, self._node.name),
            find=self._find,
            mounted=mounted,
            folder=self.volumes.folder,
            node_env=dict(self._node.env) if knows_api else {},
            pauses=self._node.pauses,
            ending=self._ending,
            changed=self._changed.set,
            record=self._node.runs.append,
        )

    def _container(self, spec: Json, around: Surroundings) -> Container:
        if spec.get("restartPolicy") == "Always":
            raise NotImplementedError(f"container {spec['name']}: init containers that stay on are not known")
        return Container(spec, find_image(self._node.images, spec["image"]), around)

    async def _run_inits(self) -> bool:
        """One after the other; whether all of them ended well."""
        never = self.pod["spec"].get("restartPolicy") == "Never"
        for each in self._inits:
            if await each.run_until(lambda code: code == 0 or never) != 0:
                return False
            each.say(ready=True)
        return not self._ending.is_set()

    async def _run_main(self, container: Container) -> None:
        policy = self.pod["spec"].get("restartPolicy", "Always")
        await container.run_until(lambda code: policy == "Never" or (policy == "OnFailure" and code == 0))

    async def _keep_telling(self) -> None:
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if not await self._tell():
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _tell(self) -> bool:
        """Whether the API knows it now."""
        status = self._status()
        if status == self._told:
            return True
        with contextlib.suppress(ApiError, aiohttp.ClientError, OSError):
            await self._view.patch("pods", self.pod, {"status": status}, "status")
            self._told = status
            return True
        return False

    def _status(self) -> Json:
        inits, mains = ([each.status for each in some] for some in (self._inits, self._mains))
        initialized = bool(self._mains) and all(each.exit_code == 0 for each in inits)
        ready = bool(mains) and all(each.ready for each in mains)
        values = {
            "PodScheduled": (True, ""),
            "Initialized": (initialized, "ContainersNotInitialized"),
            "ContainersReady": (ready, "ContainersNotReady"),
            "Ready": (ready, "ContainersNotReady"),
        }
        return {
            "phase": pod_phase(inits, mains, self.restarts) if mains else "Pending",
            "conditions": conditions(self._told.get("conditions", ()), values),
            "hostIP": "127.0.0.1",
            "podIP": self.address,
            "podIPs": [{"ip": self.address}],
            "startTime": self._started_at,
            **({"initContainerStatuses": _listed(inits)} if inits else {}),
            "containerStatuses": _listed(mains),
            **self._refusal,
        }


def _listed(statuses: list[ContainerStatus]) -> list[Json]:
    return [each.json() for each in statuses]
