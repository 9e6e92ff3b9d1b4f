"""The operator gets by with a Role, or a ClusterRole of the same rules, and uses all of it.

The calls that it makes are compared with the rules; on a real API it runs with nothing but them.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chart.objects import component_of
from support.cluster import Space
from support.helm import Helm, Release
from support.kubeapi import FaultProxy
from support.operator_process import OperatorProcess
from support.reports import complete
from support.service_account import bound_token
from support.tasks import plan_report
from support.waiting import eventually

RULES: dict[tuple[str, str], set[str]] = {
    ("modelcache.dev", "modelcaches"): {"get", "list", "watch"},
    ("modelcache.dev", "modelcaches/status"): {"patch"},
    ("", "pods"): {"get", "list", "watch", "patch"},
    ("", "configmaps"): {"list", "create", "patch"},
    ("", "persistentvolumeclaims"): {"get", "list", "create", "patch"},
    ("", "events"): {"create"},
    ("batch", "jobs"): {"get", "list", "watch", "create", "delete"},
    ("coordination.k8s.io", "leases"): {"get", "create", "update"},
}
"""What the chart's Roles allow. Nothing about Secrets, namespaces, or deleting claims and pods."""

PEERS: dict[tuple[str, str], set[str]] = {
    ("", "pods"): RULES["", "pods"] | {"create", "delete"},
    ("", "services"): {"get", "create", "patch", "delete"},
    ("discovery.k8s.io", "endpointslices"): {"get", "create", "patch"},
}
"""What is added with operator.peers.enabled."""

WITH_PEERS: dict[str, Any] = {"operator": {"peers": {"enabled": True}}}

KUEUE: dict[tuple[str, str], set[str]] = {("batch", "jobs"): RULES["batch", "jobs"] | {"patch"}}
"""With operator.kueue.enabled."""

WITH_KUEUE: dict[str, Any] = {"operator": {"kueue": {"enabled": True}}}
NODES: dict[tuple[str, str], set[str]] = {("", "nodes"): {"get", "list", "watch"}}
"""What is added with operator.perNode.enabled."""

CLUSTER_WIDE: dict[str, Any] = {"operator": {"allNamespaces": True}}

NOT_SEEN_HERE = {("batch", "jobs", "get"), ("", "persistentvolumeclaims", "patch")}
"""After a conflict; when a claim's deletion policy changes."""


def live_through_everything(space: Space) -> None:
    space.cache(volume={"claimName": "made", "create": {"size": "1Gi"}})
    eventually(lambda: space.client.find("persistentvolumeclaims", "made", space.namespace), "the claim is created")
    space.kubelet.set_claim("made", "Bound")
    pod = space.kubelet.workload("cache", "made")
    space.job()
    space.client.patch("modelcaches", "cache", {"spec": {"allowPickles": False}}, space.namespace)
    space.complete(space.job(2), complete())
    eventually(lambda: not pod.gated, "the gate is removed")
    eventually(lambda: space.events(pod.name), "an event says so")
    eventually(lambda: space.events("cache"), "and one about the cache")
    space.cache("sized", volume={"create": {"size": "auto"}})
    space.complete(space.task("plan", name="sized"), plan_report())
    eventually(lambda: space.client.find("persistentvolumeclaims", "sized", space.namespace), "a claim of that size")


def test_the_calls_made_are_the_calls_allowed(space: Space, proxy: FaultProxy, tmp_path: Path) -> None:
    operator = OperatorProcess(proxy.kubeconfig(tmp_path), "--full-list-seconds", "2", namespaces=(space.namespace,))
    with operator:
        live_through_everything(space)
    holder = {"spec": {"holderIdentity": "gone_5c0fe5fe-7b1c-4d39-8a1e-0f0c6d2f9b11"}}
    space.client.patch("leases", "modelcache-operator", holder, space.namespace)
    with operator:
        assert operator.logged("waiting for the lease") == []
    made = {(call.group, call.resource, call.verb) for call in proxy.calls}
    assert made - allowed() == set()
    assert allowed() - made == NOT_SEEN_HERE


def test_the_charts_roles_say_the_same(helm: Helm) -> None:
    for values in ({}, CLUSTER_WIDE):
        assert _rules_of(helm, Release(values)) == RULES


def test_rights_for_peers_are_given_where_they_are_asked_for(helm: Helm) -> None:
    assert _rules_of(helm, Release(WITH_PEERS)) == RULES | PEERS


def test_the_calls_made_for_peers_are_those_that_are_added(
    space: Space, proxy: FaultProxy, helm: Helm, tmp_path: Path
) -> None:
    token = bound_token(space, helm, WITH_PEERS) if space.cluster.real else ""
    kubeconfig = proxy.kubeconfig(tmp_path, token)
    with OperatorProcess(kubeconfig, "--full-list-seconds", "1", namespaces=(space.namespace,)) as operator:
        live_with_a_peer_server(space)
        assert _complaints(operator) == []
    made = {(call.group, call.resource, call.verb) for call in proxy.calls}
    added = _calls(PEERS) - allowed()
    assert made - allowed() == added


def live_with_a_peer_server(space: Space) -> None:
    space.kubelet.claim("models", accessModes=["ReadWriteMany"])
    space.cache(peers={"enabled": True})
    space.complete(space.job(), complete())
    eventually(lambda: space.client.find("pods", "cache-peers", space.namespace), "the server's pod is created")
    for address in ("10.1.2.3", "10.1.2.4"):
        space.client.patch("pods", "cache-peers", _answering(address), space.namespace, sub="status")
        eventually(partial(_leads_to, space, address), "the Service leads to it")
    stray = {"spec": {"selector": {"app": "stray"}}}
    space.client.patch("services", "cache-peers", stray, space.namespace)
    service = partial(space.client.find, "services", "cache-peers", space.namespace)
    eventually(lambda: "selector" not in (service() or {"spec": stray})["spec"], "the selector is removed")
    space.client.patch("modelcaches", "cache", {"spec": {"peers": None}}, space.namespace)
    eventually(lambda: service() is None, "the Service is deleted")
    eventually(lambda: "peers" not in space.status(), "the status does not speak of it")


def _answering(address: str) -> dict[str, Any]:
    ready = [{"type": "Ready", "status": "True"}]
    return {"status": {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running", "conditions": ready}}


def _leads_to(space: Space, address: str) -> bool:
    found = space.client.find("endpointslices", "cache-peers", space.namespace) or {}
    return [each["addresses"] for each in found.get("endpoints") or ()] == [[address]]


def test_the_right_to_change_jobs_is_given_where_it_is_asked_for(helm: Helm) -> None:
    assert _rules_of(helm, Release(WITH_KUEUE)) == RULES | KUEUE


def test_with_that_right_kueue_is_told_and_without_it_the_job_is(space: Space, helm: Helm) -> None:
    real = space.cluster.real
    if real is None:
        pytest.skip("RBAC is enforced by a real API server only")
    space.kubelet.claim("models")
    space.kubelet.job("train", "cache", **{"kueue.x-k8s.io/admission-gated-by": "modelcache.dev/complete"})
    space.cache()
    for values, reason in (({}, "AdmissionNotUngated"), (WITH_KUEUE, "AdmissionUngated")):
        kubeconfig = real.write_kubeconfig(space.namespace, {"token": bound_token(space, helm, values)})
        with OperatorProcess(kubeconfig, namespaces=(space.namespace,)):
            if values is not WITH_KUEUE:
                space.complete(space.job(), complete())
            eventually(partial(_is_told, space, reason), f"the Job is told {reason}", 30)
    assert not space.client.get("jobs", "train", space.namespace)["metadata"].get("annotations")


def _is_told(space: Space, reason: str) -> bool:
    return reason in {event["reason"] for event in space.events("train")}


def test_rights_on_nodes_are_given_where_they_are_asked_for_and_by_a_cluster_role_alone(helm: Helm) -> None:
    for values in ({}, {"allNamespaces": True}):
        release = Release({"operator": {"perNode": {"enabled": True}, **values}})
        assert _rules_of(helm, release) == RULES | NODES
        assert all("nodes" not in str(role["rules"]) for role in helm.render(release) if role["kind"] == "Role")


def _rules_of(helm: Helm, release: Release) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for role in helm.render(release):
        if role["kind"] in ("Role", "ClusterRole") and component_of(role) == "operator":
            for rule in role["rules"]:
                for key in itertools.product(rule["apiGroups"], rule["resources"]):
                    found.setdefault(key, set()).update(rule["verbs"])
    return found


def test_a_service_account_with_just_the_charts_roles_is_enough(space: Space, helm: Helm, tmp_path: Path) -> None:
    real = space.cluster.real
    if real is None:
        pytest.skip("RBAC is enforced by a real API server only")
    kubeconfig = real.write_kubeconfig(space.namespace, {"token": bound_token(space, helm, {})})
    with OperatorProcess(kubeconfig, "--full-list-seconds", "2", namespaces=(space.namespace,)) as operator:
        live_through_everything(space)
        assert _complaints(operator) == []


def test_with_just_a_cluster_role_caches_of_one_name_in_two_namespaces_are_served_apart(
    space: Space, other_space: Space, proxy: FaultProxy, helm: Helm, tmp_path: Path
) -> None:
    if space.cluster.local is None and space.cluster.real is None:
        pytest.skip("a cluster that was given may be used by other tests, which this operator would serve too")
    token = bound_token(space, helm, CLUSTER_WIDE) if space.cluster.real else ""
    arguments = ("--full-list-seconds", "2", "--lease-namespace", space.namespace)
    with OperatorProcess(proxy.kubeconfig(tmp_path, token), *arguments, namespaces=()) as operator:
        live_apart(space, other_space)
        assert _complaints(operator) == []
    narrow = {(call.verb, call.resource) for call in proxy.calls if call.verb in ("list", "watch") and call.namespace}
    assert narrow <= {("list", "pods")}, "else it would need to know the namespaces; a cache's pods it may ask for"
    assert {(call.group, call.resource, call.verb) for call in proxy.calls} <= allowed()


def live_apart(first: Space, second: Space) -> None:
    pods = []
    for space in (first, second):
        space.kubelet.claim("models")
        space.cache(models=[{"name": "base", "repo": f"owner/{space.namespace}", "path": "base"}])
        pods.append(space.kubelet.workload("cache", "models"))
    first.complete(first.job(), complete(fetched=7))
    first.until("Ready")
    eventually(lambda: not pods[0].gated, "the gate is removed")
    second.job()
    second.until("Pending")
    assert pods[1].gated
    second.complete(second.job(), complete(fetched=9))
    second.until("Ready")
    eventually(lambda: not pods[1].gated, "the gate of the other is removed")
    for space, fetched in ((first, 7), (second, 9)):
        eventually(partial(_has_fetched, space, fetched), "the figures are those of its own pod")
    for space, pod in zip((first, second), pods, strict=True):
        config = space.client.get("configmaps", "cache-modelcache", space.namespace)
        assert f"owner/{space.namespace}" in config["data"]["modelcache.yaml"]
        eventually(partial(space.events, pod.name), "an event is posted where the pod is")
    first.client.delete("modelcaches", "cache", first.namespace)
    ghost = first.kubelet.workload("cache", "models")
    alive = second.kubelet.workload("cache", "models")
    eventually(lambda: not alive.gated, "the other cache lives on")
    assert ghost.gated


def _has_fetched(space: Space, count: int) -> bool:
    return bool(space.status()["bytesFetched"] == count)


def allowed() -> set[tuple[str, str, str]]:
    return _calls(RULES)


def _calls(rules: dict[tuple[str, str], set[str]]) -> set[tuple[str, str, str]]:
    return {(group, resource, verb) for (group, resource), verbs in rules.items() for verb in verbs}


def _complaints(operator: OperatorProcess) -> list[dict[str, object]]:
    return [line for line in operator.lines if line.get("level") not in ("info", "debug")]
