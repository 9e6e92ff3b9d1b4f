"""The peer server's objects on an API: Service without a selector, EndpointSlice of one pod, and that pod."""

from __future__ import annotations

from typing import Any

import pytest

from support.cluster import Space
from support.operator_process import OperatorProcess
from support.reports import complete
from support.waiting import eventually

Json = dict[str, Any]
PEERS = {"enabled": True, "tokenSecret": {"name": "token"}}


def served(space: Space, **spec: Any) -> None:
    """A complete cache on a volume that several nodes can mount."""
    space.kubelet.claim("models", accessModes=["ReadWriteMany"])
    space.cache(**{"peers": PEERS, **spec})
    space.complete(space.job(), complete())
    space.until("Ready")


def pod(space: Space, besides: str = "") -> Json:
    def found() -> Json | None:
        each: Json | None = space.client.find("pods", "cache-peers", space.namespace)
        return each if each and each["metadata"]["uid"] != besides else None

    return dict(eventually(found, "the server's pod is created"))


def start(space: Space, address: str = "10.1.2.3") -> None:
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    space.client.patch("pods", "cache-peers", {"status": status}, space.namespace, sub="status")


def addresses(space: Space) -> list[str]:
    slices = space.client.list("endpointslices", space.namespace, "kubernetes.io/service-name=cache-peers")
    return [address for each in slices for one in each.get("endpoints") or () for address in one["addresses"]]


def until_peers(space: Space, reason: str) -> Json:
    return eventually(
        lambda: space.condition("PeersReady"), reason, wanted=lambda found: bool(found.get("reason") == reason)
    )


def test_a_complete_cache_is_served_by_one_pod_and_a_disabled_one_by_none(
    space: Space, operator: OperatorProcess
) -> None:
    served(space)
    made = pod(space)
    service = space.client.get("services", "cache-peers", space.namespace)
    assert "selector" not in service["spec"]
    assert addresses(space) == []
    assert {each["metadata"]["ownerReferences"][0]["kind"] for each in (made, service)} == {"ModelCache"}
    start(space)
    eventually(lambda: addresses(space) == ["10.1.2.3"], "the Service leads to it")
    until_peers(space, "Serving")
    assert space.status()["peers"]["podUid"] == made["metadata"]["uid"]
    space.client.patch(
        "modelcaches", "cache", {"metadata": {"annotations": {"modelcache.dev/resync": "1"}}}, space.namespace
    )
    container = space.job(2)["spec"]["template"]["spec"]["containers"][0]
    assert {each["name"] for each in container["env"]} == {"MODELCACHE_PEERS", "MODELCACHE_PEER_TOKEN"}
    space.client.patch("modelcaches", "cache", {"spec": {"peers": None}}, space.namespace)
    eventually(lambda: space.client.find("pods", "cache-peers", space.namespace) is None, "no pod")
    eventually(lambda: space.client.find("services", "cache-peers", space.namespace) is None, "no service")
    eventually(lambda: "peers" not in space.status(), "the status does not speak of it")


def test_after_a_restart_the_pod_is_known_and_one_that_took_its_place_is_not(space: Space) -> None:
    arguments = ("--full-list-seconds", "1")
    with OperatorProcess(space.cluster.kubeconfig, *arguments, namespaces=(space.namespace,)):
        served(space)
        start_when_made = pod(space)
        start(space)
        until_peers(space, "Serving")
    with OperatorProcess(space.cluster.kubeconfig, *arguments, namespaces=(space.namespace,)):
        space.client.patch(
            "services", "cache-peers", {"spec": {"selector": {"modelcache.dev/peers": "true"}}}, space.namespace
        )
        eventually(
            lambda: "selector" not in space.client.get("services", "cache-peers", space.namespace)["spec"],
            "a selector is taken away",
        )
        assert pod(space)["metadata"]["uid"] == start_when_made["metadata"]["uid"]
    forged = {key: start_when_made["metadata"][key] for key in ("name", "labels", "annotations", "ownerReferences")}
    spec = {"containers": [{"name": "serve", "image": "evil"}]}
    space.client.delete("pods", "cache-peers", space.namespace)
    taker = space.client.create("pods", {"metadata": forged, "spec": spec}, space.namespace)
    start(space, "10.6.6.6")
    with OperatorProcess(space.cluster.kubeconfig, *arguments, namespaces=(space.namespace,)):
        pod(space, besides=taker["metadata"]["uid"])
        eventually(lambda: addresses(space) == [], "the Service leads nowhere")


@pytest.mark.parametrize("kind", ["pods", "services"])
def test_an_object_of_its_name_is_left_alone_and_named(space: Space, operator: OperatorProcess, kind: str) -> None:
    spec: dict[str, Json] = {
        "pods": {"containers": [{"name": "a", "image": "b"}]},
        "services": {"selector": {"app": "x"}, "ports": [{"port": 80}]},
    }
    body = {"metadata": {"name": "cache-peers"}, "spec": spec[kind]}
    before = space.client.create(kind, body, space.namespace)
    served(space)
    message = until_peers(space, "NameTaken")["message"]
    assert "cache-peers exists and was not made for ModelCache cache" in message
    assert space.client.get(kind, "cache-peers", space.namespace)["spec"] == before["spec"]
    assert space.status()["phase"] == "Ready"
