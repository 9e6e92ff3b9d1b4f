"""Recorded sequences of events, replayed through the pure decision: every phase on the way, and none besides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core.reconcile import QUIET
from support.pure_cluster import PureCluster
from support.reports import complete, incomplete

HUB_DOWN = incomplete(Reason.HUB_UNREACHABLE, "the hub does not answer")
DAMAGED = incomplete(Reason.FILE_MISSING, "model.safetensors is missing")


def plain(world: PureCluster) -> None:
    world.settle()
    world.sync_well(complete())


def hub_down_then_up(world: PureCluster) -> None:
    """A pod fails, the Job's next pod succeeds: no Failed in between."""
    world.settle()
    first = world.add_pod("first", world.latest)
    world.start(first)
    world.settle()
    world.finish(first, 1, HUB_DOWN)
    world.settle()
    second = world.add_pod("second", world.latest)
    world.settle()
    world.start(second)
    world.settle()
    world.finish(second, 0, complete())
    world.settle()
    world.end_job(world.latest, "Complete")
    world.settle()


def retried_to_the_end(world: PureCluster) -> None:
    """The Job fails finally; the next one fails too and the third succeeds: Failed once."""
    world.settle()
    world.sync_badly(1, HUB_DOWN)
    for _ in range(2):
        world.now += 1000
        world.settle()
        if world.latest.endswith("-2"):
            world.sync_badly(1, HUB_DOWN)
        else:
            world.sync_well(complete())


def failed_then_fetching(world: PureCluster) -> None:
    """After a failure, bytes that arrive show that it goes on."""
    world.settle()
    world.sync_badly(1, HUB_DOWN)
    world.now += 60
    world.settle()
    pod = world.add_pod("again", world.latest)
    world.start(pod)
    world.settle()
    world.tell_progress(pod, incomplete(None, fetched=1000))
    world.settle()
    world.progress.clear()  # a restarted operator has not asked yet
    world.settle()
    world.finish(pod, 0, complete())
    world.end_job(world.latest, "Complete")
    world.settle()


def evicted(world: PureCluster) -> None:
    world.settle()
    first = world.add_pod("first", world.latest)
    world.start(first)
    world.settle()
    del world.pods[first]["status"]["containerStatuses"]
    world.pods[first]["status"] = {"phase": "Failed", "reason": "Evicted"}
    world.settle()
    del world.pods[first]
    world.settle()
    world.sync_well(complete())


def job_vanished(world: PureCluster) -> None:
    """Its time to live ended while nobody looked: done once more, without a detour."""
    world.settle()
    world.forget_job(world.latest)
    world.settle()
    assert world.latest.endswith("-2")
    world.sync_well(complete())


def time_to_live_after_success(world: PureCluster) -> None:
    plain(world)
    world.forget_job(world.latest)
    world.settle()
    assert world.jobs == {}


def late_and_repeated_events(world: PureCluster) -> None:
    """The Job's end is seen before the pod's; then an old state of the pod comes by again."""
    world.settle()
    job = world.latest
    pod = world.add_pod("p", job)
    world.start(pod)
    world.settle()
    running = world.pods[pod]["status"]
    world.end_job(job, "Complete")
    world.settle()
    world.finish(pod, 0, complete())
    world.settle()
    world.pods[pod]["status"] = running
    world.settle()


def new_spec_while_syncing(world: PureCluster) -> None:
    world.settle()
    old = world.latest
    pod = world.add_pod("old", old)
    world.start(pod)
    world.settle()
    world.change_spec(allowPickles=False)
    world.settle()
    assert list(world.jobs) == ["cache-sync-2"]
    world.sync_well(complete())


def new_spec_after_success(world: PureCluster) -> None:
    plain(world)
    world.change_spec(models=[{"name": "base", "repo": "owner/other", "path": "base"}])
    world.settle()
    world.sync_well(complete())


def damage_found_and_repaired(world: PureCluster) -> None:
    plain(world)
    world.now += 100
    pod = world.add_pod("serve")
    world.start(pod)
    world.settle()
    world.finish(pod, 1, DAMAGED)
    world.settle()
    assert world.latest == "cache-sync-2"
    world.sync_well(complete())


def claim_lost_and_back(world: PureCluster) -> None:
    plain(world)
    world.set_claim("Lost")
    world.settle()
    world.set_claim("Bound")
    world.settle()


def claim_appears_late(world: PureCluster) -> None:
    world.set_claim(None)
    world.settle()
    world.set_claim("Pending")
    world.settle()
    world.set_claim("Bound")
    world.settle()
    world.sync_well(complete())


def resync(world: PureCluster) -> None:
    plain(world)
    world.annotate("1")
    world.settle()
    world.sync_well(complete())
    world.settle()
    assert len(world.jobs) == 2


def resync_that_cannot_reach_the_hub(world: PureCluster) -> None:
    """Everything is still there, and the report says so: a Job says whether that is so, for which it needs no hub."""
    plain(world)
    world.annotate("1")
    world.settle()
    world.sync_badly(1, complete())
    world.now += 10
    world.settle()
    assert "--refresh" not in world.jobs[world.latest]["spec"]["template"]["spec"]["containers"][0]["args"]
    world.sync_well(complete())
    world.now += 2000
    world.settle()
    assert len(world.jobs) == 3


def warm_starts(world: PureCluster) -> None:
    """Serving pods come and go; a Ready cache does not care."""
    plain(world)
    for number in range(3):
        world.now += 10
        pod = world.add_pod(f"serve-{number}")
        world.start(pod)
        world.settle()
        world.finish(pod, 0, complete(fetched=0))
        world.settle()
        del world.pods[pod]
        world.settle()


SEQUENCES: dict[Callable[[PureCluster], None], list[str]] = {
    plain: ["Pending", "Syncing", "Ready"],
    hub_down_then_up: ["Pending", "Syncing", "Ready"],
    retried_to_the_end: ["Pending", "Syncing", "Failed", "Ready"],
    failed_then_fetching: ["Pending", "Syncing", "Failed", "Syncing", "Ready"],
    evicted: ["Pending", "Syncing", "Ready"],
    job_vanished: ["Pending", "Syncing", "Ready"],
    time_to_live_after_success: ["Pending", "Syncing", "Ready"],
    late_and_repeated_events: ["Pending", "Syncing", "Ready"],
    new_spec_while_syncing: ["Pending", "Syncing", "Pending", "Syncing", "Ready"],
    new_spec_after_success: ["Pending", "Syncing", "Ready", "Pending", "Syncing", "Ready"],
    damage_found_and_repaired: ["Pending", "Syncing", "Ready", "Degraded", "Ready"],
    claim_lost_and_back: ["Pending", "Syncing", "Ready", "Degraded", "Ready"],
    claim_appears_late: ["Pending", "Syncing", "Ready"],
    resync: ["Pending", "Syncing", "Ready", "Syncing", "Ready"],
    resync_that_cannot_reach_the_hub: ["Pending", "Syncing", "Ready", "Syncing", "Degraded", "Ready"],
    warm_starts: ["Pending", "Syncing", "Ready"],
}


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda each: each.__name__)
def test_phases_do_not_flap(sequence: Callable[[PureCluster], None]) -> None:
    world = PureCluster()
    sequence(world)
    assert world.phases == SEQUENCES[sequence]


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda each: each.__name__)
def test_there_is_one_event_for_each_change_of_phase_or_reason(sequence: Callable[[PureCluster], None]) -> None:
    world = PureCluster()
    sequence(world)
    expected = [f"{phase} {reason}" for phase, reason in world.reasons if reason not in QUIET]
    assert [notice.partition(" ")[2] for notice in world.notices] == expected


TROUBLE: dict[str, tuple[Callable[[PureCluster], None], list[str]]] = {
    "a plain sync": (plain, ["Normal Syncing Syncing", "Normal Ready AllModelsVerified"]),
    "a hub that is down": (
        hub_down_then_up,
        [
            *("Normal Syncing Syncing", "Warning Syncing HubUnreachable"),
            *("Normal Syncing Syncing", "Normal Ready AllModelsVerified"),
        ],
    ),
    "damage": (
        damage_found_and_repaired,
        [
            *("Normal Syncing Syncing", "Normal Ready AllModelsVerified"),
            *("Warning Degraded FileMissing", "Normal Ready AllModelsVerified"),
        ],
    ),
    "a claim that is late": (
        claim_appears_late,
        ["Warning Pending ClaimMissing", "Normal Syncing Syncing", "Normal Ready AllModelsVerified"],
    ),
}


@pytest.mark.parametrize(("sequence", "events"), TROUBLE.values(), ids=TROUBLE)
def test_events_are_warnings_where_something_is_wrong(
    sequence: Callable[[PureCluster], None], events: list[str]
) -> None:
    world = PureCluster()
    sequence(world)
    assert world.notices == events


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda each: each.__name__)
def test_the_gate_opens_only_while_the_cache_is_ready(sequence: Callable[[PureCluster], None]) -> None:
    """A pod waits at the gate all along: its gate must be removed exactly when the phase first becomes Ready."""
    world = PureCluster()
    world.add_pod("waiting", gated=True)
    settle = world.settle

    def checked(act: bool = True) -> object:
        decision = settle(act)
        if world.opened:
            assert "Ready" in world.phases
        elif world.phases[-1] == "Ready":
            raise AssertionError("the pod still waits")
        return decision

    world.settle = checked  # type: ignore[method-assign, assignment]
    sequence(world)
    assert world.opened == ["waiting"]
