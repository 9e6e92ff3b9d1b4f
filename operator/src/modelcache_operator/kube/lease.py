"""One active operator: a coordination.k8s.io Lease that is renewed while it works.

    holderIdentity: modelcache-operator-7d9f-x2x4q_5c0fe5fe-...     pod and uid; a restarted container goes on at once
    leaseDurationSeconds: 45
    renewTime: 2026-11-23T01:02:03.000000Z

Times of other machines are not trusted: a Lease counts as abandoned when *we* saw it unchanged for its duration. While
renewals fail, ``held`` turns false some seconds before anybody else may take over, and nothing is written until the
Lease is ours again; watching goes on, so an API server that is away for minutes costs no restart.

A holder that is a pod of the Lease's namespace and no longer exists is not waited for. A pod leaves the API when its
kubelet has confirmed the end of its containers, or by a forced deletion, which asks nobody. Containers may live on
then, but their token is bound to the pod: within 10 s the API refuses all that they send. One that can still write sees
the Lease in other hands at its next renewal, after 5 s at most, and ends. A pod that stays as Failed counts when its
kubelet calls every container terminated: for a lost node Kubernetes sets the phase alone. Without the right to get
pods, the duration counts.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from typing import Any

from init_sync.shell.formatting import timestamp
from init_sync.shell.logs import fields
from modelcache_operator.core import names
from modelcache_operator.kube import api as kube
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import ApiError, Conflict, Missing

log = logging.getLogger(__name__)
Json = dict[str, Any]

POD = re.compile(r"(?P<name>[a-z0-9][-a-z0-9.]*)_(?P<uid>[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})")
"""The identity of a pod in the Lease's own namespace; no other holder is looked for."""


class LeaseLost(Exception):
    """Another operator is active now."""


class Lease:
    """Acquired once, then kept by ``keep``."""

    def __init__(self, api: Api, namespace: str, name: str, identity: str, duration_s: int = 45) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration = duration_s
        self._pause = duration_s / 9
        self._renewed: float | None = None
        self._seen: tuple[str, float] = ("", 0.0)

    def held(self) -> bool:
        """Whether nobody else can be active: our last renewal began less than 8/9 of the duration ago."""
        return self._renewed is not None and time.monotonic() - self._renewed < self._duration * 8 / 9

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        told = ""
        while True:
            try:
                holder, failure = await self._try(), ""
            except ApiError as error:
                holder, failure = "", str(error)
            if not holder and not failure:
                log.info("lease acquired", extra=fields(lease=self._name, identity=self._identity))
                return
            if (holder or failure) != told:
                told = holder or failure
                if failure:
                    what = fields(lease=f"{self._namespace}/{self._name}", error=failure)
                    log.warning("the lease cannot be read or written; trying again", extra=what)
                else:
                    log.info("waiting for the lease", extra=fields(lease=self._name, holder=holder))
            await asyncio.sleep(self._pause)

    async def keep(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLost: when somebody else holds it.
        """
        while True:
            await asyncio.sleep(self._pause)
            try:
                holder = await self._try()
            except ApiError as error:
                log.warning("lease not renewed: %s", error)
                continue
            if holder and not self.held():
                raise LeaseLost(f"the lease {self._name} is held by {holder} now")

    async def release(self) -> None:
        """Let the next operator start at once."""
        try:
            found = await self._api.get(kube.LEASES, self._namespace, self._name)
            if found["spec"].get("holderIdentity") == self._identity:
                found["spec"] |= {"holderIdentity": "", "renewTime": timestamp(time.time())}
                await self._api.replace(kube.LEASES, found)
        except ApiError as error:
            log.warning("lease not released: %s", error)
        self._renewed = None

    async def _try(self) -> str:
        """Take or renew; returns who else holds it, or nothing when it is ours."""
        began = time.monotonic()
        try:
            found = await self._api.get(kube.LEASES, self._namespace, self._name)
        except Missing:
            return await self._write(self._new(), began, create=True)
        spec = found.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder not in ("", self._identity) and not self._abandoned(spec, began) and not await self._is_gone(holder):
            self._renewed = None
            return str(holder)
        transitions = (spec.get("leaseTransitions") or 0) + (holder != self._identity)
        found["spec"] = {**self._spec(), "leaseTransitions": transitions}
        if holder == self._identity and spec.get("acquireTime"):
            found["spec"]["acquireTime"] = spec["acquireTime"]
        return await self._write(found, began, create=False)

    def _abandoned(self, spec: Json, now: float) -> bool:
        renewed = f"{spec.get('holderIdentity')} {spec.get('renewTime')}"
        if renewed != self._seen[0]:
            self._seen = (renewed, now)
        return now - self._seen[1] > (spec.get("leaseDurationSeconds") or self._duration)

    async def _is_gone(self, holder: str) -> bool:
        named = POD.fullmatch(holder)
        if named is None:
            return False
        try:
            pod = await self._api.get(kube.PODS, self._namespace, named["name"])
        except Missing:
            return True
        except ApiError:
            return False
        return pod["metadata"]["uid"] != named["uid"] or has_ended(pod.get("status") or {})

    async def _write(self, lease: Json, began: float, create: bool) -> str:
        try:
            await (self._api.create if create else self._api.replace)(kube.LEASES, lease)
        except Conflict:
            return "another operator that was quicker"
        self._renewed = began
        return ""

    def _spec(self) -> Json:
        now = timestamp(time.time())
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._duration,
            "acquireTime": now,
            "renewTime": now,
        }

    def _new(self) -> Json:
        metadata = {"name": self._name, "namespace": self._namespace, "labels": dict(names.MANAGED_BY)}
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {**self._spec(), "leaseTransitions": 0},
        }


def has_ended(status: Json) -> bool:
    """Whether all containers of a pod have, by its kubelet's word."""
    containers = status.get("containerStatuses") or ()
    return status.get("phase") in ("Succeeded", "Failed") and all("terminated" in each["state"] for each in containers)
