"""A namespace with random life in it, the operator that serves it through a proxy that spoils calls, an observer."""

from __future__ import annotations

import http.client
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from reliability.copy_life import CopyLife
from reliability.life import Life
from support.cluster import Cluster, Space
from support.kubeapi import FaultProxy
from support.kubeapi.errors import ApiError
from support.kubeapi.faults import CUT_AFTER, CUT_BEFORE, SILENT
from support.operator_process import REAL, OperatorProcess

SETTLES_WITHIN_S = 45.0
"""With a healthy API and all Jobs done: more than a full list (30 s) takes, which heals whatever was missed."""
GRACE_S = 30.0
"""How long Kubernetes waits after SIGTERM, unless told otherwise."""
READS = (("get", "modelcaches"), ("get", "persistentvolumeclaims"), ("list", ""), ("watch", ""))
WRITES = (
    *(("patch", "pods"), ("patch", "modelcaches/status"), ("create", "configmaps"), ("create", "jobs")),
    *(("create", "events"), ("delete", "jobs"), ("update", "leases")),
)
REFUSALS = (409, 422)
"""Answered to writes only."""
FAILURES = (429, 500, 503, CUT_BEFORE, CUT_AFTER)
UNTOUCHED = ("pods", "persistentvolumeclaims")
"""What the operator must never delete."""


class Town:
    """One of them."""

    def __init__(self, space: Space, copies: Space, proxy: FaultProxy, operator: OperatorProcess, seed: int) -> None:
        self.life = Life(space, seed)
        self.copies = CopyLife(copies, seed)
        self.proxy = proxy
        self.operator = operator
        self.tally: Counter[str] = Counter()
        self.violations: list[str] = []
        self.longest_settling_s = 0.0
        self.longest_end_s = 0.0
        self._client = space.client
        self._random = random.Random(seed + 1)
        self._back_at: float | None = None
        """When the API can be reached again."""
        self._starts_at: float | None = None
        """When the operator is started again."""
        self._stop = threading.Event()

    @contextmanager
    def observed(self) -> Iterator[None]:
        """Every version of pods, caches, claims and Jobs of copies is shown to the ledgers."""
        threads = [
            threading.Thread(target=self._follow, args=(life, each))
            for life, resources in (
                (self.life, ("pods", "modelcaches", "persistentvolumeclaims")),
                (self.copies, ("pods", "modelcaches", "jobs")),
            )
            for each in resources
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def _follow(self, life: Life | CopyLife, resource: str) -> None:
        while not self._stop.is_set():
            try:
                for event in self._client.watch(resource, life.namespace, self._stop):
                    life.ledger.see(resource, event)
            except (OSError, http.client.HTTPException, ApiError):
                self._stop.wait(0.1)

    def tick(self) -> None:
        """What is due: an API that comes back, an operator that starts again, one that ended by itself."""
        now = time.monotonic()
        if self._back_at is not None and now >= self._back_at:
            self.proxy.start()
            self._back_at = None
        if self._starts_at is not None and now >= self._starts_at:
            self.operator.start(ready=False)
            self._starts_at = None
        if self._starts_at is None and self.operator.process.poll() is not None:
            self.violations.append(
                f"the operator ended with {self.operator.process.returncode}: {self.operator.lines[-3:]}"
            )
            self.operator.start(ready=False)

    def trouble(self) -> None:
        """The API misbehaves towards the operator."""
        kind = self._random.choice(("rule", "rule", "rule", "cut", "gone", "silent", "away"))
        if kind == "rule":
            code = self._random.choice((*REFUSALS, *FAILURES))
            verb, resource = self._random.choice(WRITES if code in REFUSALS else (*READS, *WRITES))
            kind = {CUT_BEFORE: "calls cut before they were made", CUT_AFTER: "calls cut after they were made"}.get(
                code, f"calls answered with {code}"
            )
            self.proxy.faults.add(code, self._random.randint(1, 5), verb, resource)
        elif kind == "gone":
            kind = "watches told that their version is gone"
            self.proxy.faults.add(410, self._random.randint(1, 3), "watch")
            self.proxy.cut_watches()
        elif kind == "silent":
            kind = "a watch that says nothing"
            self.proxy.faults.add(SILENT, 1, "watch")
            self.proxy.cut_watches()
        elif kind == "cut":
            kind = "watches cut"
            self.proxy.cut_watches()
        else:
            kind = "an API that is away"
            if self._back_at is None:
                self.proxy.stop()
                self._back_at = time.monotonic() + self._random.uniform(0.5, 5)
        if kind in ("a watch that says nothing", "an API that is away"):
            self.copies.ledger.blind = True
        self.tally[kind] += 1

    def strike(self) -> None:
        """The operator is killed, or told to end, and started again some time later."""
        if self._starts_at is not None or self.operator.process.poll() is not None:
            return
        if self._random.random() < 0.6:
            self.operator.kill()
            self.tally["operators killed"] += 1
        else:
            self.tally["operators told to end"] += 1
            self._end_operator()
        self._starts_at = time.monotonic() + self._random.uniform(0, 3)

    def _end_operator(self) -> None:
        began = time.monotonic()
        # Before it listens to signals, one is the end of it.
        fine = (0,) if self.operator.logged("operator started") else (0, -signal.SIGTERM)
        try:
            code: int | str = self.operator.stop(GRACE_S)
        except subprocess.TimeoutExpired:
            code = f"nothing, for {GRACE_S:g} s"
        self.longest_end_s = max(self.longest_end_s, time.monotonic() - began)
        if code not in fine:
            lines = [f"{line.get('level')}: {line['message']}" for line in self.operator.lines[-8:]]
            self.violations.append(f"told to end, the operator ended with {code}: {lines}")

    def calm(self) -> None:
        """A healthy API, and an operator that runs."""
        self.proxy.faults.clear()
        self._back_at, self._starts_at = self._back_at and 0.0, self._starts_at and 0.0
        self.tick()
        self.proxy.cut_watches()  # the silent ones, which only the next full list would make up for
        self.copies.ledger.blind = False

    def settle(self) -> None:
        """All Jobs succeed: every cache must become Ready, and no pod whose cache is there may be left waiting."""
        self.calm()
        self.copies.calm()
        began, since = time.monotonic(), time.time()
        while True:
            self.life.settle()
            self.copies.settle()
            self.tick()
            left = self.life.unsettled(since) + self.copies.unsettled(since)
            took = time.monotonic() - began
            if not left or took > SETTLES_WITHIN_S:
                break
            time.sleep(0.2)
        self.longest_settling_s = max(self.longest_settling_s, took)
        self.tally["quiet points"] += 1
        at = time.strftime("%H:%M:%S")
        self.violations += [f"{self.life.namespace} at {at}, {took:.0f} s after all was well: {each}" for each in left]
        try:
            self.copies.drill(SETTLES_WITHIN_S)
        except AssertionError as error:
            self.violations.append(f"{at}: {error}")
        self._look_back()
        self.life.sweep()
        self.copies.sweep()

    def _look_back(self) -> None:
        """At what the operator asked for and said since the last quiet point."""
        calls, self.proxy.calls[:] = list(self.proxy.calls), []
        self.tally["calls of the operator"] += len(calls)
        self.violations += [
            f"the operator asked to {call.verb} {call.resource} {call.name}"
            for call in calls
            if call.verb.startswith("delete") and call.resource in UNTOUCHED
        ]
        lines = list(self.operator.lines)
        self.violations += [f"it logged: {line}" for line in lines if line["message"] == "reconciling failed"]
        del self.operator.lines[: max(0, len(lines) - 100)]


@contextmanager
def town(cluster: Cluster, name: str, folder: Path, seed: int) -> Iterator[Town]:
    """With a running operator."""
    with ExitStack() as stack:
        cluster.client.create("namespaces", {"metadata": {"name": name}}, "")
        cluster.client.create("namespaces", {"metadata": {"name": f"{name}-copies"}}, "")
        space, copies = Space(cluster, name), Space(cluster, f"{name}-copies")
        own = folder / name
        own.mkdir()
        proxy = stack.enter_context(FaultProxy(cluster.kubeconfig))
        settings = ("--lease-seconds", "15", "--progress-seconds", "5", "--per-node")
        namespaces = (space.namespace, copies.namespace)
        operator = OperatorProcess(proxy.kubeconfig(own), *settings, namespaces=namespaces, module=REAL)
        made = Town(space, copies, proxy, stack.enter_context(operator.running()), seed)
        stack.enter_context(made.observed())
        yield made
