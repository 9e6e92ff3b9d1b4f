"""The operator as one process: what runs beside what, in which order it starts, and how it ends.

1. health and metrics are served, so that waiting looks alive;
2. the lease is acquired: nothing else happens before;
3. every namespace is listed once, if it may be: nothing is decided on half a view;
4. controllers, progress, regular lists, lease renewal and, last, kopf's watches run side by side.

The first of them to end ends the process: with 0 after a signal, else with 1 and a restart by the kubelet.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Collection, Coroutine
from typing import Any

import kopf
from prometheus_client import CollectorRegistry

from init_sync.shell.logs import fields
from modelcache_operator.app import health as probes
from modelcache_operator.app import metrics, watching
from modelcache_operator.app.controller import CONTROLLERS, Controller
from modelcache_operator.app.counters import Counters
from modelcache_operator.app.listing import Listing
from modelcache_operator.app.queue import WorkQueue
from modelcache_operator.app.retry_timing import RetryTiming
from modelcache_operator.app.settings import Settings
from modelcache_operator.core import render
from modelcache_operator.core.observed_pods import Run
from modelcache_operator.kube import events
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.connection import Unauthorized, kopf_session, load_configuration
from modelcache_operator.kube.errors import OldDefinition
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.lease import POD, Lease, LeaseLost
from modelcache_operator.kube.mirror import Mirror
from modelcache_operator.kube.progress import ProgressPoller

log = logging.getLogger(__name__)

DRAIN_S = 5.0
"""For calls in flight when the process is told to end; as long again for its tasks, and for handing over the lease.
Together below the limit after which kopf kills the process, and that is below the 30 s that Kubernetes gives."""
LIVENESS_PERIODS = 3
FIRST_LOOK_S = 20.0
"""At most, before the watches begin: what changes meanwhile is seen then."""


class Operator:
    """All parts of one process."""

    def __init__(self, settings: Settings, api: Api, timing: RetryTiming) -> None:
        self._settings = settings
        self._api = api
        self._mirror = Mirror(settings.limits, settings.job_defaults, settings.sync_image)
        self._mirror.on_run = self._count_run
        self._queue: WorkQueue[Key] = WorkQueue(lambda key: self._listing.serves(key))
        self._lease = Lease(
            api, settings.lease_namespace, settings.lease_name, settings.identity, duration_s=settings.lease_seconds
        )
        self._registry = CollectorRegistry()
        self._counters = Counters(self._registry)
        self._listing = Listing(
            api,
            self._mirror,
            settings.namespace,
            self._queue.add_all,
            self._counters.remove_cache,
            self._warn,
            self._registry,
            settings.full_list_seconds,
            timing.first_retry_s,
            settings.per_node,
        )
        self._controller = Controller(
            api,
            self._mirror,
            self._queue,
            settings.sync_image,
            self._lease.held,
            settings.claim_check_seconds,
            timing,
            self._counters,
        )

    async def run(self, session: kopf.AiohttpSession, stop: asyncio.Event) -> int:
        """Until ``stop`` or until a part fails; returns the exit code."""
        registry = watching.make_registry(self._mirror, self._queue, session)
        health = probes.Health(
            lambda: self._listing.tried_at,
            lambda: self._listing.settled() and self._lease.held(),
            max(60.0, LIVENESS_PERIODS * self._settings.full_list_seconds),
        )
        runner, health_port = await probes.serve(health, self._settings.health_port)
        metrics_port = metrics.serve(self._metrics(), self._settings.metrics_port)
        namespaces = ",".join(self._settings.namespace) or "all"
        ports = {"metrics_port": metrics_port, "health_port": health_port}
        log.info("operator started", extra=fields(namespaces=namespaces, **ports))
        try:
            return await self._serve(registry, stop)
        finally:
            await runner.cleanup()

    async def _serve(self, registry: Any, stop: asyncio.Event) -> int:
        if not await _unless_stopped(self._begin(), stop):
            return 0
        parts: list[asyncio.Task[Any]] = []
        run = self._controller.run
        poller = ProgressPoller(self._mirror, self._queue.add, self._settings.progress_seconds, self._api.clock)
        parts += [asyncio.create_task(run(), name=f"controller {number}") for number in range(CONTROLLERS)]
        parts += [
            asyncio.create_task(self._lease.keep(), name="lease"),
            asyncio.create_task(self._listing.run(), name="full lists"),
            asyncio.create_task(poller.run(), name="progress"),
            asyncio.create_task(stop.wait(), name="stop"),
        ]
        # kopf last: at its end it cancels tasks that are younger than itself.
        parts.append(asyncio.create_task(self._watch(registry, stop), name="watches"))
        done, running = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        code = max(_exit_code(task) for task in done)
        await self._end(running)
        return code

    async def _watch(self, registry: Any, stop: asyncio.Event) -> None:
        """Once all that was listed was looked at: kopf lists it all again, and looks would wait behind that."""
        deadline = time.monotonic() + FIRST_LOOK_S
        while not self._queue.idle() and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
        if not self._mirror.nodes.nodes.problem:  # a watch that is refused would end the process
            watching.watch_nodes(registry, self._mirror, self._queue)
        await watching.watch(registry, self._settings.namespace, lambda: _end_on_signals(stop))

    async def _begin(self) -> None:
        """Acquire the lease and list everything, however long the API is away."""
        await self._lease.acquire()
        keeping = asyncio.create_task(self._lease.keep())
        try:
            await self._listing.run(self._listing.settled)
        finally:
            keeping.cancel()
        log.info("everything listed", extra=fields(caches=len(self._mirror.caches)))

    def _count_run(self, key: Key, run: Run, task: str) -> None:
        """What is found by a first list had ended before, and was counted by another process."""
        if self._listing.serves(key):
            self._counters.count_run(key, run, task)

    async def _warn(self, namespace: str, problem: str) -> None:
        """An Event about our own pod, if we are one: in that namespace we may hardly post any."""
        pod = POD.fullmatch(self._settings.identity)
        if pod is None:
            return
        about = {"apiVersion": "v1", "kind": "Pod", "namespace": self._settings.lease_namespace, **pod.groupdict()}
        message, now = f"namespace {namespace} is not served: {problem}", self._api.clock()
        body = render.event(about, "Warning", "NamespaceNotServed", message, now, f"{int(now * 1e6):x}")
        await events.post(self._api, body)

    async def _end(self, running: set[asyncio.Task[Any]]) -> None:
        """Let calls in flight finish, then hand over the lease.

        kopf is cancelled after that: with itself it cancels tasks in which our own client sends what it was given.
        """
        deadline = time.monotonic() + DRAIN_S
        self._queue.close()
        while not self._queue.idle() and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        stubborn = await cancelled(running, DRAIN_S)
        if stubborn:
            log.warning("still busy, and left behind: %s", ", ".join(stubborn))
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._lease.release(), DRAIN_S)
        log.info("operator stopped")

    def _metrics(self) -> CollectorRegistry:
        loop = asyncio.get_running_loop()
        self._registry.register(metrics.CacheCollector(self._mirror, self._counters, self._api, self._api.clock))
        for name, text, value in (
            ("active", "1 while this operator holds the lease.", lambda: float(self._lease.held())),
            ("queue_length", "Caches that wait to be looked at.", lambda: len(self._queue)),
            ("tasks", "Tasks in the event loop.", lambda: len(asyncio.all_tasks(loop))),
            ("last_full_list_timestamp_seconds", "When everything was listed last.", self._listing.listed_at),
        ):
            metrics.add_own_gauge(self._registry, name, text, value)
        return self._registry


async def cancelled(tasks: Collection[asyncio.Task[Any]], within_s: float) -> list[str]:
    """Cancel tasks and wait for their end; returns the names of those that did not end in time."""
    for task in tasks:
        task.cancel()
    if not tasks:
        return []
    _, left = await asyncio.wait(tasks, timeout=within_s)
    return sorted(task.get_name() for task in left)


async def _unless_stopped(work: Coroutine[Any, Any, object], stop: asyncio.Event) -> bool:
    """Whether ``work`` was done before ``stop`` was set."""
    doing: asyncio.Task[object] = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([doing, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if doing.done():
        doing.result()
        return True
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    return False


def _exit_code(task: asyncio.Task[Any]) -> int:
    """0 for the event that a signal sets, and for kopf, should one reach it first."""
    error = task.exception() if not task.cancelled() else None
    if error is None:
        return 0
    if isinstance(error, LeaseLost | OldDefinition | Unauthorized):
        log.error("%s", error)
    elif gone := watching.kind_is_gone(error):
        log.error("%s", gone)
    else:
        log.error("%s ended", task.get_name(), exc_info=error)
    return 1


def _end_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def main(settings: Settings, timing: RetryTiming) -> int:
    """Raises NoCluster when there is nothing to connect to."""
    configuration = await load_configuration(settings.kubeconfig, settings.context, settings.in_cluster)
    stop = asyncio.Event()
    _end_on_signals(stop)
    api = Api(configuration)
    try:
        async with kopf_session(configuration) as session:
            return await Operator(settings, api, timing).run(session, stop)
    finally:
        await api.close()
