"""Copies are synced in an order: the first alone, the others from what it has proven."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from modelcache_operator.core import names
from support.copies import DIGEST, GPU, TOLERATED, arguments, figures, fill, group, report
from support.podsecurity import restricted_problems
from support.pure_cluster import PureCluster
from support.reports import COMMIT


def test_the_first_copy_is_synced_alone_then_at_most_max_parallel_at_once() -> None:
    world = group(5)
    assert world.syncing() == ["n0"]
    assert (world.status["phase"], figures(world)) == ("Pending", "0/5")
    world.sync_copy("n0", report("n0"))
    assert world.syncing() == ["n1", "n2"]
    world.sync_copy("n2", report("n2"))
    assert world.syncing() == ["n1", "n3"]
    fill(world)
    assert (figures(world), world.syncing()) == ("5/5", [])


def test_pods_can_start_with_the_first_copy_while_the_others_are_reconciled() -> None:
    world = group(3)
    world.sync_copy("n0", report("n0"))
    assert world.status["phase"] == "Ready"
    said = {kind: world.condition(kind)["status"] for kind in ("Complete", "Ready", "Reconciling", "Stalled")}
    assert said == {"Complete": "True", "Ready": "True", "Reconciling": "True", "Stalled": "False"}
    assert world.status["message"] == "1 of 3 nodes have a complete copy"
    assert world.condition("Reconciling")["reason"] == "CopiesMissing"
    assert world.condition("Syncing")["message"] == "2 of 3 nodes sync their copy"
    fill(world)
    assert world.condition("Reconciling")["status"] == "False"


def test_all_at_once_if_the_manifest_says_so() -> None:
    world = group(5, maxParallel=10)
    world.sync_copy("n0", report("n0"))
    assert world.syncing() == ["n1", "n2", "n3", "n4"]


def lower_the_limit(world: PureCluster) -> None:
    for job in map(world.job_of, world.syncing()):
        world.start(world.add_pod(f"{job}-p", job))
    world.change_spec(volume={"claimName": "models", "perNode": {"maxParallel": 1}})


def lose_nodes_for_a_while(world: PureCluster) -> None:
    for ready in (False, True):
        for node in ("n1", "n2"):
            world.set_ready(node, ready)
        world.settle()


def ask_for_a_resync(world: PureCluster) -> None:
    world.annotate("now")


@pytest.mark.parametrize(
    ("change", "jobs"),
    [
        pytest.param(lower_the_limit, 2, id="the limit is lowered"),
        pytest.param(lose_nodes_for_a_while, 4, id="nodes come back with their Jobs"),
        pytest.param(ask_for_a_resync, 2, id="a resync is asked for"),
    ],
)
def test_with_as_many_jobs_as_are_allowed_no_other_starts(change: Callable[[PureCluster], object], jobs: int) -> None:
    world = group(9, maxParallel=2)
    world.sync_copy("n0", report("n0"))
    assert world.syncing() == ["n1", "n2"]
    change(world)
    world.settle()
    assert len(world.syncing()) == jobs


def test_others_get_the_pins_of_the_first_as_a_file_of_their_job() -> None:
    world = group(2)
    first = world.job_of("n0")
    assert "--pins" not in arguments(world, first)
    world.sync_copy("n0", report("n0"))
    job = world.jobs[world.job_of("n1")]["spec"]["template"]
    assert arguments(world, world.job_of("n1"))[-2:] == ["--pins", "/etc/modelcache/pins.json"]
    pins = json.loads(job["metadata"]["annotations"][names.PINS_ANNOTATION])
    assert pins == {"models": [{"name": "base", "commit": COMMIT, "digest": DIGEST}]}
    (manifest,) = [each for each in job["spec"]["volumes"] if each["name"] == "manifest"]
    assert [*map(list, manifest["projected"]["sources"])] == [["configMap"], ["downwardAPI"]]
    assert restricted_problems(job["spec"]) == []


def test_a_pod_beside_the_job_that_claims_another_commit_pins_nobody() -> None:
    world = group(2)
    forged = world.add_pod("forged", world.job_of("n0"))
    other = report("n0", manifest=world.digest)
    other["models"][0] |= {"commit": "f" * 40, "digest": f"sha256:{'6' * 64}"}
    world.finish(forged, 0, other)
    world.sync_copy("n0", report("n0"))
    assert "--pins" not in arguments(world, world.job_of("n1"))


def test_a_job_is_bound_to_its_node_by_the_scheduler_and_tolerates_what_the_group_does() -> None:
    world = PureCluster(
        volume={"claimName": "models", "perNode": {"tolerations": [TOLERATED]}},
        sync={"job": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "x"}]}},
    )
    world.add_node("n0", taints=(GPU,))
    world.settle()
    pod = world.jobs[world.job_of("n0")]["spec"]["template"]["spec"]
    (term,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term == {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n0"]}]}
    assert "nodeSelector" not in pod
    assert pod["tolerations"] == [{"key": "x"}, TOLERATED]


@pytest.mark.parametrize("cache", ["a", "a" * 40, "a" * 63])
def test_names_of_jobs_fit_and_differ_by_node_and_attempt(cache: str) -> None:
    found = {names.copy_job_name(cache, f"uid-{node}", attempt) for node in range(1000) for attempt in (1, 99999)}
    assert len(found) == 2000
    assert max(map(len, found)) <= 63


def test_with_peers_the_others_wait_until_the_first_copy_is_served_or_a_minute_has_passed() -> None:
    world = group(3, peers=True)
    world.sync_copy("n0", report("n0"))
    assert world.syncing() == []
    assert world.peer is not None
    (term,) = world.peer["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchFields"][0]["values"] == ["n0"]
    world.peer["status"] = {"podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]}
    world.settle()
    assert world.syncing() == ["n1", "n2"]
    variables = world.jobs[world.job_of("n2")]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variables[0]["value"] == "http://cache-peers.default.svc:9465"


def test_a_peer_server_that_never_starts_costs_a_minute() -> None:
    world = group(3, peers=True)
    world.sync_copy("n0", report("n0"))
    assert world.decide().wake_at == pytest.approx(world.now + 60, abs=1)
    world.now += 61
    world.settle()
    assert world.syncing() == ["n1", "n2"]
