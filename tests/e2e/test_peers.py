"""A complete copy is served inside the cluster: another cache is filled from it, and the hub gives no file for that."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from e2e.kube import UNSETTLED, Json
from e2e.release import condition
from e2e.site import SENTENCES, Site
from support.waiting import eventually

ONE, TWO = "first", "second"


@pytest.fixture(scope="module")
def caches(site: Site) -> Iterator[Site]:
    """The operator alone. Its first cache is complete, and a pod uses its claim."""
    off: Json = {"cache": {"enabled": False}, "inference": {"enabled": False}}
    site.helm("install", "peers", site.values(operator={"peers": {"enabled": True}}, **off))
    first = site.cache(ONE, SENTENCES)
    first["spec"]["peers"] = {"enabled": True}
    site.kube.apply(first, site.gated_pod("user", ONE, command=["sleep", "infinity"]))
    site.kube.wait(f"modelcache/{ONE}", "condition=Complete")
    yield site
    site.kube.kubectl("delete", "pod/user", f"modelcache/{ONE}", f"modelcache/{TWO}", "--ignore-not-found")
    site.kube.helm("uninstall", "peers", "--wait")


def test_a_complete_copy_is_served_from_the_node_that_uses_it(caches: Site) -> None:
    caches.kube.wait("pod/user", "condition=Ready")
    caches.kube.wait(f"modelcache/{ONE}", "condition=PeersReady")
    node = caches.kube.get("pod", "user")["spec"]["nodeName"]
    assert caches.kube.get("pod", f"{ONE}-peers")["spec"]["nodeName"] == node


def test_another_cache_is_filled_from_it_and_the_hub_is_asked_for_nothing(caches: Site) -> None:
    caches.hub.forget()
    second = caches.cache(TWO, SENTENCES, endpoint=caches.kube.get("modelcache", ONE)["status"]["peers"]["address"])
    caches.kube.apply(second, caches.gated_pod("reader", TWO))
    caches.kube.wait("pod/reader", "jsonpath={.status.phase}=Succeeded")
    assert caches.hub.requests() == []
    digests = {name: _digests(caches.kube.get("modelcache", name)) for name in (ONE, TWO)}
    assert digests[ONE]
    assert digests[ONE] == digests[TWO]


def _digests(cache: Json) -> list[str]:
    return [model["digest"] for model in cache["status"]["models"]]


def test_a_pod_with_the_labels_of_the_server_gets_no_traffic(caches: Site) -> None:
    own = caches.kube.get("pod", f"{ONE}-peers")
    taker = caches.gated_pod("taker", ONE, command=["sleep", "infinity"])
    taker["metadata"]["labels"] = own["metadata"]["labels"]
    del taker["spec"]["schedulingGates"]
    caches.kube.apply(taker)
    caches.kube.wait("pod/taker", "condition=Ready")
    (leads_to,) = caches.kube.list("endpointslices", f"kubernetes.io/service-name={ONE}-peers")
    assert [each["targetRef"]["uid"] for each in leads_to["endpoints"]] == [own["metadata"]["uid"]]
    caches.kube.kubectl("delete", "pod/taker", "--grace-period=1")


def test_where_no_pod_uses_the_claim_any_more_the_server_makes_room(caches: Site) -> None:
    caches.kube.kubectl("delete", "pod/user", "--grace-period=1")
    eventually(partial(_reason_is, caches, "WaitingForPod"), "the condition says so", 120, not_yet=UNSETTLED)
    eventually(lambda: not _pods(caches), "its pod is gone", 60, not_yet=UNSETTLED)


def _reason_is(site: Site, reason: str) -> bool:
    return bool(condition(site.kube.get("modelcache", ONE), "PeersReady").get("reason") == reason)


def _pods(site: Site) -> list[Json]:
    return site.kube.list("pods", "modelcache.dev/peers=true")
