"""Several namespaces, of which one must not be listed: the others are served, and it is told and tried again."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from modelcache_operator.app.watching import make_settings
from support.cluster import Space
from support.helm import Helm, Release
from support.kubeapi import FaultProxy
from support.operator_process import OperatorProcess
from support.reports import complete
from support.waiting import eventually

ALWAYS = 1_000_000
POD = ("modelcache-operator-7d9f-x2x4q", "5c0fe5fe-7b1c-4d39-8a1e-0f0c6d2f9b11")


@pytest.fixture
def both(proxy: FaultProxy, space: Space, other_space: Space, tmp_path: Path) -> OperatorProcess:
    """An operator for two namespaces, not yet started."""
    arguments = ("--full-list-seconds", "1", "--lease-namespace", space.namespace)
    return OperatorProcess(proxy.kubeconfig(tmp_path), *arguments, namespaces=(space.namespace, other_space.namespace))


def is_served(space: Space, name: str) -> None:
    """From a new cache to a pod that is ungated."""
    space.kubelet.claim(name)
    pod = space.kubelet.workload(name, name)
    space.cache(name, claim=name)
    space.complete(space.job(name=name), complete(name))
    eventually(lambda: not pod.gated, f"the gate of {name} is removed")


def said_of(operator: OperatorProcess, space: Space, message: str) -> list[dict[str, Any]]:
    lines = (line for line in operator.lines if line.get("namespace") == space.namespace)
    return [line for line in lines if line["message"].startswith(message)]


def served(operator: OperatorProcess) -> dict[str, bool]:
    found = re.findall(r'^modelcache_operator_namespace_served{namespace="(.*)"} (.*)$', operator.metrics(), re.M)
    return {namespace: value == "1.0" for namespace, value in found}


# What is refused: everything, or one kind alone. Of the latter, watches tell of some objects all the same.
PARTS = ("", "pods", "jobs", "configmaps", "modelcaches", "persistentvolumeclaims")


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part or "everything")
def test_a_namespace_that_is_refused_from_the_start_costs_the_others_nothing(
    space: Space, other_space: Space, proxy: FaultProxy, both: OperatorProcess, part: str
) -> None:
    proxy.faults.add(403, ALWAYS, "list", part, namespace=other_space.namespace)
    other_space.kubelet.claim("models")
    other_space.cache("early")
    with both:
        is_served(space, "one")
        assert served(both) == {space.namespace: True, other_space.namespace: False}
        (line,) = said_of(both, other_space, "listing failed")
        assert (line["level"], line["served"]) == ("warning", False)
        assert other_space.jobs("early") == [], "half a view decides nothing"
        proxy.faults.clear()
        other_space.job(name="early")
        is_served(other_space, "two")
        assert served(both) == {space.namespace: True, other_space.namespace: True}
        assert len(said_of(both, other_space, "listed again")) == 1


def test_a_namespace_that_is_deleted_with_its_role_while_the_operator_runs_is_forgotten_until_it_is_back(
    space: Space, other_space: Space, proxy: FaultProxy, both: OperatorProcess
) -> None:
    with both:
        is_served(space, "one")
        is_served(other_space, "one")
        rule = proxy.faults.add(403, ALWAYS, namespace=other_space.namespace)
        proxy.cut_watches()
        eventually(lambda: not served(both)[other_space.namespace], "it is seen")
        eventually(
            lambda: f'namespace="{other_space.namespace}",phase' not in both.metrics(), "its caches are forgotten"
        )
        before = both.metric("modelcache_operator_last_full_list_timestamp_seconds")
        eventually(
            lambda: both.metric("modelcache_operator_last_full_list_timestamp_seconds") > before,
            "lists of the rest go on",
        )
        is_served(space, "two")
        eventually(lambda: len([call for call in rule.spoilt if call.resource == "jobs"]) > 1, "watches are tried too")
        assert len(said_of(both, other_space, "listing failed")) == 1
        proxy.faults.clear()
        is_served(other_space, "two")
        assert both.process.poll() is None


def test_without_any_namespace_to_serve_it_waits_and_says_why(
    space: Space, other_space: Space, proxy: FaultProxy, both: OperatorProcess
) -> None:
    proxy.faults.add(403, ALWAYS, "list", namespace=space.namespace)
    proxy.faults.add(403, ALWAYS, "list", namespace=other_space.namespace)
    with both.running(ready=False):
        eventually(
            lambda: all(said_of(both, each, "listing failed") for each in (space, other_space)), "each is told of"
        )
        assert both.logged("everything listed") == []
        proxy.faults.clear()
        both.wait_for("everything listed")
        is_served(other_space, "one")


def test_a_watch_is_never_given_up() -> None:
    """kopf would end the process after the last of its delays."""
    delays = make_settings().networking.error_backoffs
    assert not isinstance(delays, float)
    for _request in range(2):
        found = list(itertools.islice(delays, ALWAYS))
        assert (found[:6], len(found)) == ([1, 2, 4, 8, 15, 15], ALWAYS)


# With real rights


@pytest.fixture
def roles(space: Space, other_space: Space, helm: Helm) -> list[dict[str, Any]]:
    """What the chart makes for both namespaces; that of the other one is not created yet."""
    if space.cluster.real is None:
        pytest.skip("RBAC is enforced by a real API server only")
    values = {
        "operator": {"namespaces": [space.namespace, other_space.namespace]},
        "inference": {"enabled": False},
    }
    documents = [
        each
        for each in helm.render(Release(values, namespace=space.namespace))
        if each["kind"] in ("ServiceAccount", "Role", "RoleBinding")
    ]
    later = [each for each in documents if each["metadata"].get("namespace") == other_space.namespace]
    _create(space, [each for each in documents if each not in later])
    return later


def _create(space: Space, documents: list[dict[str, Any]]) -> None:
    for each in documents:
        resource = f"{each['kind'].lower()}s"
        space.client.create(resource, each, each["metadata"].get("namespace") or space.namespace)


def _token(space: Space) -> str:
    (account,) = space.client.list("serviceaccounts", space.namespace)
    path = space.client.path("serviceaccounts", space.namespace, account["metadata"]["name"], "token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    return str(space.client.call("POST", path, request)["status"]["token"])


def test_a_role_that_comes_goes_and_comes_back(
    space: Space, other_space: Space, roles: list[dict[str, Any]], proxy: FaultProxy, tmp_path: Path
) -> None:
    operator = OperatorProcess(
        proxy.kubeconfig(tmp_path, _token(space)),
        *("--full-list-seconds", "1", "--lease-namespace", space.namespace, "--identity", "_".join(POD)),
        namespaces=(space.namespace, other_space.namespace),
    )
    with operator:
        is_served(space, "one")
        (line,) = said_of(operator, other_space, "listing failed")
        assert (
            f'cannot list resource "pods" in API group "" in the namespace "{other_space.namespace}"' in line["message"]
        )
        (event,) = space.events(POD[0])
        assert (event["type"], event["reason"]) == ("Warning", "NamespaceNotServed")
        assert event["message"].startswith(f"namespace {other_space.namespace} is not served: pods is forbidden: ")
        _create(space, roles)
        is_served(other_space, "one")
        for each in roles:
            space.client.delete(f"{each['kind'].lower()}s", each["metadata"]["name"], other_space.namespace)
        eventually(lambda: not served(operator)[other_space.namespace], "it is seen")
        proxy.cut_watches()
        is_served(space, "two")
        _create(space, roles)
        is_served(other_space, "two")
        assert operator.process.poll() is None
