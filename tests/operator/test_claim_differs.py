"""``spec.volume.create`` changed later: a larger size is requested, the rest is said, and no sync waits for it."""

from __future__ import annotations

from typing import Any

import pytest

from modelcache_operator.core.claims import is_larger
from support.cluster import Space
from support.kubeapi import FaultProxy
from support.operator_process import OperatorProcess
from support.pure_cluster import PureCluster
from support.reports import complete
from support.waiting import eventually

Json = dict[str, Any]
CREATE: Json = {"size": "2Gi", "storageClassName": "fast", "accessModes": ["ReadWriteOnce"]}
REFUSED = "the API refuses claim models: the storageclass must support resize"


def volume(**create: Any) -> Json:
    return {"claimName": "models", "create": CREATE | create}


@pytest.fixture
def made() -> PureCluster:
    """A cache that is complete on the claim that the operator made for it."""
    world = PureCluster(claim=None, volume=volume())
    world.settle()
    world.sync_well(complete())
    return world


def asked(world: PureCluster) -> str:
    assert world.claim is not None
    return str(world.claim["spec"]["resources"]["requests"]["storage"])


@pytest.mark.parametrize(
    ("one", "other", "larger"),
    [
        ("2Gi", "1Gi", True),
        ("1Gi", "1Gi", False),
        ("1Gi", "1G", True),
        ("1025Mi", "1Gi", True),
        ("1.5Gi", "1536Mi", False),
        ("1Ti", "1000G", True),
        ("1e12", "1Ti", False),
        ("107374182400", "100Gi", False),
        ("1", "999m", True),
        ("1k", "1000", False),
        ("", "1Gi", False),
        ("1Gi", "", False),
        ("much", "1Gi", False),
        ("1..5Gi", "1Gi", False),
    ],
)
def test_quantities_are_compared_as_kubernetes_reads_them(one: str, other: str, larger: bool) -> None:
    assert is_larger(one, other) is larger


def test_a_larger_size_is_requested_and_the_cache_stays_complete(made: PureCluster) -> None:
    made.change_spec(volume=volume(size="2049Mi"))
    made.settle()
    assert asked(made) == "2049Mi"
    assert (made.status["phase"], len(made.jobs)) == ("Ready", 1)
    assert made.condition("VolumeReady")["reason"] == "ClaimBound"


@pytest.mark.parametrize(
    ("create", "words"),
    [
        ({"size": "1Gi"}, "it requests 2Gi, and spec.volume.create.size is 1Gi, but no claim can shrink"),
        ({"storageClassName": "slow"}, "it has storageClassName fast, spec.volume.create has slow, and no claim can"),
        ({"accessModes": ["ReadWriteMany"]}, "it has accessModes ReadWriteOnce, spec.volume.create has ReadWriteMany"),
    ],
    ids=["smaller", "class", "modes"],
)
def test_what_no_claim_can_change_is_said_and_hinders_nothing(made: PureCluster, create: Json, words: str) -> None:
    made.change_spec(volume=volume(**create))
    made.settle()
    ready = made.condition("VolumeReady")
    assert (ready["status"], ready["reason"]) == ("True", "ClaimDiffers")
    assert words in ready["message"]
    assert (made.status["phase"], asked(made), len(made.jobs)) == ("Ready", "2Gi", 1)
    made.change_spec(volume=volume())
    made.settle()
    assert made.condition("VolumeReady")["reason"] == "ClaimBound"


def test_a_refused_request_is_quoted_and_not_repeated_while_it_is_known(made: PureCluster) -> None:
    made.size_refused = REFUSED
    made.change_spec(volume=volume(size="3Gi"), models=[{"name": "base", "repo": "owner/other", "path": "base"}])
    assert not made.decide().enlarge_claim
    made.settle()
    assert REFUSED in made.condition("VolumeReady")["message"]
    assert (asked(made), len(made.jobs)) == ("2Gi", 2)


@pytest.mark.parametrize("kind", ["ControllerResizeError", "NodeResizeError"])
def test_a_size_that_the_driver_cannot_give_is_told_until_it_can(made: PureCluster, kind: str) -> None:
    made.change_spec(volume=volume(size="9Ti"))
    made.settle()
    assert made.claim is not None
    failed = {"type": kind, "status": "True", "message": "rpc error: code = OutOfRange\nexceeds the pool"}
    made.claim["status"]["conditions"] = [{"type": "Resizing", "status": "True"}, failed]
    made.settle()
    said = made.condition("VolumeReady")
    assert (said["status"], said["reason"]) == ("True", "ClaimDiffers")
    assert "could not be enlarged to 9Ti: rpc error: code = OutOfRange exceeds the pool" in said["message"]
    assert made.status["phase"] == "Ready"
    failed["status"] = "False"
    made.settle()
    assert made.condition("VolumeReady")["reason"] == "ClaimBound"


@pytest.mark.parametrize("phase", ["Pending", "Bound"])
def test_a_claim_of_the_user_is_not_changed_and_the_command_is_given(phase: str) -> None:
    world = PureCluster(volume=volume())
    assert world.claim is not None
    world.claim["spec"] = {"resources": {"requests": {"storage": "1Gi"}}}
    world.set_claim(phase)
    world.settle()
    said = world.condition("VolumeReady")
    assert asked(world) == "1Gi"
    command = (
        """kubectl patch persistentvolumeclaim models -p '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}'"""
    )
    assert (command in said["message"]) is (phase == "Bound")
    assert list(world.jobs) == ["cache-sync-1"]


def test_an_unbound_claim_can_be_deleted_for_another_class() -> None:
    world = PureCluster(claim=None, volume=volume())
    world.new_claims = "Pending"
    world.settle()
    world.change_spec(volume=volume(storageClassName="slow", size="4Gi"))
    world.settle()
    said = world.condition("VolumeReady")
    assert said["reason"] == "ClaimPending"
    assert "It holds nothing yet: kubectl delete persistentvolumeclaim models" in said["message"]
    assert "which is requested once it is bound" in said["message"]
    world.set_claim("Bound")
    world.settle()
    assert asked(world) == "4Gi"


def test_a_cache_that_is_being_deleted_requests_nothing(made: PureCluster) -> None:
    made.change_spec(volume=volume(size="3Gi"))
    made.cache["metadata"]["deletionTimestamp"] = "2026-11-23T01:02:03Z"
    assert not made.decide().enlarge_claim


@pytest.mark.parametrize("expandable", [True, False], ids=["with expansion", "without expansion"])
def test_on_an_api_server_the_class_decides(
    space: Space, proxy: FaultProxy, faulty: OperatorProcess, expandable: bool
) -> None:
    """A real one has the admission plug-in PersistentVolumeClaimResize; in memory a proxy refuses."""
    name = f"{space.namespace}-class"
    if space.cluster.local is None:
        body = {"provisioner": "example.com/none", "allowVolumeExpansion": expandable, "metadata": {"name": name}}
        space.client.call("POST", "/apis/storage.k8s.io/v1/storageclasses", body)
    elif not expandable:
        proxy.faults.add(403, 1000, "patch", "persistentvolumeclaims")
    create = {"size": "1Gi", "storageClassName": name}
    with faulty:
        space.cache(volume={"claimName": "models", "create": create})
        eventually(lambda: space.client.find("persistentvolumeclaims", "models", space.namespace), "it is made")
        space.kubelet.set_claim("models", "Bound")
        space.complete(space.job(), complete())
        space.until("Ready")
        larger = {"spec": {"volume": {"create": {"size": "2Gi"}}}}
        space.client.patch("modelcaches", "cache", larger, space.namespace)
        if expandable:
            eventually(lambda: _asked(space) == "2Gi", "the larger size is requested")
        said = eventually(
            lambda: space.condition("VolumeReady"),
            "the condition says it",
            wanted=lambda each: each["reason"] == ("ClaimBound" if expandable else "ClaimDiffers"),
        )
        assert expandable or "the API refuses" in said["message"]
        assert len(space.jobs()) == 1
        assert space.status()["phase"] == "Ready"


def _asked(space: Space) -> str:
    claim = space.client.get("persistentvolumeclaims", "models", space.namespace)
    return str(claim["spec"]["resources"]["requests"]["storage"])
