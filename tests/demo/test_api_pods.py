"""What the API itself does with pods, without a runner: the in-memory one as the real one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from demo.conftest import Api
from support.kubeapi import ApiError
from support.kubeapi.client import Client

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace without anybody who runs pods in it."""

    client: Client
    namespace: str

    def pod(self, **spec: Any) -> None:
        body = {"metadata": {"name": "pod"}, "spec": {"containers": [{"name": "main", "image": "shell"}], **spec}}
        self.client.create("pods", {"apiVersion": "v1", "kind": "Pod", **body}, self.namespace)

    def bind(self, node: str) -> None:
        self.client.bind("pod", self.namespace, node)

    def delete(self, **options: int) -> None:
        self.client.call("DELETE", self.client.path("pods", self.namespace, "pod"), options or None)

    def found(self) -> Json | None:
        return self.client.find("pods", "pod", self.namespace)


@pytest.fixture
def place(api: Api) -> Iterator[Place]:
    client, namespace = Client(api.kubeconfig), f"t-{uuid.uuid4().hex[:8]}"
    client.create("namespaces", {"metadata": {"name": namespace}}, "")
    yield Place(client, namespace)
    client.delete("namespaces", namespace, "")
    client.close()


def test_a_gated_pod_cannot_be_bound(place: Place) -> None:
    place.pod(schedulingGates=[{"name": "modelcache.dev/complete"}])
    with pytest.raises(ApiError, match="has non-empty") as refused:
        place.bind("node-1")
    assert refused.value.code == 409
    place.client.patch("pods", "pod", {"spec": {"schedulingGates": []}}, place.namespace)
    place.bind("node-1")
    found = place.found()
    assert found
    assert found["spec"]["nodeName"] == "node-1"


def test_a_gated_pod_says_so_from_its_first_moment(place: Place) -> None:
    """Not only once a scheduler looked at it: a watcher must not see it as one that is just pending."""
    place.pod(schedulingGates=[{"name": "modelcache.dev/complete"}])
    found = place.found()
    assert found
    (condition,) = found["status"]["conditions"]
    assert (condition["type"], condition["status"]) == ("PodScheduled", "False")
    assert condition["reason"] == "SchedulingGated"
    assert condition["message"] == "Scheduling is blocked due to non-empty scheduling gates"


def test_a_pod_is_bound_once(place: Place) -> None:
    place.pod()
    place.bind("node-1")
    with pytest.raises(ApiError, match="is already assigned to node") as refused:
        place.bind("node-2")
    assert refused.value.code == 409


def test_a_patch_that_names_another_uid_is_refused(place: Place) -> None:
    place.pod()
    status = {"metadata": {"uid": str(uuid.uuid4())}, "status": {"message": "of another pod"}}
    with pytest.raises(ApiError, match="uid") as refused:
        place.client.patch("pods", "pod", status, place.namespace, sub="status")
    assert refused.value.code == 422


def test_a_pod_without_a_node_is_deleted_at_once(place: Place) -> None:
    place.pod()
    place.delete()
    assert place.found() is None


def test_a_pod_on_a_node_is_marked_and_deleted_by_its_kubelet(place: Place) -> None:
    place.pod(terminationGracePeriodSeconds=7)
    place.bind("node-1")
    place.delete()
    marked = place.found()
    assert marked
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 7
    place.client.patch("pods", "pod", {"status": {"message": "still here"}}, place.namespace, sub="status")
    place.delete(gracePeriodSeconds=0)
    assert place.found() is None


def test_the_caller_may_shorten_the_grace_period(place: Place) -> None:
    place.pod(terminationGracePeriodSeconds=7)
    place.bind("node-1")
    place.delete(gracePeriodSeconds=3)
    marked = place.found()
    assert marked
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 3


def test_a_pod_that_has_ended_is_deleted_at_once(place: Place) -> None:
    place.pod(restartPolicy="Never")
    place.bind("node-1")
    place.client.patch("pods", "pod", {"status": {"phase": "Succeeded"}}, place.namespace, sub="status")
    place.delete()
    assert place.found() is None
