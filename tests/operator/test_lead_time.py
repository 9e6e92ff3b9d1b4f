"""Lead time: pods get their nodes while the last bytes arrive, none serves earlier, and a sync that fails is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names
from modelcache_operator.core.lead_time import is_below, time_left_s
from modelcache_operator.core.observed import Sample
from support.lead_time import (
    BOOT_S,
    HEAD,
    LENGTHS_S,
    LINES,
    POLL_S,
    Line,
    report,
    row,
    simulate,
    start_sync,
    with_lead_time,
)
from support.pure_cluster import PureCluster
from support.reports import complete, incomplete

Json = dict[str, Any]
PAGE = Path(__file__).parents[2] / "docs/scheduling.md"
GB = 1_000_000_000


# What it brings


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.name)
def test_the_documented_figures_are_those_of_the_simulation(line: Line) -> None:
    page = PAGE.read_text()
    assert HEAD in page
    rows = [row(line, length_s) for length_s in LENGTHS_S]
    assert [each for each in rows if each not in page] == [], "make simulate-lead-time prints the table"


@pytest.mark.parametrize("length_s", LENGTHS_S)
def test_a_steady_download_costs_no_gpu_second_and_hides_most_of_the_boot(length_s: float) -> None:
    found = simulate(LINES[0], length_s)
    assert found.complete_s <= found.serves_s <= found.serves_without_s
    assert found.idle_s == 0
    assert found.serves_without_s - found.serves_s >= min(BOOT_S * 0.9, length_s / 2)


def test_without_a_lead_time_the_gate_is_removed_once_the_cache_is_complete() -> None:
    found = simulate(LINES[0], 120, lead_time="")
    assert found.ungated_s == found.complete_s


# The estimate


def samples(*fetched_gb: float, total_gb: float = 100, apart_s: float = 5.0) -> tuple[Sample, ...]:
    return tuple(
        Sample(number * apart_s, int(total_gb * GB), int(each * GB), int(each * GB))
        for number, each in enumerate(fetched_gb)
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    {
        "nothing": ((), None),
        "25 s are not enough": (samples(*range(6)), None),
        "30 s at 0.2 GB/s, 94 GB to go": (samples(*range(7)), 470),
        "faster in the last 15 s: the slower rate counts": (samples(0, 1, 2, 3, 5, 7, 9), 91 / (9 / 30)),
        "slower in the last 15 s: that counts": (samples(0, 2, 4, 6, 7, 8, 9), 91 / 0.2),
        "no byte in the last 15 s": (samples(0, 2, 4, 6, 6, 6, 6), None),
        "everything is there": (samples(*range(94, 101)), 0),
        "bytes were taken back: they were wrong": (samples(0, 2, 4, 6, 8, 7, 5), None),
    }.values(),
    ids=[
        *("nothing", "too short", "steady", "faster at last", "slower at last", "stalled", "everything is there"),
        "bytes were taken back",
    ],
)
def test_the_time_left_is_estimated_pessimistically(seen: tuple[Sample, ...], expected: float | None) -> None:
    found = time_left_s(seen)
    assert found == (None if expected is None else pytest.approx(expected))


def test_files_that_were_found_on_the_volume_say_nothing_of_the_hub() -> None:
    found = tuple(dataclasses.replace(each, fetched=0) for each in samples(*range(10)))
    assert time_left_s(found) is None


def test_the_estimate_has_to_be_below_the_lead_time_for_ten_seconds() -> None:
    steady = samples(*range(60, 80))
    left = [time_left_s(steady[:count]) for count in range(1, 21)]
    first = next(number for number, each in enumerate(left) if each is not None and each < 125)
    below = [is_below(steady[: count + 1], 125) for count in range(20)]
    assert below.index(True) == first + 2


# When it applies

Change = Callable[[PureCluster], object]


def sync(world: PureCluster, pod: str, until: float, since: float = 0.0, rate: float = 0.02) -> None:
    """The share of the bytes grows by ``rate`` at each poll."""
    share = since
    while share < until and not world.opened:
        share = min(until, share + rate)
        world.now += POLL_S
        world.tell_progress(pod, report(world, share, share))
        world.settle()


def started(**options: Any) -> tuple[PureCluster, str]:
    world = with_lead_time(**options)
    world.settle()
    return world, start_sync(world)


def test_a_gate_is_removed_before_the_end_and_the_pod_says_so() -> None:
    world, pod = started()
    world.add_pod("serve", gated=True)
    sync(world, pod, until=0.9)
    assert (world.opened, world.status["phase"]) == (["serve"], "Syncing")
    annotations = world.pods["serve"]["metadata"]["annotations"]
    assert annotations[names.LEAD_TIME_ANNOTATION].startswith("2m")
    assert names.COMMIT_ANNOTATION not in annotations, "what it will load is not known yet"
    assert (world.status["pods"]["waiting"], world.status["pods"]["early"]) == (0, 1)
    world.settle()
    world.finish(pod, 0, complete(manifest=world.digest))
    world.end_job(world.latest, "Complete")
    world.settle()
    assert world.status["pods"]["early"] == 0


def test_a_pod_that_comes_later_follows_at_once() -> None:
    world, pod = started()
    world.add_pod("first", gated=True)
    sync(world, pod, until=0.9)
    world.add_pod("second", gated=True)
    world.settle()
    assert world.opened == ["first", "second"]


NODE = "node-1"


def on_node(world: PureCluster) -> None:
    """The Job's pod runs there, and the serving pod may run nowhere else."""
    world.pods["sync-1"]["spec"]["nodeName"] = NODE
    world.pods["serve"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": NODE}


def elsewhere(world: PureCluster) -> None:
    on_node(world)
    world.pods["sync-1"]["spec"]["nodeName"] = "node-2"


def without_init(world: PureCluster) -> None:
    world.pods["serve"]["spec"]["initContainers"] = []


def as_sidecar(world: PureCluster) -> None:
    world.pods["serve"]["spec"]["initContainers"][0]["restartPolicy"] = "Always"


def as_container(world: PureCluster) -> None:
    spec = world.pods["serve"]["spec"]
    spec["containers"] = spec.pop("initContainers")


def on_another_claim(world: PureCluster) -> None:
    world.pods["serve"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = "other"


ONE_NODE = {"modes": ("ReadWriteOnce",)}
CASES: dict[str, tuple[Json, Change, bool]] = {
    "a volume that several nodes can mount": ({}, lambda _: None, True),
    "one of several modes is enough": ({"modes": ("ReadWriteOnce", "ReadWriteMany")}, lambda _: None, True),
    "no lead time": ({"lead_time": ""}, lambda _: None, False),
    "a volume that one node can mount": (ONE_NODE, lambda _: None, False),
    "such a volume, and the pod selects the node of the sync": (ONE_NODE, on_node, True),
    "such a volume, and the pod selects another node": (ONE_NODE, elsewhere, False),
    "a volume that one pod can mount": ({"modes": ("ReadWriteOncePod",)}, on_node, False),
    "a claim without a volume": ({}, lambda world: world.set_claim("Pending"), False),
    "a pod without an init container would serve": ({}, without_init, False),
    "a sidecar holds up nothing": ({}, as_sidecar, False),
    "a container holds up nothing": ({}, as_container, False),
    "a pod that does not mount the claim": ({}, on_another_claim, False),
    "the cache is being deleted": (
        {},
        lambda world: world.cache["metadata"].update(deletionTimestamp="2026-11-23T01:00:00Z"),
        False,
    ),
    "the Job's pod is being deleted": (
        {},
        lambda world: world.pods["sync-1"]["metadata"].update(deletionTimestamp="2026-11-23T01:00:00Z"),
        False,
    ),
    "two pods say that they are the Job's": ({}, lambda world: start_sync(world, 2), False),
}


@pytest.mark.parametrize(("options", "change", "early"), CASES.values(), ids=CASES)
def test_it_applies_where_the_pod_can_wait_with_its_volume(options: Json, change: Change, early: bool) -> None:
    world, pod = started(**options)
    world.add_pod("serve", gated=True)
    change(world)
    sync(world, pod, until=0.98)
    assert world.opened == (["serve"] if early else [])


REPORTS: dict[str, Callable[[Json], object]] = {
    "a report about another manifest": lambda said: said.update(manifest=f"sha256:{'0' * 64}"),
    "a report that names no manifest": lambda said: said.update(manifest=""),
    "a model whose size is unknown": lambda said: said["models"][0].update(bytesTotal=0),
    "a model that is not in the report": lambda said: said["models"].clear(),
    "a volume that is hashed": lambda said: said.update(bytesFetched=0),
}


@pytest.mark.parametrize("change", REPORTS.values(), ids=REPORTS)
def test_it_applies_where_the_report_says_enough(change: Callable[[Json], object]) -> None:
    world, pod = started()
    world.add_pod("serve", gated=True)
    for number in range(1, 49):
        said = report(world, number / 50, number / 50)
        change(said)
        world.now += POLL_S
        world.tell_progress(pod, said)
        world.settle()
    assert world.opened == []


def test_a_resync_reads_every_byte_again_whatever_is_there() -> None:
    world, pod = started()
    world.finish(pod, 0, complete(manifest=world.digest))
    world.end_job(world.latest, "Complete")
    world.settle()
    world.annotate("again")
    world.settle()
    world.add_pod("serve", gated=True)
    sync(world, start_sync(world, 2), until=0.98)
    assert (world.status["phase"], world.opened) == ("Syncing", [])


def test_a_silent_sync_is_not_believed() -> None:
    world, pod = started()
    sync(world, pod, until=0.9)
    world.now += 11
    world.add_pod("serve", gated=True)
    world.settle()
    assert world.opened == []


def test_a_stall_begins_the_observation_again() -> None:
    world, pod = started()
    sync(world, pod, until=0.9)
    world.now += 120
    world.add_pod("serve", gated=True)
    begun = world.now
    sync(world, pod, until=0.999, since=0.9, rate=0.005)
    assert world.opened == ["serve"]
    assert world.now - begun >= 40


def test_another_pod_of_the_job_is_observed_from_its_start() -> None:
    world, pod = started()
    sync(world, pod, until=0.9)
    world.finish(pod, 1)
    second = start_sync(world, 2)
    world.add_pod("serve", gated=True)
    begun = world.now
    for number in range(1, 12):
        world.now += POLL_S
        world.tell_progress(second, report(world, 0.9 + number / 200, number / 200))
        world.settle()
        if world.opened:
            break
    assert world.opened == ["serve"]
    assert 40 <= world.now - begun <= 45


def test_an_operator_that_was_restarted_observes_for_forty_seconds() -> None:
    world, pod = started()
    sync(world, pod, until=0.9)
    world.progress.clear()
    world.add_pod("serve", gated=True)
    begun = world.now
    sync(world, pod, until=0.999, since=0.9, rate=0.005)
    assert world.opened == ["serve"]
    assert 40 <= world.now - begun <= 45


def test_a_pod_that_waits_for_the_lock_does_not_replace_the_progress_of_the_job() -> None:
    world, pod = started()
    world.add_pod("serve", gated=True)
    sync(world, pod, until=0.9)
    shown = world.status["bytesPresent"]
    world.start("serve")
    world.now += 1
    waiting = report(world, 0.1, 0.0)
    waiting["models"][0] |= {"reason": Reason.WAITING_FOR_LOCK, "message": "held by another"}
    world.tell_progress("serve", waiting)
    world.settle()
    assert world.status["bytesPresent"] == shown
    assert "reason" not in world.status["models"][0]


# When the sync fails after that


def failed_early() -> PureCluster:
    world, pod = started()
    world.add_pod("serve", gated=True, resources={"limits": {"nvidia.com/gpu": "8"}})
    sync(world, pod, until=0.9)
    world.finish(pod, 2, incomplete(Reason.GATED_REPO, "no access"))
    world.end_job(world.latest, "Failed", "PodFailurePolicy")
    world.settle()
    return world


def test_a_sync_that_fails_after_that_is_told_to_pod_and_cache() -> None:
    world = failed_early()
    assert world.status["phase"] == "Failed"
    found = world.condition("PodsHeld")
    assert (found["status"], found["reason"]) == ("False", "LeadTimeFailed")
    assert found["message"].startswith("pod serve: waits with its GPU for ModelCache cache, which is Failed")
    assert world.status["pods"]["early"] == 1
    assert [pod.name for pod in world.decide().notify_failed] == ["serve"]


ENDS: dict[str, Change] = {
    "it succeeded by itself": lambda world: world.finish("serve", 0, complete(manifest=world.digest)),
    "it ended": lambda world: world.pods["serve"]["status"].update(phase="Failed"),
    "it is being deleted": lambda world: world.pods["serve"]["metadata"].update(
        deletionTimestamp="2026-11-23T01:00:00Z"
    ),
    "it is gone": lambda world: world.pods.clear(),
}


@pytest.mark.parametrize("change", ENDS.values(), ids=ENDS)
def test_a_pod_that_waits_no_more_is_not_told_of(change: Change) -> None:
    world = failed_early()
    change(world)
    world.settle()
    assert [each for each in world.status["conditions"] if each["type"] == "PodsHeld"] == []
    assert world.status["pods"]["early"] == 0


def test_once_a_later_job_succeeds_nothing_is_left_to_tell() -> None:
    world = failed_early()
    world.now += 60
    world.settle()
    world.sync_well(complete(manifest=world.digest))
    assert [each for each in world.status["conditions"] if each["type"] == "PodsHeld"] == []
    assert world.decide().notify_failed == ()
