"""Who may take the Lease, and when: a successor does not wait for a pod that is no more, and for nobody else less."""

from __future__ import annotations

from typing import Any

import pytest

from modelcache_operator.app.settings import read_settings
from modelcache_operator.kube.lease import has_ended
from support.cluster import Space
from support.kubeapi import FaultProxy
from support.operator_process import OperatorProcess
from support.waiting import eventually

Json = dict[str, Any]
NAME = "modelcache-operator-7d9f-x2x4q"
UID = "5c0fe5fe-7b1c-4d39-8a1e-0f0c6d2f9b11"


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        pytest.param({}, False, id="no status"),
        pytest.param({"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}, False, id="runs"),
        pytest.param({"phase": "Running", "containerStatuses": [{"state": {"terminated": {}}}]}, False, id="restarts"),
        pytest.param({"phase": "Failed", "containerStatuses": [{"state": {"terminated": {}}}]}, True, id="was evicted"),
        pytest.param({"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {}}}]}, True, id="ended"),
        pytest.param({"phase": "Failed"}, True, id="never started"),
        pytest.param(
            {"phase": "Failed", "containerStatuses": [{"state": {"running": {}}}]}, False, id="lost with its node"
        ),
    ],
)
def test_a_pod_has_ended_when_its_kubelet_says_so_of_every_container(status: Json, ended: bool) -> None:
    assert has_ended(status) is ended


@pytest.mark.parametrize(
    ("environment", "arguments", "identity"),
    [
        pytest.param({"POD_NAMESPACE": "ns"}, (), f"{NAME}_{UID}", id="pod"),
        pytest.param({"POD_NAMESPACE": "ns"}, ("--lease-namespace", "ns"), f"{NAME}_{UID}", id="the same namespace"),
        pytest.param({"POD_NAMESPACE": "ns"}, ("--lease-namespace", "other"), NAME, id="another namespace"),
        pytest.param({}, (), NAME, id="namespace not known"),
        pytest.param({"POD_NAMESPACE": "ns"}, ("--identity", "me"), "me", id="named"),
    ],
)
def test_a_pod_calls_itself_by_its_uid_where_a_successor_can_look_for_it(
    environment: dict[str, str], arguments: tuple[str, ...], identity: str
) -> None:
    pod = {"POD_NAME": NAME, "POD_UID": UID}
    assert read_settings(("--namespace", "a", *arguments), pod | environment).identity == identity


def make_pod(space: Space, name: str, **status: Any) -> str:
    """Returns its uid."""
    containers = [{"name": "operator", "image": "operator"}]
    made = space.client.create(
        "pods", {"metadata": {"name": name}, "spec": {"containers": containers}}, space.namespace
    )
    if status:
        space.client.patch("pods", name, {"status": status}, space.namespace, sub="status")
    return str(made["metadata"]["uid"])


def hold_lease(space: Space, holder: str) -> None:
    """Somebody took the operator's Lease just now."""
    stamp = "2026-11-23T01:02:03.000000Z"
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 3600, "acquireTime": stamp, "renewTime": stamp}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "modelcache-operator"}}
    space.client.create("leases", body | {"spec": spec}, space.namespace)


ENDED = {"name": "operator", "image": "operator", "imageID": "", "restartCount": 0, "ready": False}


@pytest.mark.parametrize("why", ["gone", "another uid", "ended"])
def test_the_lease_of_a_pod_that_is_no_more_is_taken_at_once(space: Space, why: str) -> None:
    uid = UID
    if why != "gone":
        state = {"state": {"terminated": {"exitCode": 137}}}
        made = make_pod(space, NAME, phase="Failed", containerStatuses=[ENDED | state])
        uid = made if why == "ended" else UID
    hold_lease(space, f"{NAME}_{uid}")
    with OperatorProcess(space.cluster.kubeconfig, namespaces=(space.namespace,)) as operator:
        assert operator.logged("waiting for the lease") == []
        lease = space.client.get("leases", "modelcache-operator", space.namespace)["spec"]
        assert (lease["holderIdentity"], lease["leaseTransitions"]) == ("test-operator", 1)


@pytest.mark.parametrize(
    "who", ["a pod that runs", "a pod on a lost node", "a name of a pod without uid", "somebody else"]
)
def test_any_other_holder_is_waited_for(space: Space, who: str) -> None:
    state = {"state": {"running": {"startedAt": "2026-11-23T01:02:03Z"}}}
    phase = "Failed" if who == "a pod on a lost node" else "Running"
    uid = make_pod(space, "there", phase=phase, containerStatuses=[ENDED | state])
    hold_lease(
        space, {"a name of a pod without uid": "not-there", "somebody else": "not_there"}.get(who, f"there_{uid}")
    )
    operator = OperatorProcess(space.cluster.kubeconfig, namespaces=(space.namespace,))
    with operator.running(ready=False):
        operator.wait_for("waiting for the lease")
        assert operator.logged("lease acquired") == []
        space.client.patch("leases", "modelcache-operator", {"spec": {"holderIdentity": ""}}, space.namespace)
        operator.wait_for("lease acquired")


def test_without_the_right_to_look_for_the_pod_the_lease_is_waited_for(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess
) -> None:
    looked = proxy.faults.add(403, 1_000_000, "get", "pods")
    hold_lease(space, f"{NAME}_{UID}")
    with faulty.running(ready=False):
        eventually(lambda: len(looked.spoilt) > 2, "it looks again and again")
        assert faulty.logged("lease acquired") == []
        proxy.faults.clear()
        faulty.wait_for("lease acquired")


def test_a_holder_that_sees_the_lease_in_other_hands_stops_before_its_own_time_is_over(space: Space) -> None:
    """It was taken over because its pod was deleted by force, and its token still works."""
    arguments = ("--lease-seconds", "36", "--full-list-seconds", "3600")
    with OperatorProcess(space.cluster.kubeconfig, *arguments, namespaces=(space.namespace,)) as operator:
        other = {"spec": {"holderIdentity": "other", "leaseDurationSeconds": 3600}}
        space.client.patch("leases", "modelcache-operator", other, space.namespace)
        assert operator.process.wait(36 / 9 * 3) == 1
        assert operator.logged("the lease modelcache-operator is held by other now")
