"""The cluster's moving parts as one level-triggered loop: after every change, all of them look at everything once.

Claims are bound, Jobs and Deployments get their pods, pods get their place, and those that have one are run here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import aiohttp

from support.kubeapi.errors import ApiError
from support.runner import scheduling
from support.runner.addresses import Addresses
from support.runner.deployments import control_deployment
from support.runner.jobs import control_job
from support.runner.pod import Node, PodLife
from support.runner.services import ServiceProxy
from support.runner.statuses import now
from support.runner.view import RESOURCES, View, key_of
from support.runner.volumes import claim_folder

log = logging.getLogger(__name__)
Json = dict[str, Any]
Act = Callable[[Json], Awaitable[float | None]]
"""Does what there is to do about an object; returns when to look again."""
RETRY_S = 0.5
"""Before something is tried again that met a newer object, or no API."""


class NodeLoop:
    """``run`` until it is cancelled, then ``close``."""

    def __init__(
        self, node: Node, view: View, addresses: Addresses, capacity: Mapping[str, int], job_pause_s: float
    ) -> None:
        self._node = node
        self._view = view
        self._addresses = addresses
        self._capacity = capacity
        self._job_pause_s = job_pause_s
        self._proxy = ServiceProxy(view, addresses)
        self._lives: dict[str, tuple[PodLife, asyncio.Task[None]]] = {}
        self._endings: dict[str, asyncio.Task[None]] = {}
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for resource in RESOURCES:
                group.create_task(self._view.follow(resource))
            group.create_task(self._keep_stepping())
            await self._broken

    async def _keep_stepping(self) -> None:
        wait_s: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._view.changed.wait()
            self._view.changed.clear()
            wait_s = await self._step()

    async def close(self, grace_s: float) -> None:
        """End every container on this node."""
        self._proxy.close()
        lives = list(self._lives.values())
        await asyncio.gather(*(life.end(grace_s) for life, _ in lives))
        await asyncio.gather(*(task for _, task in lives), return_exceptions=True)
        for task in self._endings.values():
            task.cancel()

    async def _step(self) -> float | None:
        """After how many seconds to look again, though nothing changes."""
        view = self._view
        waits = [
            *await self._each(self._bind, view.all("persistentvolumeclaims")),
            *await self._each(lambda deployment: control_deployment(view, deployment), view.all("deployments")),
            *await self._each(self._control_job, view.all("jobs")),
            *await self._each(self._place, [pod for pod in view.all("pods") if not pod["spec"].get("nodeName")]),
            *await self._each(self._run_pod, [pod for pod in view.all("pods") if pod["spec"].get("nodeName")]),
            *await self._each(self._proxy.lead, view.all("services")),
        ]
        self._proxy.forget()
        self._end_forced()
        return min((each for each in waits if each is not None), default=None)

    async def _each(
        self, act: Callable[[Json], Awaitable[float | None]], objects: Iterable[Json]
    ) -> list[float | None]:
        """What cannot be done now must not hold up the rest."""
        waits: list[float | None] = []
        for each in objects:
            try:
                waits.append(await act(each))
            except (ApiError, aiohttp.ClientError, OSError) as error:
                log.debug("looking again at %s: %s", key_of(each), error)
                waits.append(RETRY_S)
        return waits

    async def _control_job(self, job: Json) -> float | None:
        return await control_job(self._view, job, time.time(), self._job_pause_s)

    async def _bind(self, claim: Json) -> None:
        """The provisioner: a folder for each claim, which stays when the claim goes."""
        if (claim.get("status") or {}).get("phase") != "Bound":
            namespace, name = key_of(claim)
            claim_folder(self._node.folder, namespace, name).mkdir(parents=True, exist_ok=True)
            status = {"phase": "Bound", "accessModes": claim["spec"].get("accessModes", [])}
            status |= {"capacity": claim["spec"]["resources"]["requests"]}
            await self._view.patch("persistentvolumeclaims", claim, {"status": status}, "status")

    async def _place(self, pod: Json) -> None:
        if scheduling.gated(pod):
            return  # the API says so since it was created
        namespace, name = key_of(pod)
        claims = self._view.all("persistentvolumeclaims")
        bound = {
            key_of(each)[1]: (each.get("status") or {}).get("phase") == "Bound"
            for each in claims
            if key_of(each)[0] == namespace
        }
        running = [
            each for each in self._view.all("pods") if each["spec"].get("nodeName") and not scheduling.over(each)
        ]
        if message := scheduling.obstacle(pod, running, bound, self._capacity):
            await self._say_unscheduled(pod, "Unschedulable", message)
            return
        await self._view.client.bind(name, namespace, self._node.name)
        pod["spec"]["nodeName"] = self._node.name  # until the watch tells

    async def _say_unscheduled(self, pod: Json, reason: str, message: str) -> None:
        said = {(each.get("reason"), each.get("message")) for each in (pod.get("status") or {}).get("conditions", ())}
        if (reason, message) not in said:
            status = scheduling.unscheduled(reason, message, now())
            await self._view.patch("pods", pod, {"status": status}, "status")

    async def _run_pod(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        if pod["metadata"].get("deletionTimestamp"):
            await self._finish(uid, pod)
        elif uid not in self._lives and not scheduling.over(pod):
            life = PodLife(self._node, self._view, pod, self._addresses.pod())
            task = asyncio.create_task(life.run(), name=pod["metadata"]["name"])
            task.add_done_callback(self._check)
            self._lives[uid] = life, task
        elif uid in self._lives:
            self._lives[uid][0].volumes.refresh()

    def _end_forced(self) -> None:
        """Pods that were deleted without grace: nothing waits for their end."""
        present = {pod["metadata"]["uid"] for pod in self._view.all("pods")}
        for uid in self._lives:
            if uid not in present:
                self._end(uid, 0)

    def _check(self, life: asyncio.Task[None]) -> None:
        """A mistake of the runner's own ends the whole, instead of a pod that stands still."""
        if not life.cancelled() and (error := life.exception()) and not self._broken.done():
            self._broken.set_exception(error)

    async def _finish(self, uid: str, pod: Json) -> None:
        """A pod that is to go: its end begins, and when it is over the object goes."""
        if uid not in self._lives:
            await self._view.delete("pods", pod, grace_s=0)
            return
        self._end(uid, float(pod["metadata"].get("deletionGracePeriodSeconds", 30)))

    def _end(self, uid: str, grace_s: float) -> None:
        if uid not in self._endings:
            self._endings[uid] = asyncio.create_task(self._see_off(uid, grace_s))

    async def _see_off(self, uid: str, grace_s: float) -> None:
        life, task = self._lives[uid]
        await life.end(grace_s)
        await task
        self._addresses.give_back_pod(life.address)
        del self._lives[uid], self._endings[uid]
        self._view.changed.set()
