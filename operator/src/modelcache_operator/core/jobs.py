"""The sync Job, and what it has in common with Jobs of tasks (``task_jobs``).

Its pod needs no GPU, no rights and no service account token.

It meets the "restricted" pod security standard. A token for the hub comes by reference to the Secret, which only the
kubelet reads. Exit code 2 means that no retry will help, so the Job fails at once; a node drain costs no retry.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from init_sync.core.errors import NeedsChange
from init_sync.core.settings import SYNC_PORT
from modelcache_operator.core import names, render
from modelcache_operator.core.job_plan import JobRequest
from modelcache_operator.core.node_affinity import on_node
from modelcache_operator.core.observed import Cache

Json = dict[str, Any]

PEERS_VARIABLE, TOKEN_VARIABLE = "MODELCACHE_PEERS", "MODELCACHE_PEER_TOKEN"
USER_ID = 65532
"""That of the images: a pod that says nothing of users can repair what a Job wrote."""
MODELS_PATH = "/models"
MANIFEST_PATH = "/etc/modelcache"
PINS_PATH = f"{MANIFEST_PATH}/{names.PINS_FILE}"
ON_MANIFEST = ("--spec", f"{MANIFEST_PATH}/{names.MANIFEST_KEY}")
ON_VOLUME = ("--volume", MODELS_PATH)
RESOURCES: Json = {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
"""A sync needs far less memory; page cache of what it writes counts towards the limit too."""


def sync_job(cache: Cache, order: JobRequest, image: str) -> Json:
    """``image`` is used unless the manifest names one."""
    annotations = {
        names.CLAIM_UID_ANNOTATION: order.claim_uid,
        names.DIGEST_ANNOTATION: cache.digest,
        **({names.RESYNC_ANNOTATION: order.resync} if order.resync else {}),
        **({names.NODE_ANNOTATION: order.node, names.NODE_UID_ANNOTATION: order.node_uid} if order.node else {}),
    }
    arguments = ["sync", *ON_MANIFEST, *ON_VOLUME, "--metrics-port", str(SYNC_PORT)]
    arguments += ["--log-format", cache.job.log_format]
    if order.pins:
        arguments += ["--pins", PINS_PATH]
    if order.resync:
        arguments += ["--refresh", "--verify", "deep"]
    body = job(cache, order.name, order.attempt, annotations)
    pod = pod_spec(cache, image, arguments, order.node, order.pins, more_env=_peers(cache, order))
    return with_pod(cache, body, pod, order.pins, cache.job.backoff_limit, cache.job.active_deadline_seconds)


def job(cache: Cache, name: str, attempt: int, annotations: Json, task: str = "") -> Json:
    """Without its pod. ``task``: none for a sync."""
    labels = {
        **render.labels(cache),
        names.GENERATION_LABEL: str(cache.generation),
        names.ATTEMPT_LABEL: str(attempt),
        **({names.TASK_LABEL: task} if task else {}),
    }
    metadata: Json = {"name": name, "namespace": cache.namespace, "labels": labels, "annotations": annotations}
    metadata["ownerReferences"] = [render.owner(cache)]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}


def with_pod(cache: Cache, body: Json, pod: Json, pins: str, backoff_limit: int, deadline_s: int | None) -> Json:
    """``body``, which has its labels in common with its pod."""
    annotations = {**cache.job.annotations, **({names.PINS_ANNOTATION: pins} if pins else {})}
    metadata = {"labels": body["metadata"]["labels"], **({"annotations": annotations} if annotations else {})}
    spec: Json = {
        "backoffLimit": backoff_limit,
        "ttlSecondsAfterFinished": cache.job.ttl_seconds_after_finished,
        "podFailurePolicy": _failure_policy(),
        "template": {"metadata": metadata, "spec": pod},
    }
    return {**body, "spec": {**spec, **({"activeDeadlineSeconds": deadline_s} if deadline_s is not None else {})}}


def _failure_policy() -> Json:
    exit_codes = {"containerName": names.SYNC_CONTAINER, "operator": "In", "values": [NeedsChange.exit_code]}
    return {
        "rules": [
            {"action": "FailJob", "onExitCodes": exit_codes},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    }


def pod_spec(
    cache: Cache,
    image: str,
    arguments: list[str],
    node: str = "",
    pins: str = "",
    *,
    mounts: bool = True,
    token: bool = True,
    more_env: Sequence[Json] = (),
) -> Json:
    """``mounts``: the claim; ``token``: that for the hub; ``image`` is used unless the manifest names one."""
    claim: Json = {"name": "models", "persistentVolumeClaim": {"claimName": cache.volume.claim}}
    return {
        "restartPolicy": "Never",  # what podFailurePolicy asks for
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(cache),
        "containers": [_container(cache, image, arguments, mounts, [*(_token(cache) if token else []), *more_env])],
        "volumes": [
            *([claim] if mounts else []),
            {"name": "manifest", **_manifest(cache, pins)},
            {"name": "tmp", "emptyDir": {}},
            *cache.job.volumes,
        ],
        **cache.job.pod,
        **({"affinity": on_node(node)} if node else {}),
    }


def _manifest(cache: Cache, pins: str) -> Json:
    """With pins beside it: the Job's own, so they cannot be exchanged under it."""
    config = {"name": names.config_map_name(cache.name)}
    if not pins:
        return {"configMap": config}
    field = {"fieldPath": f"metadata.annotations['{names.PINS_ANNOTATION}']"}
    beside = {"items": [{"path": names.PINS_FILE, "fieldRef": field}]}
    return {"projected": {"sources": [{"configMap": config}, {"downwardAPI": beside}]}}


def pod_security(cache: Cache) -> Json:
    """OnRootMismatch: changing the group of a hundred thousand files on every start would take minutes."""
    users: Json = {"runAsUser": USER_ID, "runAsGroup": USER_ID, "fsGroup": USER_ID}
    return {
        "runAsNonRoot": True,
        **(users if cache.job.run_as_default_user else {}),
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
        **cache.job.pod_security_context,
    }


def _container(cache: Cache, image: str, arguments: list[str], mounts: bool, more_env: Sequence[Json]) -> Json:
    container: Json = {
        "name": names.SYNC_CONTAINER,
        "image": cache.job.image or image,
        "args": arguments,
        "env": [*more_env, *cache.job.env],
        **({"ports": [{"name": "metrics", "containerPort": SYNC_PORT}]} if "--metrics-port" in arguments else {}),
        "resources": dict(cache.job.resources) or RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            *([{"name": "models", "mountPath": MODELS_PATH}] if mounts else []),
            {"name": "manifest", "mountPath": MANIFEST_PATH, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a mount point, not a file of ours
            *cache.job.volume_mounts,
        ],
    }
    if cache.job.image_pull_policy:
        container["imagePullPolicy"] = cache.job.image_pull_policy
    return container


def _token(cache: Cache) -> list[Json]:
    if cache.auth is None:
        return []
    reference = {"name": cache.auth.secret_name, "key": cache.auth.key}
    return [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": reference}}]


def _peers(cache: Cache, order: JobRequest) -> list[Json]:
    """What the manifest says of peers goes before it. A token that is missing costs the peer and not the sync."""
    if not order.peer or any(each["name"] == PEERS_VARIABLE for each in cache.job.env):
        return []
    token = cache.peers.token if cache.peers else None
    reference = {"name": token.secret_name, "key": token.key, "optional": True} if token else {}
    variables: list[Json] = [{"name": PEERS_VARIABLE, "value": order.peer}]
    return variables + ([{"name": TOKEN_VARIABLE, "valueFrom": {"secretKeyRef": reference}}] if token else [])
