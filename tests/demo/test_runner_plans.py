"""The runner's pure decisions, a table for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.kubeapi.tables import pod_status
from support.runner.controllers import JobPlan, missing_pods, plan_job
from support.runner.images import Image, find_image
from support.runner.paths import Paths
from support.runner.scheduling import obstacle

Json = dict[str, Any]
START = "2026-01-01T00:00:00Z"
START_S = 1767225600.0


def pod(phase: str = "Running", name: str = "p", **metadata: Any) -> Json:
    return {"metadata": {"name": name, "namespace": "default", **metadata}, "spec": {}, "status": {"phase": phase}}


def failed(code: int = 1) -> Json:
    terminated = {"exitCode": code, "finishedAt": START}
    result = pod("Failed")
    result["status"]["containerStatuses"] = [{"name": "init-sync", "state": {"terminated": terminated}}]
    return result


CODES = {"containerName": "init-sync", "operator": "In", "values": [2]}
POLICY = {"rules": [{"action": "FailJob", "onExitCodes": CODES}, {"action": "Ignore", "onPodConditions": []}]}
JOB: Json = {"metadata": {}, "spec": {"backoffLimit": 2, "podFailurePolicy": POLICY}}
JOBS: dict[str, tuple[list[Json], float, JobPlan]] = {
    "no pod yet": ([], 0, JobPlan(create=True)),
    "one is active": ([pod()], 40, JobPlan()),
    "one failed just now": ([failed()], 4, JobPlan()),
    "one failed long ago": ([failed()], 10, JobPlan(create=True)),
    "the second pause is twice as long": ([failed(), failed()], 15, JobPlan()),
    "the second pause is over": ([failed(), failed()], 20, JobPlan(create=True)),
}


@pytest.mark.parametrize(("pods", "age_s", "plan"), JOBS.values(), ids=JOBS)
def test_a_job_s_next_step(pods: list[Json], age_s: float, plan: JobPlan) -> None:
    assert plan_job(JOB, pods, START_S + age_s, 10) == plan


OUTCOMES: dict[str, tuple[list[Json], str, str]] = {
    "one succeeded": ([failed(), pod("Succeeded")], "Complete", "CompletionsReached"),
    "too many failed": ([failed()] * 3, "Failed", "BackoffLimitExceeded"),
    "an exit code of the failure policy": ([failed(2)], "Failed", "PodFailurePolicy"),
}


@pytest.mark.parametrize(("pods", "outcome", "reason"), OUTCOMES.values(), ids=OUTCOMES)
def test_a_job_s_end(pods: list[Json], outcome: str, reason: str) -> None:
    plan = plan_job(JOB, pods, START_S, 10)
    assert (plan.outcome, plan.reason) == (outcome, reason)


REPLICAS: dict[str, tuple[list[Json], int]] = {
    "nothing there": ([], 1),
    "one runs": ([pod()], 0),
    "one is deleted": ([pod(deletionTimestamp=START)], 1),
    "one has ended": ([pod("Failed")], 1),
}


@pytest.mark.parametrize(("pods", "missing"), REPLICAS.values(), ids=REPLICAS)
def test_a_deployment_has_as_many_pods_as_it_shall_have(pods: list[Json], missing: int) -> None:
    assert missing_pods({"spec": {"replicas": 1}}, pods) == missing


def asking(gpus: int, init: int = 0) -> Json:
    def containers(count: int) -> list[Json]:
        return [{"resources": {"limits": {"nvidia.com/gpu": str(count), "memory": "1Gi"}}}]

    return {"spec": {"containers": containers(gpus), "initContainers": containers(init)}}


@pytest.mark.parametrize(
    ("wanted", "held", "fits"),
    [
        (asking(1), [], True),
        (asking(1), [asking(1)], True),
        (asking(1), [asking(2)], False),
        (asking(1, init=3), [], False),
        (asking(2, init=2), [], True),
        (asking(0), [asking(2)], True),
    ],
    ids=["free", "one left", "none left", "an init container counts for itself", "it does not add up", "none wanted"],
)
def test_devices_are_counted(wanted: Json, held: list[Json], fits: bool) -> None:
    found = obstacle(wanted, held, {}, {"nvidia.com/gpu": 2})
    assert found == ("" if fits else "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")


@pytest.mark.parametrize(
    ("text", "mapped"),
    [
        ("/models", "/v/models"),
        ("--volume=/models", "--volume=/v/models"),
        ("/models/sub/file", "/v/models/sub/file"),
        ("cat /models/a > /dev/termination-log", "cat /v/models/a > /v/message"),
        ("/models-of-another", "/models-of-another"),
        ("/srv/models", "/srv/models"),
        ("/models/inner/x", "/v/models/inner/x"),
        ("/models/deep/x", "/v/deep/x"),
        ("http://host/models", "http://host/models"),
    ],
)
def test_paths_are_mapped_by_whole_components(text: str, mapped: str) -> None:
    places = {"/models": "/v/models", "/models/deep": "/v/deep", "/dev/termination-log": "/v/message"}
    assert Paths({name: Path(place) for name, place in places.items()}).map(text) == mapped


@pytest.mark.parametrize(
    ("reference", "known"),
    [
        ("modelcache/init-sync", True),
        ("modelcache/init-sync:0.1.0", True),
        ("registry.example:5000/mirror/modelcache/init-sync@sha256:abc", True),
        ("registry.example/modelcache/init-sync:1@sha256:abc", True),
        ("other/modelcache-init-sync", False),
        ("modelcache/init-sync-2", False),
    ],
)
def test_an_image_is_known_by_the_end_of_its_repository(reference: str, known: bool) -> None:
    assert (find_image({"modelcache/init-sync": Image()}, reference) is not None) is known


def shown(phase: str = "Pending", inits: tuple[Json, ...] = (), mains: tuple[Json, ...] = (), **more: Any) -> Json:
    status = {"phase": phase, **more}
    for key, states in (("initContainerStatuses", inits), ("containerStatuses", mains)):
        status |= {key: [{"state": state} for state in states]}
    return {"metadata": {}, "spec": {"initContainers": inits}, "status": status}


WAITING: Json = {"waiting": {"reason": "PodInitializing"}}
CRASHING: Json = {"waiting": {"reason": "CrashLoopBackOff"}}
RUNNING: Json = {"running": {}}
GATED = [{"type": "PodScheduled", "reason": "SchedulingGated"}]


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (shown(conditions=GATED), "SchedulingGated"),
        (shown(inits=(RUNNING,), mains=(WAITING,)), "Init:0/1"),
        (shown(inits=(CRASHING,), mains=(WAITING,)), "Init:CrashLoopBackOff"),
        (shown(inits=({"terminated": {"exitCode": 1, "reason": "Error"}},), mains=(WAITING,)), "Init:Error"),
        (shown(inits=({"terminated": {"exitCode": 0, "reason": "Completed"}},), mains=(WAITING,)), "PodInitializing"),
        (shown("Running", mains=(RUNNING,)), "Running"),
        (shown("Running", mains=(CRASHING,)), "CrashLoopBackOff"),
        (shown("Succeeded", mains=({"terminated": {"exitCode": 0, "reason": "Completed"}},)), "Completed"),
        (shown("Failed", reason="Evicted"), "Evicted"),
    ],
)
def test_the_word_for_a_pod_s_state(value: Json, word: str) -> None:
    assert pod_status(value) == word
