"""The peer server of a cache: when there is one, where, which pod is believed to be it, and what leads to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modelcache_operator.core import jobs, names
from modelcache_operator.core.limits import Limits
from support.podsecurity import restricted_problems
from support.pure_cluster import UID, PureCluster
from support.reports import complete

Json = dict[str, Any]
SHARED, ONE_NODE, ONE_POD = "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"


def served(mode: str = SHARED, **spec: Any) -> PureCluster:
    """A complete cache with a peer server that has not started."""
    world = PureCluster(**{"peers": {"enabled": True}, **spec})
    assert world.claim is not None
    world.claim["spec"] = {"accessModes": [mode]}
    world.settle()
    world.sync_well(complete())
    return world


def answering(world: PureCluster) -> PureCluster:
    assert world.peer is not None
    world.peer["status"] = {"podIP": "10.1.2.3", "conditions": [{"type": "Ready", "status": "True"}]}
    world.settle()
    return world


def use(world: PureCluster, name: str, node: str) -> None:
    world.add_pod(name)
    world.pods[name]["spec"]["nodeName"] = node


def reason(world: PureCluster) -> str:
    return str(world.condition("PeersReady")["reason"])


def test_a_cache_without_peers_has_none_and_says_nothing_of_them(ready: PureCluster) -> None:
    assert ready.peer is None
    assert "peers" not in ready.status
    assert "PeersReady" not in [each["type"] for each in ready.status["conditions"]]


def test_the_server_is_created_once_the_cache_is_complete() -> None:
    world = PureCluster(peers={"enabled": True})
    assert world.claim is not None
    world.claim["spec"] = {"accessModes": [SHARED]}
    world.settle()
    assert (world.peer, reason(world)) == (None, "NotComplete")
    world.sync_well(complete())
    assert world.peer is not None
    assert reason(world) == "PodStarting"
    answering(world)
    assert world.condition("PeersReady")["status"] == "True"
    assert world.status["peers"] == {
        "address": "http://cache-peers.default.svc:9465",
        "podUid": world.peer["metadata"]["uid"],
    }
    assert [each for each in world.notices if "Peers" in each] == ["Normal PeersReady Serving"]


def test_the_pod_is_restricted_and_reads_the_volume_alone() -> None:
    pod = served(auth={"secretName": "hf"}, peers={"enabled": True, "tokenSecret": {"name": "t", "key": "k"}}).peer
    assert pod is not None
    spec = pod["spec"]
    assert restricted_problems(spec) == []
    assert (spec["automountServiceAccountToken"], spec["containers"][0].get("env")) == (False, None)
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert all(each["readOnly"] for each in spec["containers"][0]["volumeMounts"])
    assert spec["containers"][0]["args"][-2:] == ["--token-file", "/etc/modelcache-peers/token"]
    assert spec["volumes"][1]["secret"]["items"] == [{"key": "k", "path": "token"}]


@pytest.mark.parametrize(
    ("mode", "nodes", "expected"),
    [
        (SHARED, [], ("", "PodStarting")),
        (SHARED, ["a"], ("", "PodStarting")),
        (ONE_NODE, [], (None, "WaitingForPod")),
        (ONE_NODE, [""], (None, "WaitingForPod")),
        (ONE_NODE, ["a"], ("a", "PodStarting")),
        (ONE_POD, ["a"], (None, "AccessMode")),
    ],
    ids=["shared", "shared and used", "one node, unused", "one node, not scheduled", "one node", "one pod"],
)
def test_it_runs_where_it_keeps_the_volume_from_nobody(mode: str, nodes: list[str], expected: object) -> None:
    world = served(mode)
    for number, node in enumerate(nodes):
        use(world, f"p{number}", node)
    world.settle()
    assert (node_of(world.peer), reason(world)) == expected


def node_of(pod: Json | None) -> str | None:
    if pod is None or "affinity" not in pod["spec"]:
        return None if pod is None else ""
    terms = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return str(terms["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])


def _move(world: PureCluster) -> None:
    del world.pods["p"]
    use(world, "q", "b")


def _succeed(world: PureCluster) -> None:
    world.pods["p"]["status"]["phase"] = "Succeeded"


@pytest.mark.parametrize(
    ("happens", "node"),
    [
        (lambda world: world.pods.pop("p"), None),
        (_succeed, None),
        (_move, "b"),
        (lambda world: use(world, "q", "b"), "a"),
    ],
    ids=["its pod is gone", "its pod has ended", "its pod moved", "another node has one too"],
)
def test_it_follows_the_pods_that_use_a_volume_of_one_node(happens: Callable[[PureCluster], Any], node: object) -> None:
    world = served(ONE_NODE)
    use(world, "p", "a")
    world.settle()
    answering(world)
    happens(world)
    world.settle()
    assert node_of(world.peer) == node


def _unrecord(world: PureCluster) -> None:
    world.peer_created = ""
    world.cache["status"]["peers"].pop("podUid")


def _evict(world: PureCluster) -> None:
    assert world.peer is not None
    world.peer["status"] = {"phase": "Failed"}


REPLACED: dict[str, tuple[Callable[[PureCluster], Any], bool]] = {
    "nothing happens": (lambda _: None, False),
    "a new operator, which has the uid from the status": (lambda world: setattr(world, "peer_created", ""), False),
    "a new operator, before which nobody noted the uid": (_unrecord, True),
    "another image": (lambda world: world.change_spec(sync={"job": {"image": "other"}}), True),
    "a token": (lambda world: world.change_spec(peers={"enabled": True, "tokenSecret": {"name": "t"}}), True),
    "a change that does not concern it": (lambda world: world.change_spec(sync={"job": {"backoffLimit": 1}}), False),
    "a resync": (lambda world: world.annotate("now"), False),
    "it was evicted": (_evict, True),
}


@pytest.mark.parametrize(("happens", "replaced"), REPLACED.values(), ids=REPLACED)
def test_it_is_replaced_when(happens: Callable[[PureCluster], Any], replaced: bool) -> None:
    world = answering(served())
    assert world.peer is not None
    before = world.peer["metadata"]["uid"]
    world.now += 60
    happens(world)
    world.settle()
    assert world.peer is not None
    assert (world.peer["metadata"]["uid"] != before) is replaced


def test_a_server_that_ends_at_once_is_not_created_again_and_again() -> None:
    world = served()
    _evict(world)
    decision = world.settle()
    assert decision.peers.delete is None
    assert decision.wake_at == world.now + 30


def test_damage_and_a_resync_leave_it_alone() -> None:
    world = answering(served())
    world.annotate("again")
    world.settle()
    assert (world.status["phase"], reason(world)) == ("Syncing", "Serving")


FORGED: dict[str, Json] = {
    "nobody": {},
    "another owner": {"ownerReferences": [{"uid": "x", "controller": True}]},
    "this cache": {"ownerReferences": [{"uid": UID, "controller": True}]},
}


@pytest.mark.parametrize("metadata", FORGED.values(), ids=FORGED)
def test_a_pod_that_has_its_name_and_labels_is_no_peer(metadata: Json) -> None:
    world = answering(served())
    assert world.peer is not None
    world.peer["metadata"] = {**world.peer["metadata"], "ownerReferences": [], "uid": "forged", **metadata}
    decision = world.decide()
    assert decision.peers.endpoint is None
    assert (decision.peers.delete is not None) is (metadata is FORGED["this cache"]), (
        "what nobody gave us is left alone"
    )
    world.annotate("again")
    request = world.decide().create_job
    assert request is not None
    assert request.peer == ""


@pytest.mark.parametrize(
    "happens",
    [
        lambda world: world.change_spec(peers={"enabled": False}),
        lambda world: world.change_spec(peers=None),
    ],
    ids=["disabled", "left out"],
)
def test_it_is_removed_when_it_is(happens: Callable[[PureCluster], Any]) -> None:
    world = answering(served())
    happens(world)
    decision = world.decide()
    assert decision.peers.remove
    world.settle()
    assert world.peer is None
    assert "peers" not in world.status
    assert not world.decide().peers.remove


def test_a_claim_that_is_being_deleted_is_not_held() -> None:
    world = answering(served())
    assert world.claim is not None
    world.claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.settle()
    assert (world.peer, reason(world)) == (None, "NoVolume")


def test_what_the_api_refuses_hinders_neither_sync_nor_gate() -> None:
    world = served()
    world.peer, world.peers_refused = None, "the API refuses Service cache-peers: forbidden"
    decision = world.settle()
    assert (world.status["phase"], reason(world)) == ("Ready", "Refused")
    assert "operator.peers.enabled" in world.condition("PeersReady")["message"]
    assert (decision.peers.create, decision.peers.serve) == (False, False)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ([], {"MODELCACHE_PEERS", "MODELCACHE_PEER_TOKEN"}),
        ([{"name": "MODELCACHE_PEERS", "value": "http://other"}], {"MODELCACHE_PEERS"}),
    ],
    ids=["unless set", "set"],
)
def test_jobs_get_address_and_token_while_it_answers(env: list[Json], expected: set[str]) -> None:
    peers = {"enabled": True, "tokenSecret": {"name": "t"}}
    world = answering(served(peers=peers, sync={"job": {"env": env}}))
    world.annotate("again")
    world.now += 100
    request = world.decide().create_job
    assert request is not None
    container = jobs.sync_job(world.parsed(), request, "init-sync")["spec"]["template"]["spec"]["containers"][0]
    variables = {each["name"]: each for each in container["env"]}
    assert set(variables) == expected
    if not env:
        assert variables["MODELCACHE_PEERS"]["value"] == "http://cache-peers.default.svc:9465"
        reference = {"name": "t", "key": "token", "optional": True}
        assert variables["MODELCACHE_PEER_TOKEN"]["valueFrom"] == {"secretKeyRef": reference}


@pytest.mark.parametrize(
    ("cache", "name"),
    [("cache", "cache-peers"), ("3d", "mc-3d-peers"), ("a" * 56, "a" * 56 + "-peers"), ("a" * 63, None)],
    ids=["short", "a digit first", "just fits", "long"],
)
def test_its_name_is_that_of_a_host(cache: str, name: str | None) -> None:
    found = names.peers_name(cache)
    assert len(found) <= 63
    assert found.endswith("-peers")
    assert name in (None, found)
    assert names.peers_name("b" + cache[1:]) != found


@pytest.mark.parametrize(
    ("limits", "spec", "refused"),
    [
        (Limits(frozenset({"peers"})), {"peers": {"enabled": True}}, "spec.peers.enabled"),
        (Limits(frozenset({"peers"})), {"peers": {"enabled": False}}, ""),
        (Limits(endpoints=("http://a",)), _env := {"env": "http://a,http://b"}, "MODELCACHE_PEERS"),
        (Limits(endpoints=("http://a", "http://b")), _env, ""),
    ],
    ids=["peers", "peers that are disabled", "a peer", "peers that are allowed"],
)
def test_limits_concern_peers_too(limits: Limits, spec: Json, refused: str) -> None:
    if value := spec.get("env"):
        spec = {"sync": {"job": {"env": [{"name": "MODELCACHE_PEERS", "value": value}]}}}
    problem = limits.problem(spec)
    assert (refused in problem) if refused else problem == ""
