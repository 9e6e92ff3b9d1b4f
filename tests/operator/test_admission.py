"""The chart's admission policy on a real API server: the author must hold the rights that the operator uses for him."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from support.cluster import Space
from support.helm import Helm, Release
from support.kubeapi import ApiError
from support.kubeapi.client import Client
from support.waiting import eventually

Json = dict[str, Any]
Author = Callable[..., Client]
CACHES = {"apiGroups": ["modelcache.dev"], "resources": ["modelcaches"], "verbs": ["*"]}
USE = {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "resourceNames": ["models"], "verbs": ["use"]}
JOBS = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}
SECRET = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["token"], "verbs": ["get"]}
CLAIMS = {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["create"]}
DELETE = {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "resourceNames": ["models"], "verbs": ["delete"]}
SERVICES = {"apiGroups": [""], "resources": ["services"], "verbs": ["create"]}
CONFIG = {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["ca"], "verbs": ["get"]}
numbers = itertools.count()

REFERENCE = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "token", "key": "k"}}}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "patch"]}
END_JOBS = {"apiGroups": ["batch"], "resources": ["jobs/status"], "verbs": ["update"]}
OF_A_JOB = {"batch.kubernetes.io/controller-uid": "2f0e9d66-5b0c-4b7e-8d54-b5a1d2c3e4f5"}
STATUSES = {"apiGroups": ["modelcache.dev"], "resources": ["modelcaches/status"], "verbs": ["patch"]}
OWNED = {"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache"}
OWNER_UID = "7a3c2f5e-0d53-4b61-9d28-6a7f1f0c9e11"
SIZED = {"claimName": "models", "create": {"size": "auto"}}
CREATE = {"claimName": "models", "create": {"size": "1Gi"}}


def job(**fields: Any) -> Json:
    return {"sync": {"job": fields}}


CASES: dict[str, tuple[Json, list[Json], str]] = {
    "a claim": ({}, [USE], "nor use the claim models"),
    "any claim, for a creator of Jobs": ({}, [JOBS], "nor use the claim models"),
    "a token": ({"auth": {"secretName": "token"}}, [USE, SECRET], "get all of these Secrets"),
    "a token of a peer server": (
        {"peers": {"enabled": True, "tokenSecret": {"name": "token"}}},
        [USE, SERVICES, SECRET],
        "get all of these Secrets",
    ),
    "a token of a peer server that is disabled": (
        {"peers": {"tokenSecret": {"name": "token"}}},
        [USE, SECRET],
        "get all of these Secrets",
    ),
    "a peer server": ({"peers": {"enabled": True}}, [USE, SERVICES], "may not create Services"),
    "a Secret in env": (job(env=[REFERENCE]), [JOBS, SECRET], "get all of these Secrets"),
    "a pull secret": (job(imagePullSecrets=[{"name": "token"}]), [JOBS, SECRET], "get all of these Secrets"),
    "a Secret in a volume": (
        job(volumes=[{"name": "a", "secret": {"secretName": "token"}}, {"name": "b", "emptyDir": {}}]),
        [JOBS, SECRET],
        "get all of these Secrets",
    ),
    "a ConfigMap in a volume": (
        job(volumes=[{"name": "a", "configMap": {"name": "ca"}, "secret": None}]),
        [JOBS, CONFIG],
        "get all of these ConfigMaps",
    ),
    "a Secret in a projected volume": (
        job(volumes=[{"name": "a", "projected": {"sources": [{"downwardAPI": {}}, {"secret": {"name": "token"}}]}}]),
        [JOBS, SECRET],
        "Secrets and ConfigMaps of projected volumes",
    ),
    "a ConfigMap in a projected volume": (
        job(volumes=[{"name": "a", "projected": {"sources": [{"configMap": {"name": "ca"}}]}}]),
        [JOBS, CONFIG],
        "Secrets and ConfigMaps of projected volumes",
    ),
    "a volume": (job(volumes=[{"name": "a", "hostPath": {"path": "/"}}]), [JOBS], "may not create Jobs"),
    "a mount": (job(volumeMounts=[{"name": "tmp", "mountPath": "/usr"}]), [JOBS], "may not create Jobs"),
    "an image": (job(image="evil/image"), [JOBS], "may not create Jobs"),
    "an endpoint": (job(env=[{"name": "HF_ENDPOINT", "value": "http://evil"}]), [JOBS], "may not create Jobs"),
    "a security context": (job(podSecurityContext={"runAsUser": 0}), [JOBS], "may not create Jobs"),
    "a priority": (job(priorityClassName="system-node-critical"), [JOBS], "may not create Jobs"),
    "labels": (job(labels={"app": "prod-frontend"}), [JOBS], "may not create Jobs"),
    "a new claim": ({"volume": CREATE}, [USE, CLAIMS], "may not create PersistentVolumeClaims"),
    "a copy on every node": ({"volume": {"claimName": "models", "perNode": {}}}, [JOBS], "may not create Jobs"),
    "a size that a Job asks for": (
        {"volume": SIZED},
        [CLAIMS, JOBS],
        "for each of which .*: spec.volume.create.size: auto$",
    ),
    "pruning": (
        {"volume": {"claimName": "models", "prune": True}},
        [USE, JOBS],
        "for each of which .*: spec.volume.prune$",
    ),
    "scrubbing": ({"scrub": {}}, [USE, JOBS], "for each of which .*: spec.scrub$"),
    "looking for updates": ({"updates": {}}, [USE, JOBS], "for each of which .*: spec.updates$"),
    "deletion": ({"volume": CREATE | {"deletionPolicy": "Delete"}}, [USE, CLAIMS, DELETE], "may not delete the claim"),
}
"""What is written, the rights that allow it, and what is said when the last of them is missing."""


@pytest.fixture
def policy(space: Space, helm: Helm) -> None:
    if space.cluster.real is None:
        pytest.skip("admission policies need a real API server: set KUBEBUILDER_ASSETS")
    values = {"operator": {"admissionPolicy": {"enabled": True}}}
    for document in helm.render(Release(values, namespace=space.namespace)):
        if document["kind"].startswith("ValidatingAdmissionPolicy"):
            plural = "validatingadmissionpolicies"
            resource = f"{plural[:-3]}ybindings" if document["kind"].endswith("Binding") else plural
            space.client.create(resource, document, "")
    nobody = account(space, [CACHES])

    def in_force() -> bool:
        try:
            nobody.create("modelcaches", manifest("probe", {}), space.namespace)
        except ApiError as error:
            return "ValidatingAdmissionPolicy" in str(error)
        space.client.delete("modelcaches", "probe", space.namespace)
        return False

    eventually(in_force, "the policy is in force", 30)


def account(space: Space, rules: list[Json]) -> Client:
    """Somebody with these rights in the namespace."""
    real, name = space.cluster.real, f"author-{next(numbers)}"
    assert real is not None
    group = "rbac.authorization.k8s.io"
    space.client.create("serviceaccounts", {"metadata": {"name": name}}, space.namespace)
    space.client.create("roles", {"metadata": {"name": name}, "rules": rules}, space.namespace)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": space.namespace}
    role = {"apiGroup": group, "kind": "Role", "name": name}
    space.client.create(
        "rolebindings", {"metadata": {"name": name}, "roleRef": role, "subjects": [subject]}, space.namespace
    )
    path = space.client.path("serviceaccounts", space.namespace, name, "token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = str(space.client.call("POST", path, request)["status"]["token"])
    return Client(real.write_kubeconfig(f"{space.namespace}-{name}", {"token": token}))


def manifest(name: str, spec: Json) -> Json:
    models = [{"name": "base", "repo": "owner/small", "path": "base"}]
    body = {"models": models, "volume": {"claimName": "models"}, **spec}
    return {"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache", "metadata": {"name": name}, "spec": body}


@pytest.mark.usefixtures("policy")
def test_what_an_author_may_not_do_himself_is_refused_and_the_rest_is_not(space: Space) -> None:
    for number, (what, (spec, rules, said)) in enumerate(CASES.items()):
        body = manifest(f"cache-{number}", spec)
        lacking = account(space, [CACHES, *rules[:-1]])
        with pytest.raises(ApiError, match=said):
            lacking.create("modelcaches", body, space.namespace)
        created = account(space, [CACHES, *rules]).create("modelcaches", body, space.namespace)
        assert created["metadata"]["name"] == body["metadata"]["name"], what
        lacking.patch(
            "modelcaches", body["metadata"]["name"], {"metadata": {"annotations": {"a": "b"}}}, space.namespace
        )
        with pytest.raises(ApiError, match=said):
            lacking.patch("modelcaches", body["metadata"]["name"], {"spec": {"allowPickles": False}}, space.namespace)


@pytest.mark.usefixtures("policy")
def test_nulls_are_no_way_around_it_and_no_trouble(space: Space) -> None:
    author = account(space, [CACHES, USE])
    nothing = {"auth": None, "peers": None, "sync": {"job": {"enabled": True, "resources": None}}}
    author.create("modelcaches", manifest("nothing", nothing), space.namespace)
    peers = {"peers": {"enabled": None, "tokenSecret": None}}
    author.create("modelcaches", manifest("no-peers", peers), space.namespace)
    author.create("modelcaches", manifest("no-sync", {"sync": None}), space.namespace)
    tasks = {"scrub": None, "updates": None, "volume": {"claimName": "models", "prune": None, "create": None}}
    author.create("modelcaches", manifest("no-tasks", tasks), space.namespace)
    author.create(
        "modelcaches", manifest("prunes-nothing", {"volume": {"claimName": "models", "prune": False}}), space.namespace
    )
    with pytest.raises(ApiError, match="nor use the claim no-volume"):
        author.create("modelcaches", manifest("no-volume", {"volume": None}), space.namespace)


@pytest.mark.usefixtures("policy")
def test_other_namespaces_are_not_touched(space: Space, other_space: Space) -> None:
    account(other_space, [CACHES]).create("modelcaches", manifest("cache", {}), other_space.namespace)


def pod(name: str, labels: dict[str, str]) -> Json:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.usefixtures("policy")
def test_a_pod_that_the_job_controller_would_count_takes_the_right_to_end_jobs(space: Space) -> None:
    author = account(space, [PODS])

    def in_force() -> bool:
        try:
            author.create("pods", pod("forged", OF_A_JOB), space.namespace)
        except ApiError as error:
            return "update jobs/status" in str(error)
        space.client.delete("pods", "forged", space.namespace)
        return False

    eventually(in_force, "the policy is in force", 30)
    author.create("pods", pod("plain", {"app": "x"}), space.namespace)
    author.patch("pods", "plain", {"metadata": {"labels": {"app": "y"}}}, space.namespace)
    with pytest.raises(ApiError, match="update jobs/status"):
        author.patch("pods", "plain", {"metadata": {"labels": OF_A_JOB}}, space.namespace)
    role = space.client.get("clusterroles", "system:controller:job-controller", "")
    assert any("jobs/status" in rule["resources"] and "update" in rule["verbs"] for rule in role["rules"])
    controller = account(space, [PODS, END_JOBS])
    controller.create("pods", pod("real", OF_A_JOB), space.namespace)
    author.patch("pods", "real", {"metadata": {"annotations": {"a": "b"}}}, space.namespace)
    with pytest.raises(ApiError, match="update jobs/status"):
        author.patch("pods", "real", {"metadata": {"labels": {next(iter(OF_A_JOB)): "another"}}}, space.namespace)


def sync_job(name: str, owner: Json | None = None, **annotations: str) -> Json:
    named = {f"modelcache.dev/{key}": value for key, value in annotations.items()}
    metadata: Json = {"name": name, "annotations": named, "labels": {"modelcache.dev/cache": "cache"}}
    if owner:
        metadata["ownerReferences"] = [{"controller": True, "name": "cache", "uid": OWNER_UID, **owner}]
    containers = [{"name": "c", "image": "i"}]
    return {"metadata": metadata, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}}}


@pytest.mark.usefixtures("policy")
def test_a_job_that_the_operator_would_take_for_its_own_takes_the_right_to_write_statuses(space: Space) -> None:
    rights = {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "patch", "delete"]}
    author, operator = account(space, [rights]), account(space, [rights, STATUSES])

    def in_force() -> bool:
        try:
            author.create("jobs", sync_job("forged", OWNED), space.namespace)
        except ApiError as error:
            return "patch modelcaches/status" in str(error)
        space.client.delete("jobs", "forged", space.namespace)
        return False

    eventually(in_force, "the policy is in force", 30)
    author.create("jobs", sync_job("plain", manifest="sha256:1"), space.namespace)
    author.patch(
        "jobs", "plain", {"metadata": {"annotations": {"modelcache.dev/manifest": "sha256:2"}}}, space.namespace
    )
    operator.create("jobs", sync_job("real", OWNED, manifest="sha256:1"), space.namespace)
    author.patch("jobs", "real", {"metadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}}}, space.namespace)
    author.patch("jobs", "real", {"spec": {"suspend": True}}, space.namespace)
    for name, change in {
        "plain": {"ownerReferences": sync_job("x", OWNED)["metadata"]["ownerReferences"]},
        "real": {"annotations": {"modelcache.dev/manifest": "sha256:2"}},
    }.items():
        with pytest.raises(ApiError, match="patch modelcaches/status"):
            author.patch("jobs", name, {"metadata": change}, space.namespace)
    with pytest.raises(ApiError, match="patch modelcaches/status"):
        author.patch("jobs", "real", {"metadata": {"labels": {"modelcache.dev/attempt": "7"}}}, space.namespace)
    operator.patch("jobs", "real", {"metadata": {"labels": {"modelcache.dev/attempt": "7"}}}, space.namespace)
