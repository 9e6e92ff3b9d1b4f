"""A copy on every node: the chart's local volume on real kubelets, and pods that are led to the nodes with a copy.

With a second node the group grows by it: it is filled from the first, cordoned, lost, and back with an empty disk.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.kube import UNSETTLED
from e2e.release import condition
from e2e.site import Site, takes_pods
from e2e.spread import CACHE, KUBELET, RELEASE, SYNC_PODS, Spread, named, required_terms
from support.waiting import eventually


@pytest.fixture(scope="module")
def spread(site: Site) -> Iterator[Spread]:
    (hub,) = site.kube.list("pods", "app=hub")
    first = hub["spec"]["nodeName"]
    others = [node["metadata"]["name"] for node in site.kube.list("nodes") if takes_pods(node)]
    made = Spread(site, (first, *(name for name in sorted(others) if name != first))[:2])
    made.join(made.first)
    site.helm("install", RELEASE, made.values())
    yield made
    site.kube.kubectl("delete", "pod", "--selector", f"modelcache.dev/cache={CACHE}", "--ignore-not-found")
    site.kube.helm("uninstall", RELEASE, "--wait")
    kept = [f"persistentvolumeclaim/{CACHE}", f"persistentvolume/{site.kube.namespace}.{CACHE}"]
    site.kube.kubectl("delete", *kept, "--ignore-not-found")
    for node in made.nodes:
        made.leave(node)
        made.remove_directory(node)


@pytest.fixture
def pair(spread: Spread) -> Spread:
    if len(spread.nodes) == 1:
        pytest.skip("the cluster has one node that takes pods")
    return spread


def test_the_claim_is_bound_to_the_volume_of_the_group(spread: Spread) -> None:
    kube = spread.site.kube
    kube.wait(f"persistentvolumeclaim/{CACHE}", "jsonpath={.status.phase}=Bound", 60)
    claim = kube.get("persistentvolumeclaim", CACHE)
    assert claim["spec"]["volumeName"] == f"{kube.namespace}.{CACHE}"
    assert claim["status"]["accessModes"] == ["ReadWriteMany"]


def test_without_the_directory_the_pod_of_the_job_waits_and_its_event_says_why(spread: Spread) -> None:
    says = f'path "{spread.directory}" does not exist'
    eventually(lambda: says in _failed_mounts(spread), "the kubelet says so", 120, not_yet=UNSETTLED)


def _failed_mounts(spread: Spread) -> str:
    """Messages of the Events; a kubelet may also have been too early for the claim."""
    pod = spread.kube.list("pods", SYNC_PODS)[0]
    about = f"reason=FailedMount,involvedObject.name={pod['metadata']['name']}"
    return spread.kube.kubectl("get", "events", "--field-selector", about, "--output", "jsonpath={.items[*].message}")


def test_once_it_is_there_the_copy_is_synced_as_the_user_of_the_chart(spread: Spread) -> None:
    """The kubelet made the directory for root alone, and gives it to the group of ``fsGroup``."""
    spread.make_directory(spread.first)
    spread.kube.wait(f"modelcache/{CACHE}", "condition=Complete")
    spread.until("1/1")
    assert {pod["spec"]["nodeName"] for pod in spread.kube.list("pods", SYNC_PODS)} == {spread.first}


def test_a_pod_at_the_gate_is_led_to_the_copy_in_each_of_its_terms_and_runs(spread: Spread) -> None:
    own = [{"key": "kubernetes.io/os", "operator": "Exists"}]
    led = spread.run_led("led", {"matchExpressions": own}, named(spread.first))
    there = {"key": "kubernetes.io/hostname", "operator": "In", "values": [spread.host(spread.first)]}
    assert required_terms(led) == [
        {"matchExpressions": [*own, there]},
        {**named(spread.first), "matchExpressions": [there]},
    ]
    assert led["spec"]["nodeName"] == spread.first


def test_an_upgrade_leaves_the_volume_bound_and_the_copy_complete(spread: Spread) -> None:
    kube = spread.kube
    before = spread.cache()["status"]["sync"]
    spread.site.helm("upgrade", RELEASE, spread.values())
    kube.wait(f"persistentvolumeclaim/{CACHE}", "jsonpath={.status.phase}=Bound", 60)
    kube.rolled_out(f"{RELEASE}-modelcache-operator")
    kube.wait(f"modelcache/{CACHE}", "condition=Complete")
    assert spread.cache()["status"]["sync"] == before


def test_on_a_node_that_is_cordoned_no_sync_starts_and_pods_use_the_other_copy(pair: Spread) -> None:
    pair.kube.kubectl("cordon", pair.other)
    pair.join(pair.other)
    pair.until("1/2")
    copy = eventually(lambda: pair.copy(pair.other), "the status names the copy", 60, not_yet=UNSETTLED)
    assert (copy["state"], copy["reason"]) == ("unavailable", "NodeUnavailable")
    assert pair.hosts_named(pair.run_led("meanwhile")) == [pair.host(pair.first)]
    assert pair.first == pair.kube.get("pod", "meanwhile")["spec"]["nodeName"]
    assert {pod["spec"]["nodeName"] for pod in pair.kube.list("pods", SYNC_PODS)} <= {pair.first}


def test_the_copy_of_a_node_that_comes_is_filled_from_the_first_and_the_hub_gives_nothing(pair: Spread) -> None:
    pair.kube.wait(f"modelcache/{CACHE}", "condition=PeersReady")
    pair.site.hub.forget()
    pair.make_directory(pair.other)
    pair.kube.kubectl("uncordon", pair.other)
    pair.until("2/2")
    assert pair.site.hub.asked_for_models() == []
    assert pair.identity(pair.first) != pair.identity(pair.other)


def test_a_pod_is_led_to_each_of_both_copies(pair: Spread) -> None:
    for node in pair.nodes:
        pod = pair.run_led(f"on-{node}", named(node))
        assert pod["spec"]["nodeName"] == node
        assert set(pair.hosts_named(pod)) == {pair.host(each) for each in pair.nodes}


def test_a_copy_stays_proven_while_its_node_is_cordoned(pair: Spread) -> None:
    pair.kube.kubectl("cordon", pair.other)
    pod = pair.run_led("beside")
    assert pod["spec"]["nodeName"] == pair.first
    assert set(pair.hosts_named(pod)) == {pair.host(each) for each in pair.nodes}
    pair.until("2/2")
    pair.kube.kubectl("uncordon", pair.other)


def test_a_node_that_is_lost_and_back_with_an_empty_disk_is_filled_again(pair: Spread) -> None:
    if not KUBELET:
        pytest.skip("how a kubelet is stopped is not known: MODELCACHE_E2E_KUBELET")
    pair.stop_kubelet(pair.other)
    pair.until("2/2")
    was = pair.kube.get("node", pair.other)["metadata"]["uid"]
    pair.kube.kubectl("delete", "node", pair.other)
    pair.until("1/1")
    assert condition(pair.cache(), "Ready")["status"] == "True"
    pair.start_kubelet(pair.other)
    assert pair.kube.get("node", pair.other)["metadata"]["uid"] != was
    pair.remove_directory(pair.other)
    pair.make_directory(pair.other)
    pair.site.hub.forget()
    pair.join(pair.other)
    pair.until("2/2")
    assert pair.site.hub.asked_for_models() == []


def test_an_empty_disk_is_found_by_a_pod_without_a_gate_and_filled_by_it_from_the_first_copy(pair: Spread) -> None:
    """The label adds the init container and the address of the peer server; with a node, a pod can have no gate."""
    pair.remove_directory(pair.other)
    pair.make_directory(pair.other)
    pair.site.hub.forget()
    before = pair.jobs()
    pod = pair.site.gated_pod("placed", CACHE)
    del pod["spec"]["schedulingGates"]
    pod["spec"]["nodeName"] = pair.other
    pair.kube.apply(pod)
    pair.kube.wait("pod/placed", "jsonpath={.status.phase}=Succeeded")
    eventually(lambda: pair.jobs() - before, "a Job proves what is there now", 60, not_yet=UNSETTLED)
    pair.until("2/2")
    assert pair.site.hub.file_bytes() == 0


def test_one_disk_behind_two_nodes_is_not_local_until_one_of_them_leaves(pair: Spread) -> None:
    pair.give_identity(pair.other, pair.identity(pair.first))
    pair.kube.kubectl("annotate", "modelcache", CACHE, "modelcache.dev/resync=1", "--overwrite")
    pair.kube.wait(f"modelcache/{CACHE}", "condition=VolumeReady=False")
    found = condition(pair.cache(), "VolumeReady")
    assert found["reason"] == "NotLocal"
    assert all(node in found["message"] for node in pair.nodes)
    pair.leave(pair.other)
    pair.until("1/1")
    pair.kube.wait(f"modelcache/{CACHE}", "condition=Ready")
