"""From Kubernetes objects, as the API's JSON, to what the operator keeps of them; pods are read in ``parse_pods``.

Objects come from the API server, so their shape is its business; what people can write into them is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from sys import intern
from typing import Any

from modelcache_operator.core import manifests, names, timestamps
from modelcache_operator.core.job_defaults import NO_DEFAULTS
from modelcache_operator.core.observed import Cache, Claim, Job
from modelcache_operator.core.reports import line
from modelcache_operator.core.spec import (
    auth_spec,
    job_spec,
    lead_time_s,
    peers_spec,
    scrub_spec,
    updates_s,
    volume_spec,
)
from modelcache_operator.core.status import Status, parse_status
from modelcache_operator.core.volume_size import sized

Json = Mapping[str, Any]
MAX_GATES = 2048
RESIZE_ERRORS = ("ControllerResizeError", "NodeResizeError")
WHOLE_NUMBER = re.compile(r"[0-9]{1,9}")


def parse_cache(raw: Json, known: Cache | None = None, defaults: Json = NO_DEFAULTS) -> Cache:
    """``known``: an earlier version of it, whose manifest need not be read again if it is the same generation."""
    meta = raw["metadata"]
    if known is None or (known.uid, known.generation) != (meta["uid"], meta.get("generation") or 1):
        known = _read_manifest(raw, defaults)
    status = parse_status(raw.get("status") or {})
    return replace(
        known,
        version=meta.get("resourceVersion") or "",
        resync=line((meta.get("annotations") or {}).get(names.RESYNC_ANNOTATION), 128),
        deleting=bool(meta.get("deletionTimestamp")),
        volume=sized(known.volume, status.size, known.content),
        status=status,
    )


def _read_manifest(raw: Json, defaults: Json) -> Cache:
    """All that depends on the generation alone."""
    meta, spec = raw["metadata"], raw.get("spec") or {}
    name = meta["name"]
    manifest, problem = manifests.read_manifest(name, spec)
    job = job_spec(manifest, {} if problem else spec, defaults)
    digest, anchors = manifests.text_digest(manifests.content_text(name, spec)), manifests.anchors(manifest)
    return Cache(
        namespace=intern(meta["namespace"]),
        name=name,
        uid=meta["uid"],
        version="",
        generation=meta.get("generation") or 1,
        created_at=timestamps.parse(meta.get("creationTimestamp")) or 0.0,
        resync="",
        deleting=False,
        spec=spec,
        digest=digest,
        content=manifests.content_digest(name, spec) if anchors else digest,
        anchors=anchors,
        problem=problem,
        models=tuple(model.name for model in manifest.models),
        paths=manifests.paths(manifest),
        volume=volume_spec(manifest, job),
        auth=auth_spec(manifest),
        job=job,
        peers=peers_spec(manifest),
        lead_time_s=lead_time_s(manifest),
        scrub=scrub_spec(manifest),
        updates_s=updates_s(manifest),
        status=Status(),
    )


def parse_job(raw: Json) -> Job:
    meta, status = raw["metadata"], raw.get("status") or {}
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    outcome: Json = next(
        (
            each
            for each in status.get("conditions") or ()
            if each.get("type") in ("Complete", "Failed") and each.get("status") == "True"
        ),
        {},
    )
    return Job(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        version=meta.get("resourceVersion") or "",
        cache=intern(labels.get(names.CACHE_LABEL) or ""),
        owner_uid=_cache_uid(meta),
        generation=_whole_number(labels.get(names.GENERATION_LABEL)),
        attempt=_whole_number(labels.get(names.ATTEMPT_LABEL)),
        claim_uid=annotations.get(names.CLAIM_UID_ANNOTATION) or "",
        manifest=annotations.get(names.DIGEST_ANNOTATION) or "",
        resync=line(annotations.get(names.RESYNC_ANNOTATION), 128),
        node=annotations.get(names.NODE_ANNOTATION) or "",
        node_uid=annotations.get(names.NODE_UID_ANNOTATION) or "",
        task=line(labels.get(names.TASK_LABEL), 16),
        about=line(annotations.get(names.ABOUT_ANNOTATION), 64),
        created_at=timestamps.parse(meta.get("creationTimestamp")) or 0.0,
        deleting=bool(meta.get("deletionTimestamp")),
        suspended=(raw.get("spec") or {}).get("suspend") is True,
        active=status.get("active") or 0,
        admission_gates=_exact(annotations.get(names.KUEUE_ANNOTATION)),
        outcome=outcome.get("type") or "",
        outcome_reason=line(outcome.get("reason"), 64),
        outcome_message=line(outcome.get("message")),
        finished_at=timestamps.parse(outcome.get("lastTransitionTime")) if outcome else None,
    )


def parse_claim(raw: Json) -> Claim:
    meta, spec = raw["metadata"], raw.get("spec") or {}
    ours = (meta.get("labels") or {}).get("app.kubernetes.io/managed-by") == names.MANAGER
    return Claim(
        namespace=intern(meta["namespace"]),
        name=meta["name"],
        uid=meta["uid"],
        version=meta.get("resourceVersion") or "",
        created_at=timestamps.parse(meta.get("creationTimestamp")) or 0.0,
        phase=(raw.get("status") or {}).get("phase") or "Pending",
        storage_class=spec.get("storageClassName") or "",
        access_modes=tuple(spec.get("accessModes") or ()),
        size=((spec.get("resources") or {}).get("requests") or {}).get("storage") or "",
        resize_error=_resize_error(raw.get("status") or {}),
        deleting=bool(meta.get("deletionTimestamp")),
        created_for=((meta.get("labels") or {}).get(names.CACHE_LABEL) or "") if ours else "",
        created_for_uid=(meta.get("annotations") or {}).get(names.CACHE_UID_ANNOTATION) or "",
        owner_uids=frozenset(each.get("uid") or "" for each in meta.get("ownerReferences") or ()),
    )


def _resize_error(status: Json) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("type") in RESIZE_ERRORS and condition.get("status") == "True":
            return line(condition.get("message") or condition["type"], 512)
    return ""


def config_digest(raw: Json) -> str:
    """Of the text that is really in the ConfigMap, whatever its annotation says."""
    return manifests.text_digest((raw.get("data") or {}).get(names.MANIFEST_KEY) or "")


def is_own_config_map(raw: Json, cache: Cache) -> bool:
    """Whether the operator made it for this cache.

    Without an owner it is one that an earlier cache of the name left behind (``--cascade=orphan``), if there is nothing
    in it but what the operator wrote.
    """
    metadata = raw["metadata"]
    if metadata.get("ownerReferences"):
        return controller_uid(metadata) == cache.uid
    labelled = {**names.MANAGED_BY, names.CACHE_LABEL: cache.name}.items() <= (metadata.get("labels") or {}).items()
    written = (metadata.get("annotations") or {}).get(names.DIGEST_ANNOTATION)
    return labelled and list(raw.get("data") or ()) == [names.MANIFEST_KEY] and config_digest(raw) == written


def controller_uid(meta: Json) -> str:
    return _controller(meta).get("uid") or ""


def _cache_uid(meta: Json) -> str:
    """Of the ModelCache that controls it. A reference of another kind with that uid is none: no policy looks at it."""
    owner = _controller(meta)
    ours = owner.get("kind") == names.KIND and (owner.get("apiVersion") or "").startswith(f"{names.GROUP}/")
    return (owner.get("uid") or "") if ours else ""


def _controller(meta: Json) -> Json:
    owners: Iterable[Json] = meta.get("ownerReferences") or ()
    return next((each for each in owners if each.get("controller")), {})


def _exact(text: object) -> str:
    """As it is, since it is compared when it is changed; none that is longer than anybody means it to be."""
    return text if isinstance(text, str) and len(text) <= MAX_GATES else ""


def _whole_number(text: object) -> int:
    return int(text) if isinstance(text, str) and WHOLE_NUMBER.fullmatch(text) else 0
