"""The gate while calls fail: every gate is removed once, every pod told once and counted once."""

from __future__ import annotations

from collections import Counter

import pytest

from support.cluster import Space
from support.kubeapi import FaultProxy
from support.kubeapi.faults import CUT_AFTER, CUT_BEFORE, SILENT
from support.operator_process import OperatorProcess
from support.waiting import eventually

COUNT = 5


@pytest.mark.parametrize("code", [CUT_BEFORE, CUT_AFTER, 500], ids=["cut before", "cut after", "500"])
@pytest.mark.parametrize("deaf", [False, True], ids=["", "deaf"])
def test_no_pod_is_lost_or_counted_twice(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess, code: int, deaf: bool
) -> None:
    """Deaf: no watch tells that a patch was carried out though its answer was lost."""
    space.kubelet.claim("models")
    pods = [space.kubelet.workload("cache", "models") for _ in range(COUNT)]
    if deaf:
        proxy.faults.add(SILENT, 1000, "watch", "pods")
    spoilt = proxy.faults.add(code, 3, "patch", "pods")
    with faulty as operator:
        space.cache()
        job = space.job()
        space.kubelet.end_job(job, "Complete")
        eventually(lambda: not any(pod.gated for pod in pods), "every gate is removed", 30)
        assert len(spoilt.spoilt) == 3
        eventually(lambda: operator.metric("modelcache_operator_gates_opened_total") == COUNT, "all are counted", 30)
        eventually(lambda: len(operator.logged("gate removed")) >= COUNT, "the log tells")
    assert len(operator.logged("gate removed")) == COUNT
    told = Counter(event["involvedObject"]["name"] for event in _opened_events(space))
    assert told == Counter(pod.name for pod in pods)
    patches = [call for call in proxy.calls if (call.verb, call.resource) == ("patch", "pods")]
    assert len(patches) <= 3 * COUNT, "what is decided already is not tried again and again"


def _opened_events(space: Space) -> list[dict[str, dict[str, str]]]:
    return [each for each in space.client.list("events", space.namespace) if each["reason"] == "GateOpened"]
