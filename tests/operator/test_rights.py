"""The operator gets by with a namespaced Role, and uses all of it.

On the in-memory API the calls that it makes are compared with the rules; on a real one it runs with nothing but them.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from support.cluster import Space
from support.helm import Helm, Release
from support.kubeapi import FaultProxy
from support.kubeapi.client import eventually
from support.operator_process import OperatorProcess
from support.reports import complete

RULES: dict[tuple[str, str], set[str]] = {
    ("modelcache.dev", "modelcaches"): {"get", "list", "watch"},
    ("modelcache.dev", "modelcaches/status"): {"patch"},
    ("", "pods"): {"list", "watch", "patch"},
    ("", "configmaps"): {"list", "create", "patch"},
    ("", "persistentvolumeclaims"): {"get", "list", "create", "patch"},
    ("", "events"): {"create"},
    ("batch", "jobs"): {"get", "list", "watch", "create", "delete"},
    ("coordination.k8s.io", "leases"): {"get", "create", "update"},
}
"""What the chart's Roles allow. Nothing about Secrets, namespaces, or deleting claims and pods."""

NOT_SEEN_HERE = {("batch", "jobs", "get"), ("", "configmaps", "create"), ("", "persistentvolumeclaims", "patch")}
"""After a conflict; as the other half of server-side apply; when a claim's deletion policy changes."""


def live_through_everything(space: Space) -> None:
    space.cache(volume={"claimName": "made", "create": {"size": "1Gi"}})
    eventually(lambda: space.client.find("persistentvolumeclaims", "made", space.namespace), "the claim is created")
    space.kubelet.set_claim("made", "Bound")
    pod = space.kubelet.workload("cache", "made")
    space.job()
    space.client.patch("modelcaches", "cache", {"spec": {"allowPickles": False}}, space.namespace)
    space.complete(space.job(generation=2), complete())
    eventually(lambda: not pod.gated, "the gate is removed")
    eventually(lambda: space.events(pod.name), "an event says so")
    eventually(lambda: space.events("cache"), "and one about the cache")


def test_the_calls_made_are_the_calls_allowed(space: Space, proxy: FaultProxy, tmp_path: Path) -> None:
    with OperatorProcess(proxy.kubeconfig(tmp_path), "--full-list-seconds", "2", namespaces=(space.namespace,)):
        live_through_everything(space)
    made = {(call.group, call.resource, call.verb) for call in proxy.calls}
    allowed = {(group, resource, verb) for (group, resource), verbs in RULES.items() for verb in verbs}
    assert made - allowed == set()
    assert allowed - made == NOT_SEEN_HERE


def test_the_charts_roles_say_the_same(helm: Helm) -> None:
    for values in ({}, {"operator": {"allNamespaces": True}}):
        assert _rules_of(helm, Release(values)) == RULES


def _rules_of(helm: Helm, release: Release) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for role in helm.render(release):
        if role["kind"] in ("Role", "ClusterRole"):
            for rule in role["rules"]:
                for key in itertools.product(rule["apiGroups"], rule["resources"]):
                    found.setdefault(key, set()).update(rule["verbs"])
    return found


def test_a_service_account_with_just_the_charts_roles_is_enough(space: Space, helm: Helm, tmp_path: Path) -> None:
    real = space.cluster.real
    if real is None:
        pytest.skip("RBAC is enforced by a real API server only")
    kubeconfig = real.write_kubeconfig(space.namespace, {"token": _bound_token(space, helm)})
    with OperatorProcess(kubeconfig, "--full-list-seconds", "2", namespaces=(space.namespace,)) as operator:
        live_through_everything(space)
        complaints = [line for line in operator.lines if line.get("level") not in ("info", "debug")]
    assert complaints == []


def _bound_token(space: Space, helm: Helm) -> str:
    """Of the service account that the chart makes, with the chart's Roles."""
    client, namespace = space.client, space.namespace
    resources = {"ServiceAccount": "serviceaccounts", "Role": "roles", "RoleBinding": "rolebindings"}
    documents = [each for each in helm.render(Release(namespace=namespace)) if each["kind"] in resources]
    for document in documents:
        client.create(resources[document["kind"]], document, namespace)
    name = next(each["metadata"]["name"] for each in documents if each["kind"] == "ServiceAccount")
    path = client.path("serviceaccounts", namespace, name, "token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    return str(client.call("POST", path, request)["status"]["token"])
