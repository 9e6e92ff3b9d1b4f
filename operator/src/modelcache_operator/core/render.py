"""The objects that the operator makes: ConfigMap, claim and Events, as the API's JSON. The Job has ``jobs``."""

from __future__ import annotations

import hashlib
from typing import Any

from modelcache_operator.core import manifests, names, timestamps
from modelcache_operator.core.observed import Cache, Job
from modelcache_operator.core.observed_pods import Pod

Json = dict[str, Any]
MAX_EVENT_MESSAGE = 1024


def owner(cache: Cache) -> Json:
    """``blockOwnerDeletion`` is left out: it would need the right to update the cache's finalizers."""
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": cache.name,
        "uid": cache.uid,
        "controller": True,
    }


def labels(cache: Cache) -> dict[str, str]:
    """Of all that is made for a cache, those that the manifest asks for included: policies may want them everywhere."""
    return {**cache.job.labels, **names.MANAGED_BY, names.CACHE_LABEL: cache.name}


def config_map(cache: Cache) -> Json:
    text = manifests.content_text(cache.name, cache.spec)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": names.config_map_name(cache.name),
            "namespace": cache.namespace,
            "labels": labels(cache),
            "annotations": {names.DIGEST_ANNOTATION: cache.digest},
            "ownerReferences": [owner(cache)],
        },
        "data": {names.MANIFEST_KEY: text},
    }


def claim(cache: Cache, owned: bool) -> Json:
    volume = cache.volume
    spec: Json = {
        "accessModes": list(volume.access_modes),
        "resources": {"requests": {"storage": volume.size}},
    }
    if volume.storage_class is not None:
        spec["storageClassName"] = volume.storage_class
    metadata: Json = {"name": volume.claim, "namespace": cache.namespace, "labels": labels(cache)}
    metadata["annotations"] = {names.CACHE_UID_ANNOTATION: cache.uid}
    if owned:
        metadata["ownerReferences"] = [claim_owner(cache)]
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def claim_owner(cache: Cache) -> Json:
    return {key: value for key, value in owner(cache).items() if key != "controller"}


def cache_event(cache: Cache, type_: str, reason: str, message: str, now: float) -> Json:
    about = {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "namespace": cache.namespace,
        "name": cache.name,
        "uid": cache.uid,
    }
    return event(about, type_, reason, message, now, f"{int(now * 1e6):x}")


def user_event(about: Pod | Job, type_: str, reason: str, message: str, now: float, cause: str = "") -> Json:
    """One for each object, reason and cause: the name says which, so posting it again is refused as a duplicate."""
    digest = hashlib.sha256(cause.encode()).hexdigest()[:8] if cause else ""
    kind = {"apiVersion": "batch/v1", "kind": "Job"} if isinstance(about, Job) else {"apiVersion": "v1", "kind": "Pod"}
    named = {**kind, "namespace": about.namespace, "name": about.name, "uid": about.uid}
    return event(named, type_, reason, message, now, "-".join(filter(None, (reason.lower(), about.uid[:8], digest))))


def event(about: Json, type_: str, reason: str, message: str, now: float, suffix: str) -> Json:
    at = timestamps.stamp(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about['name'][:200]}.{suffix}", "namespace": about["namespace"]},
        "involvedObject": about,
        "type": type_,
        "reason": reason,
        "message": message[:MAX_EVENT_MESSAGE],
        "source": {"component": names.MANAGER},
        "reportingComponent": names.MANAGER,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "count": 1,
    }
