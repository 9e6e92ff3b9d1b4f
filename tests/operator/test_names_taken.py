"""Objects of the names that the operator needs, made by somebody else: never changed, owned, used or deleted."""

from __future__ import annotations

from typing import Any

import pytest

from modelcache_operator.core import names
from support.cluster import Space
from support.helm import Helm, Release
from support.operator_process import OperatorProcess
from support.pure_cluster import PureCluster
from support.reports import complete
from support.waiting import eventually

Json = dict[str, Any]
LABELS = {**names.MANAGED_BY, names.CACHE_LABEL: "cache"}
EARLIER = {"apiVersion": names.API_VERSION, "kind": names.KIND, "name": "cache", "uid": "an-earlier-one"}
FOREIGN: dict[str, Json] = {
    "without a label": {},
    "with the operator's labels": {"labels": LABELS},
    "of an earlier cache of this name": {"labels": LABELS, "ownerReferences": [EARLIER | {"controller": True}]},
    "of another controller": {"ownerReferences": [EARLIER | {"kind": "Other", "uid": "1", "controller": True}]},
}


def config_map(space: Space, metadata: Json) -> Json:
    body = {"metadata": {"name": "cache-modelcache", **metadata}, "data": {"modelcache.yaml": "mine", "more": "too"}}
    return space.client.create("configmaps", body, space.namespace)


def found(space: Space) -> Json:
    return space.client.get("configmaps", "cache-modelcache", space.namespace)


@pytest.mark.parametrize("metadata", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_config_map_is_left_alone_and_named(space: Space, operator: OperatorProcess, metadata: Json) -> None:
    before = config_map(space, metadata)
    space.kubelet.claim("models")
    space.cache()
    status = space.until("Failed")
    assert space.condition("Complete")["reason"] == "NameTaken"
    assert status["message"].startswith("ConfigMap cache-modelcache exists and was not made for this ModelCache")
    assert space.jobs() == []
    assert found(space) == before


def test_once_a_foreign_config_map_is_gone_the_cache_goes_on(space: Space, operator: OperatorProcess) -> None:
    config_map(space, {})
    space.kubelet.claim("models")
    space.cache()
    space.until("Failed")
    space.client.delete("configmaps", "cache-modelcache", space.namespace)
    space.complete(space.job(), complete())
    space.until("Ready")
    assert found(space)["metadata"]["ownerReferences"][0]["kind"] == "ModelCache"


def test_the_charts_own_manifest_of_a_release_without_an_operator_is_left_alone(
    space: Space, operator: OperatorProcess, helm: Helm
) -> None:
    values = {"operator": {"enabled": False}, "cache": {"enabled": True, "standalone": True, "name": "cache"}}
    documents = helm.render(Release(values, namespace=space.namespace))
    body = next(each for each in documents if each["kind"] == "ConfigMap")
    before = space.client.create("configmaps", body, space.namespace)
    space.kubelet.claim("models")
    space.cache(before["metadata"]["name"].removesuffix("-modelcache"))
    space.until("Failed", before["metadata"]["name"].removesuffix("-modelcache"))
    assert space.client.get("configmaps", before["metadata"]["name"], space.namespace) == before


def test_a_config_map_that_takes_the_place_of_ours_is_left_alone(space: Space) -> None:
    with OperatorProcess(space.cluster.kubeconfig, "--full-list-seconds", "3", namespaces=(space.namespace,)):
        space.kubelet.claim("models")
        space.cache()
        space.complete(space.job(), complete())
        space.until("Ready")
        space.client.delete("configmaps", "cache-modelcache", space.namespace)
        before = config_map(space, {"labels": LABELS})
        space.until("Failed")
        assert found(space) == before


def test_our_config_map_is_written_again_when_its_content_was_changed(space: Space) -> None:
    with OperatorProcess(space.cluster.kubeconfig, "--full-list-seconds", "1", namespaces=(space.namespace,)):
        space.kubelet.claim("models")
        space.cache()
        space.job()
        text = found(space)["data"]["modelcache.yaml"]
        space.client.patch("configmaps", "cache-modelcache", {"data": {"modelcache.yaml": "x"}}, space.namespace)
        eventually(lambda: found(space)["data"]["modelcache.yaml"] == text, "it is written again")


def test_a_foreign_job_is_neither_changed_nor_believed(space: Space, operator: OperatorProcess) -> None:
    container = {"name": "other", "image": "other"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    labels = {names.CACHE_LABEL: "cache", names.ATTEMPT_LABEL: "1"}
    body = {"metadata": {"name": "cache-sync-1", "labels": labels}, "spec": {"template": template}}
    before = space.client.create("jobs", body, space.namespace)
    space.kubelet.claim("models")
    space.cache()
    ours = eventually(
        lambda: next(
            (job for job in space.client.list("jobs", space.namespace) if job["metadata"].get("ownerReferences")), None
        ),
        "a Job of another name is made",
    )
    assert ours["metadata"]["name"] == "cache-sync-2"
    assert space.client.get("jobs", "cache-sync-1", space.namespace) == before


@pytest.mark.parametrize(("made_for", "owned"), [("", True), ("this one", True), ("an-earlier-one", False)])
def test_a_claim_that_was_made_for_an_earlier_cache_of_this_name_is_not_owned(made_for: str, owned: bool) -> None:
    volume = {"claimName": "models", "create": {"size": "1Gi"}, "deletionPolicy": "Delete"}
    world = PureCluster(volume=volume)
    assert world.claim is not None
    uid = world.cache["metadata"]["uid"] if made_for == "this one" else made_for
    world.claim["metadata"] |= {"labels": LABELS, "annotations": {names.CACHE_UID_ANNOTATION: uid}}
    assert world.decide().own_claim is (True if owned else None)


def test_a_claim_that_the_operator_makes_says_for_which_cache(space: Space, operator: OperatorProcess) -> None:
    cache = space.cache(volume={"claimName": "made", "create": {"size": "1Gi"}})
    claim = eventually(lambda: space.client.find("persistentvolumeclaims", "made", space.namespace), "it is made")
    assert claim["metadata"]["annotations"][names.CACHE_UID_ANNOTATION] == cache["metadata"]["uid"]
