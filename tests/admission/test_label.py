"""What the label does to a pod on a real API server, with no operator and no controller running."""

from __future__ import annotations

from typing import Any

import pytest

from admission.ground import Ground
from admission.pods import GATE, comparable, container, joined, pod, summary
from admission.table import CASES, UNTOUCHED, Case
from support.kubeapi import ApiError
from support.waiting import eventually

Json = dict[str, Any]
APPLY = "application/apply-patch+yaml"


def test_each_pod_of_the_table_is_completed_left_alone_or_refused(ground: Ground) -> None:
    wrong = {
        name: (got, wanted) for name, case in CASES.items() for got, wanted in [_both(ground, case)] if got != wanted
    }
    assert wrong == {}
    assert len(CASES) >= 30


def _both(ground: Ground, case: Case) -> tuple[object, object]:
    """What was made of a pod and what should be, in the same form."""
    try:
        made = ground.create(case.pod, case.namespace, case.user)
    except ApiError as error:
        said = str(error)
        return said, said if isinstance(case.wants, str) and case.wants in said else case.wants
    if case.wants is UNTOUCHED:
        return comparable(made), comparable(ground.create(case.pod, "elsewhere", case.user))
    return summary(made), case.wants


@pytest.mark.parametrize("cache", ["cache", "hostile"])
def test_the_container_has_no_credential_and_nothing_of_the_cache_but_names(ground: Ground, cache: str) -> None:
    made = ground.create(pod(cache=cache))["spec"]
    sync = made["initContainers"][0]
    assert "env" not in sync
    assert sync["image"].startswith("modelcache/init-sync:")
    assert sync["securityContext"]["runAsUser"] == 65532
    mounted = {each["mountPath"]: each["name"] for each in sync["volumeMounts"]}
    assert mounted["/var/run/secrets/kubernetes.io/serviceaccount"] == "modelcache-no-token"
    kinds = {each["name"]: [key for key in each if key != "name"] for each in made["volumes"]}
    assert kinds[mounted["/var/run/secrets/kubernetes.io/serviceaccount"]] == ["emptyDir"]
    assert not any("hostPath" in kind for kind in kinds.values())
    assert "imagePullSecrets" not in made
    assert next(each for each in made["volumes"] if each["name"] == "modelcache-manifest")["configMap"]["name"] == (
        f"{cache}-modelcache"
    )
    main = {each["mountPath"]: each["name"] for each in made["containers"][0]["volumeMounts"]}
    assert main["/var/run/secrets/kubernetes.io/serviceaccount"].startswith("kube-api-access"), "that of the pod stays"


OPEN, CLOSED = {"enabled": True}, {"enabled": True, "tokenSecret": {"name": "token"}}
PEERS: dict[str, tuple[Json, str, bool]] = {
    "served without a token": (OPEN, "http://cache-peers.served.svc:9465", True),
    "served with a token": (CLOSED, "http://cache-peers.served.svc:9465", False),
    "an address of another namespace": (OPEN, "http://cache-peers.elsewhere.svc:9465", False),
    "an address that only begins so": (OPEN, "http://cache-peers.served.svc:9465@evil.example", False),
}


@pytest.mark.parametrize(("peers", "address", "asked"), PEERS.values(), ids=PEERS)
def test_the_container_asks_the_peer_server_of_its_cache(
    ground: Ground, peers: Json, address: str, asked: bool
) -> None:
    name = f"peers-{len(address)}-{len(peers)}"
    ground.cache(name, "served", peers=peers)
    status = {"status": {"peers": {"address": address}}}
    ground.client.patch("modelcaches", name, status, "served", sub="status")
    wanted = [{"name": "MODELCACHE_PEERS", "value": address}] if asked else None

    def made() -> Any:
        return ground.create(pod(cache=name, nodeName="node-1"))["spec"]["initContainers"][0].get("env")

    found = eventually(lambda: (made(),), "the policy has seen the cache", wanted=lambda each: each == (wanted,))
    assert found == (wanted,)


def test_what_a_dry_run_shows_is_what_is_created(ground: Ground) -> None:
    shown = ground.create(pod())
    made = ground.create(pod(), dry=False)
    assert comparable(made) == comparable(shown)
    assert comparable(ground.client.get("pods", made["metadata"]["name"], "served")) == comparable(made)


def test_applied_twice_by_the_server_it_changes_once(ground: Ground) -> None:
    body = pod() | {"apiVersion": "v1", "kind": "Pod"}
    body["metadata"] = {"name": "applied", "labels": body["metadata"]["labels"]}
    path = ground.client.path("pods", "served", "applied")
    first, second = (ground.client.call("PATCH", path, body, APPLY, {"fieldManager": "me"}) for _ in range(2))
    assert summary(first) == joined()
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_a_pod_that_is_there_is_ungated_debugged_and_relabelled_without_either_policy(ground: Ground) -> None:
    """Also after its cache was deleted: it is the operator that removes the gate."""
    client = ground.client
    ground.cache("short-lived", "served")
    made = eventually(lambda: ground.create(pod(cache="short-lived"), dry=False), "there is a pod of the new cache", 20)
    name = made["metadata"]["name"]
    client.delete("modelcaches", "short-lived", "served")

    def refused() -> bool:
        try:
            ground.create(pod(cache="short-lived"))
        except ApiError as error:
            return "no ModelCache short-lived" in str(error)
        return False

    eventually(refused, "new pods of the deleted cache are refused", 20)
    assert client.get("pods", name, "served")["spec"]["schedulingGates"] == [{"name": GATE}]
    client.patch("pods", name, {"spec": {"schedulingGates": None}}, "served")
    client.patch("pods", name, {"metadata": {"labels": {"modelcache.dev/cache": "later"}}}, "served")
    debugger = {"spec": {"ephemeralContainers": [container("debugger", stdin=True)]}}
    kind = "application/strategic-merge-patch+json"
    patched = client.patch("pods", name, debugger, "served", sub="ephemeralcontainers", kind=kind)
    (ephemeral,) = patched["spec"]["ephemeralContainers"]
    assert "volumeMounts" not in ephemeral
    before = summary(made)
    assert summary(patched) == {**before, "gates": []}


def test_a_pod_is_refused_until_its_cache_is_there_and_then_joined(ground: Ground) -> None:
    with pytest.raises(ApiError, match="there is no ModelCache awaited in namespace served yet"):
        ground.create(pod(cache="awaited"))
    ground.cache("awaited", "served")
    made = eventually(lambda: ground.create(pod(cache="awaited")), "it is joined", 20)
    assert summary(made) == joined()


def _policy(name: str, expression: str) -> tuple[Json, Json]:
    """A mutating policy of somebody else."""
    api = {"apiVersion": "admissionregistration.k8s.io/v1"}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
    spec = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "IfNeeded",
        "matchConstraints": {"resourceRules": [pods]},
        "matchConditions": [{"name": "wanted", "expression": f"'{name}' in object.metadata.labels"}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}],
    }
    return (
        {**api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": spec},
        {**api, "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {"policyName": name}},
    )


LABELS = "[JSONPatch{op: 'add', path: '/metadata/labels/modelcache.dev~1cache', value: 'cache'}]"
SIDECAR = (
    "object.spec.containers.exists(c, c.name == 'injected') ? [] : "
    "[JSONPatch{op: 'add', path: '/spec/containers/-', value: {'name': 'injected', 'image': 'i'}}]"
)


def test_a_pod_is_joined_once_though_another_policy_adds_a_container(ground: Ground) -> None:
    """Before or after ours: Kubernetes promises no order."""
    for each in _policy("z-adds-a-sidecar", SIDECAR):
        ground.client.apply(each)

    def made() -> Json | None:
        found = summary(ground.create(pod(labels={"z-adds-a-sidecar": "x"})))
        return found if "injected" in found["mounts"] else None

    found: Json = eventually(made, "both policies have acted", 20)
    assert found["mounts"].pop("injected") in ({}, joined()["mounts"]["main"])
    assert found == joined()


@pytest.mark.parametrize("name", ["0-sets-the-label", "z-sets-the-label"])
def test_a_label_that_another_policy_sets_is_too_late_and_not_in_vain(ground: Ground, name: str) -> None:
    """Kubernetes chooses the policies by the pod as it was sent, and asks no further one when it has changed."""
    for each in _policy(name, LABELS):
        ground.client.apply(each)

    def refusal() -> str:
        try:
            ground.create(pod(cache=None, labels={name: "x"}))
        except ApiError as error:
            return str(error)
        return ""

    assert "or another policy has set the label" in eventually(refusal, "the pod is refused", 20)


def test_without_the_definition_pods_with_the_label_are_refused_and_no_others(ground: Ground) -> None:
    client, name = ground.client, "modelcaches.modelcache.dev"
    definition = client.get("customresourcedefinitions", name, "")
    client.delete("customresourcedefinitions", name, "")

    def refusal() -> str:
        try:
            ground.create(pod())
        except ApiError as error:
            return str(error)
        return ""

    try:
        assert "ModelCache" in eventually(refusal, "pods with the label are refused", 60)
        for case in ("without the label", "written out", "opted out"):
            ground.create(CASES[case].pod)
    finally:
        metadata = {"name": name, "annotations": definition["metadata"]["annotations"]}
        eventually(lambda: client.find("customresourcedefinitions", name, "") is None, "the definition is gone", 30)
        client.create("customresourcedefinitions", {**definition, "metadata": metadata}, "")
        eventually(lambda: client.list("modelcaches", "served") == [], "the definition is back", 30)
        ground.make_caches()
        eventually(ground.in_force, "the policies are in force again", 60)
