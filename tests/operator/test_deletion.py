"""What becomes of the objects of a deleted cache, by the hands of a garbage collector: a real one where there is one.

On the in-memory API its emulation collects. A given cluster must be a whole one, with controllers of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from init_sync.core.reasons import Reason
from support.cluster import Space
from support.operator_process import OperatorProcess
from support.reports import complete, incomplete
from support.waiting import eventually

CREATE = {"claimName": "made", "create": {"size": "1Gi"}}
SECONDS = 60
"""A garbage collector reads everything that there is before it begins."""


@pytest.fixture
def collector(space: Space) -> Iterator[None]:
    """Somebody collects what a deleted object owned."""
    real = space.cluster.real
    if real is None:
        if space.cluster.local is None:
            _expect_controllers(space)
        yield
    elif real.has_controllers:
        with real.controllers("garbage-collector-controller", "persistentvolumeclaim-protection-controller"):
            yield
    else:
        pytest.skip("no garbage collector: put kube-controller-manager into KUBEBUILDER_ASSETS")


def _expect_controllers(space: Space) -> None:
    """A controller manager puts a ConfigMap with the API's certificate into every namespace."""
    try:
        eventually(lambda: space.client.find("configmaps", "kube-root-ca.crt", space.namespace), "controllers work", 10)
    except AssertionError:
        pytest.skip("the given cluster has no controllers, so nothing would be collected")


@pytest.fixture
def operator(space: Space) -> Iterator[OperatorProcess]:
    arguments = ("--full-list-seconds", "1")
    with OperatorProcess(space.cluster.kubeconfig, *arguments, namespaces=(space.namespace,)) as running:
        yield running


def exists(space: Space, resource: str, name: str) -> bool:
    return space.client.find(resource, name, space.namespace) is not None


def made(space: Space, name: str = "cache", claim: str = "made") -> None:
    """All that the operator makes for a cache is there."""
    space.job(name=name)
    eventually(lambda: exists(space, "configmaps", f"{name}-modelcache"), "the ConfigMap is made")
    eventually(lambda: exists(space, "persistentvolumeclaims", claim), "the claim is made")


def delete(space: Space, name: str = "cache", policy: str = "Background") -> None:
    """Returns once the cache, its ConfigMap and its Jobs are gone."""
    path = space.client.path("modelcaches", space.namespace, name)
    space.client.call("DELETE", path, {"propagationPolicy": policy})
    eventually(lambda: not exists(space, "modelcaches", name), "the cache is gone", SECONDS)
    eventually(lambda: not exists(space, "configmaps", f"{name}-modelcache"), "so is its ConfigMap", SECONDS)
    eventually(lambda: not space.jobs(name), "so are its Jobs", SECONDS)


def look_twice(operator: OperatorProcess) -> None:
    """The operator has listed and decided since."""
    metric = "modelcache_operator_last_full_list_timestamp_seconds"
    before = operator.metric(metric)
    eventually(lambda: operator.metric(metric) > before + 1, "everything is listed again")


@pytest.mark.timeout(150)
@pytest.mark.usefixtures("collector")
@pytest.mark.parametrize("policy", ["Background", "Foreground"])
def test_config_map_and_jobs_go_with_the_cache_and_the_claim_stays(
    space: Space, operator: OperatorProcess, policy: str
) -> None:
    space.cache(volume=CREATE)
    made(space)
    delete(space, policy=policy)
    look_twice(operator)
    assert not exists(space, "configmaps", "cache-modelcache"), "nothing is created again"
    assert space.jobs() == []
    claim = space.client.get("persistentvolumeclaims", "made", space.namespace)
    assert "deletionTimestamp" not in claim["metadata"]


@pytest.mark.timeout(150)
@pytest.mark.usefixtures("collector")
def test_with_policy_delete_a_claim_that_was_made_for_the_cache_goes_too(
    space: Space, operator: OperatorProcess
) -> None:
    space.cache(volume={**CREATE, "deletionPolicy": "Delete"})
    made(space)
    delete(space)
    eventually(lambda: not exists(space, "persistentvolumeclaims", "made"), "the claim is gone", SECONDS)
    look_twice(operator)
    assert not exists(space, "persistentvolumeclaims", "made")


@pytest.mark.timeout(150)
@pytest.mark.usefixtures("collector")
def test_with_policy_delete_claims_of_the_user_and_those_that_another_cache_uses_stay(
    space: Space, operator: OperatorProcess
) -> None:
    space.kubelet.claim("mine")
    space.cache("of-a-user", volume={"claimName": "mine", "create": {"size": "1Gi"}, "deletionPolicy": "Delete"})
    space.cache("first", volume={**CREATE, "deletionPolicy": "Delete"})
    made(space, "of-a-user", "mine")
    made(space, "first")
    space.cache("second", claim="made")
    eventually(lambda: not _claim(space)["metadata"].get("ownerReferences"), "the claim is untied from the first")
    delete(space, "of-a-user")
    delete(space, "first")
    look_twice(operator)
    for name in ("mine", "made"):
        claim = space.client.get("persistentvolumeclaims", name, space.namespace)
        assert "deletionTimestamp" not in claim["metadata"]


def _claim(space: Space) -> dict[str, dict[str, object]]:
    return space.client.get("persistentvolumeclaims", "made", space.namespace)


@pytest.mark.timeout(150)
def test_the_real_job_controller_makes_pods_and_ends_jobs_as_the_operator_expects(
    space: Space, operator: OperatorProcess
) -> None:
    """It retries exit code 1 in a new pod, fails the Job at once at exit code 2, and calls a good end Complete."""
    real = space.cluster.real
    if real is None or not real.has_controllers:
        pytest.skip("no Job controller without kubelets: put kube-controller-manager into KUBEBUILDER_ASSETS")
    with real.controllers("job-controller"):
        space.kubelet.claim("models")
        space.cache(sync={"job": {"backoffLimit": 1}})
        space.kubelet.made_pod(space.job(), 1).finish(2, incomplete(Reason.GATED_REPO, "ask for access"))
        space.until("Failed", timeout_s=SECONDS)
        assert space.condition("Complete")["reason"] == "GatedRepo"
        second = space.job(2, timeout_s=SECONDS)
        space.kubelet.made_pod(second, 1).finish(1, incomplete(Reason.HUB_UNREACHABLE, "down"))
        eventually(lambda: space.condition("Complete")["reason"] == "HubUnreachable", "the reason is shown", SECONDS)
        space.kubelet.made_pod(second, 2, SECONDS).finish(0, complete())
        space.until("Ready", timeout_s=SECONDS)


@pytest.mark.timeout(150)
@pytest.mark.usefixtures("collector")
def test_what_is_made_for_an_owner_that_is_gone_is_collected_too(space: Space) -> None:
    """As by an operator that had not yet seen that its cache was deleted."""
    owner = space.client.create("configmaps", {"metadata": {"name": "owner"}}, space.namespace)
    space.client.delete("configmaps", "owner", space.namespace)
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    late = {"metadata": {"name": "late", "ownerReferences": [reference]}}
    space.client.create("configmaps", late, space.namespace)
    eventually(lambda: not exists(space, "configmaps", "late"), "the late one is collected", SECONDS)
