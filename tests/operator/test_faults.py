"""What the operator does when the API, the connection or the operator itself fails, on either API."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.app.process import DRAIN_S
from support.cluster import Space
from support.kubeapi import FaultProxy
from support.kubeapi.client import Client
from support.kubeapi.faults import CUT_AFTER, CUT_BEFORE, SILENT
from support.operator_process import OperatorProcess
from support.reports import complete, incomplete
from support.waiting import eventually

Json = dict[str, Any]


class GateWatch:
    """Looks at every version of every pod and cache of a namespace: no gate may open before its cache is complete."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._client = Client(space.cluster.kubeconfig)
        self._stop = threading.Event()
        self._complete: dict[str, bool] = {}
        self.early: list[str] = []
        self._threads = [
            threading.Thread(target=self._follow, args=(resource,), daemon=True) for resource in ("modelcaches", "pods")
        ]

    def __enter__(self) -> GateWatch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._client.close()
        for thread in self._threads:
            thread.join(10)

    def _follow(self, resource: str) -> None:
        while not self._stop.is_set():
            try:
                for event in self._client.watch(resource, self._space.namespace, self._stop):
                    self._see(resource, event["object"])
            except OSError:
                self._stop.wait(0.1)  # the API is down

    def _see(self, resource: str, value: Json) -> None:
        if resource == "modelcaches":
            return
        if value["metadata"].get("annotations", {}).get("modelcache.dev/gate-opened-at"):
            name = value["metadata"]["labels"]["modelcache.dev/cache"]
            cache = self._space.client.find("modelcaches", name, self._space.namespace) or {}
            status = cache.get("status", {})
            if not status.get("complete") or status.get("observedGeneration") != cache["metadata"]["generation"]:
                self.early.append(f"{value['metadata']['name']}: {status}")


STEPS = (
    ("configmaps", "create"),
    ("jobs", "create"),
    ("modelcaches/status", "patch"),
    ("events", "create"),
    ("modelcaches", "get"),
    ("pods", "patch"),
)


@pytest.mark.parametrize(("resource", "verb"), STEPS, ids=lambda each: str(each).replace("/", "-"))
@pytest.mark.parametrize("code", [409, 422, 429, 500, CUT_BEFORE, CUT_AFTER])
def test_a_failed_call_is_made_again(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess, resource: str, verb: str, code: int
) -> None:
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    with faulty, GateWatch(space) as gates:
        rule = proxy.faults.add(code, 2, verb, resource)
        space.cache()
        space.complete(space.job(), complete())
        eventually(lambda: not pod.gated, "the gate is removed", 30)
        assert rule.spoilt  # a watch may tell that the call did its work, before it is made again
        assert len(space.jobs()) == 1
        assert gates.early == []


@pytest.mark.parametrize(("resource", "verb"), STEPS, ids=lambda each: str(each).replace("/", "-"))
def test_an_operator_killed_at_a_step_goes_on_where_it_was(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess, resource: str, verb: str
) -> None:
    """The call is carried out, nobody hears of it, and the operator is killed."""
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    with faulty, GateWatch(space) as gates:
        rule = proxy.faults.add(CUT_AFTER, 100, verb, resource)
        space.cache()
        if resource not in ("configmaps", "jobs"):
            first = space.job()
            space.complete(first, complete())
        eventually(lambda: rule.spoilt, "the call is spoilt")
        faulty.kill()
        proxy.faults.clear()
        faulty.start()
        if resource in ("configmaps", "jobs"):
            space.complete(space.job(), complete())
        eventually(lambda: not pod.gated, "the gate is removed", 30)
        assert len(space.jobs()) == 1
        assert gates.early == []


def test_watches_that_are_cut_and_a_history_that_is_gone_lose_nothing(
    space: Space, proxy: FaultProxy, tmp_path: Path
) -> None:
    space.kubelet.claim("models")
    with OperatorProcess(proxy.kubeconfig(tmp_path), "--full-list-seconds", "3", namespaces=(space.namespace,)):
        space.cache("one")
        space.cache("gone")
        space.complete(space.job(name="one"), complete("one"))
        space.until("Ready", "one")
        proxy.stop()
        space.client.delete("modelcaches", "gone", space.namespace)
        gone = proxy.faults.add(410, 3, "watch")
        proxy.start()
        eventually(lambda: len(gone.spoilt) == 3, "all watches must list again")
        space.cache("two")
        space.complete(space.job(name="two"), complete("two"))
        space.until("Ready", "two")
        assert proxy.cut_watches()
        pod = space.kubelet.workload("two", "models")
        eventually(lambda: not pod.gated, "the gate is removed")
        ghost = space.kubelet.workload("gone", "models")
        eventually(lambda: space.events(ghost.name), "the deleted cache is known to be gone", 30)
        assert ghost.gated


def test_a_job_is_no_proof_before_its_pod_was_heard(space: Space, proxy: FaultProxy, faulty: OperatorProcess) -> None:
    """The watch of pods has fallen silent, so the end of the Job is told and what its pod said is not."""
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    with faulty:
        space.cache()
        syncing = space.kubelet.pod_of(space.job())
        syncing.running()
        space.until("Syncing")
        deaf = proxy.faults.add(SILENT, 1000, "watch", "pods")
        proxy.cut_watches()
        eventually(lambda: deaf.spoilt, "the watch of pods is silent")
        syncing.finish(0, complete(manifest=f"sha256:{'0' * 64}"))
        space.kubelet.end_job(space.job(), "Complete")
        eventually(lambda: space.condition("Complete").get("reason") == "ManifestChanged", "the Job does not count")
        assert pod.gated


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_an_api_that_is_away_for_30_seconds_is_waited_for(space: Space) -> None:
    space.kubelet.claim("models")
    pod = space.kubelet.workload("cache", "models")
    cluster = space.cluster
    server = cluster.local or cluster.real
    if server is None:
        pytest.skip("a cluster that was given is not stopped")
    with OperatorProcess(cluster.kubeconfig, namespaces=(space.namespace,)) as operator:
        space.cache()
        job = space.job()
        server.stop()
        with pytest.raises(subprocess.TimeoutExpired):
            operator.process.wait(30)
        server.start()
        eventually(lambda: space.client.list("pods", space.namespace), "the API is back")
        space.complete(job, complete())
        eventually(lambda: not pod.gated, "the gate is removed", 60)
        assert operator.process.poll() is None


def test_an_operator_that_starts_before_the_api_waits_for_it(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    space.cache()
    proxy.stop()
    with faulty.running(ready=False):
        assert faulty.wait_for("the lease cannot be read or written; trying again")["level"] == "warning"
        proxy.start()
        space.job()


def test_a_server_that_names_a_time_to_wait_is_left_alone_for_that_long(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    rule = proxy.faults.add(429, 1, "create", "jobs", retry_after="3")
    with faulty:
        space.cache()
        space.job()
    asked = [call.at for call in proxy.calls if (call.verb, call.resource) == ("create", "jobs")]
    assert asked[0] == rule.spoilt[0].at
    assert asked[1] - asked[0] >= 3


def test_a_refused_job_is_said_in_the_status_and_tried_again(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess
) -> None:
    space.kubelet.claim("models")
    rule = proxy.faults.add(422, 2, "create", "jobs")
    with faulty:
        space.cache()
        status = space.until("Failed")
        assert status["message"].startswith("the API refuses Job ")
        space.job()
        space.until("Pending")
    assert len(rule.spoilt) == 2


def test_the_operator_ends_cleanly_with_work_in_its_hands(space: Space) -> None:
    space.kubelet.claim("models")
    with OperatorProcess(space.cluster.kubeconfig, namespaces=(space.namespace,)) as operator:
        for number in range(30):
            space.cache(f"cache-{number}")
        started = time.monotonic()
        assert operator.stop() == 0
        assert time.monotonic() - started < 2 * DRAIN_S, "it waited in vain for calls in flight"
        lease = space.client.get("leases", "modelcache-operator", space.namespace)
        assert lease["spec"].get("holderIdentity", "") == ""
        operator.start()
        for number in range(30):
            assert len([space.job(name=f"cache-{number}")]) == 1


def test_an_operator_whose_lease_was_taken_ends(space: Space) -> None:
    with OperatorProcess(space.cluster.kubeconfig, namespaces=(space.namespace,)) as operator:
        body = {"spec": {"holderIdentity": "somebody-else", "leaseDurationSeconds": 3600}}

        def take() -> bool:
            space.client.patch("leases", "modelcache-operator", body, space.namespace)
            return operator.process.poll() is not None

        eventually(take, "the operator ends", 30)
        assert operator.process.returncode == 1


def test_what_a_hostile_pod_says_harms_nobody(space: Space, operator: OperatorProcess) -> None:
    """Garbage in its termination message, and a forged report that claims everything."""
    space.kubelet.claim("models")
    space.cache()
    victim = space.kubelet.workload("cache", "models")
    for message in ("{", "[" * 4000, '{"complete": true, "models": 7}', "\x00" * 10, "null", '{"complete":true}'):
        space.kubelet.workload("cache", "models", gated=False).finish(0, message)
    space.kubelet.workload("cache", "models", gated=False).finish(0, complete())
    forged = incomplete(Reason.FILE_MISSING, "x" * 3000 + "\x1b[31m\n")
    space.kubelet.workload("cache", "models", gated=False).finish(1, forged)
    job = space.job()
    space.until("Pending")
    assert victim.gated
    space.complete(job, complete())
    eventually(lambda: not victim.gated, "the gate is removed by a real proof")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_500_caches_at_once_are_all_served(space: Space) -> None:
    space.kubelet.claim("models")
    count = 500
    with OperatorProcess(space.cluster.kubeconfig, namespaces=(space.namespace,)) as operator:
        for number in range(count):
            space.cache(f"c{number}")

        def jobs() -> list[Json]:
            return space.client.list("jobs", space.namespace)

        eventually(lambda: len(jobs()) == count, "every cache has its Job", 60)
        for job in jobs():
            space.kubelet.end_job(job, "Complete")

        def ready() -> bool:
            caches = space.client.list("modelcaches", space.namespace)
            return all(each.get("status", {}).get("phase") == "Ready" for each in caches)

        eventually(ready, "every cache is Ready", 60)
        assert operator.memory_mib() < 256
