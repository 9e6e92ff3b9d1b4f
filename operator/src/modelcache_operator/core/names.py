"""Every label, annotation and object name that the operator reads or writes, in one place.

labels        modelcache.dev/cache            on pods and Jobs: the cache they belong to
              modelcache.dev/generation       on Jobs: the generation of the spec that they were made from
              modelcache.dev/attempt          on Jobs: 1, 2, ... in the life of the cache, of tasks apart
              modelcache.dev/task             on Jobs that are no syncs, and their pods: plan, scrub or prune
              modelcache.dev/peers            on the pod of a peer server, beside modelcache.dev/cache
gate          modelcache.dev/complete         scheduling gate of pods that wait for their cache, and of Jobs for Kueue
annotations   modelcache.dev/resync           on a ModelCache, by the user: any new value starts one more sync
              modelcache.dev/gate-opened-at   on a pod: when its gate was removed
              modelcache.dev/commit           on a pod: the commits that were on the volume then
              modelcache.dev/lead-time        on a pod whose gate was removed early: the estimated time left
              modelcache.dev/manifest         on the ConfigMap and on sync Jobs: digest of the manifest text
              modelcache.dev/claim-uid        on sync Jobs: uid of the claim that they were made for
              modelcache.dev/about            on Jobs of tasks: digest of claim and content that they were made for
              modelcache.dev/node, node-uid   on sync Jobs of copies: the node
              modelcache.dev/pins             on the pods of these: what the first copy was pinned to
              modelcache.dev/cache-uid        on claims: uid of the cache that they were made for
              modelcache.dev/template         on the pod of a peer server: digest of what it was made from
              modelcache.dev/inject           "false" on a pod, that of a peer server too: it is not joined to a cache
              kueue.x-k8s.io/admission-gated-by   on a Job of the user's: Kueue waits until all names in it are removed
objects       NAME-modelcache                 ConfigMap with the manifest, key modelcache.yaml
              NAME-sync-ATTEMPT               Job
              NAME-sync-NODE-ATTEMPT          Job of the copy on a node; NODE is a digest of its uid
              NAME-plan-ATTEMPT               Job of a task; also NAME-scrub-ATTEMPT, NAME-prune-ATTEMPT
              NAME-peers                      Pod, Service and EndpointSlice of the peer server
"""

from __future__ import annotations

import hashlib

GROUP = "modelcache.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ModelCache"
PLURAL = "modelcaches"

CACHE_LABEL = f"{GROUP}/cache"
GENERATION_LABEL = f"{GROUP}/generation"
ATTEMPT_LABEL = f"{GROUP}/attempt"
PEERS_LABEL = f"{GROUP}/peers"
TASK_LABEL = f"{GROUP}/task"
GATE = f"{GROUP}/complete"
RESYNC_ANNOTATION = f"{GROUP}/resync"
OPENED_ANNOTATION = f"{GROUP}/gate-opened-at"
COMMIT_ANNOTATION = f"{GROUP}/commit"
LEAD_TIME_ANNOTATION = f"{GROUP}/lead-time"
DIGEST_ANNOTATION = f"{GROUP}/manifest"
CLAIM_UID_ANNOTATION = f"{GROUP}/claim-uid"
ABOUT_ANNOTATION = f"{GROUP}/about"
NODE_ANNOTATION = f"{GROUP}/node"
NODE_UID_ANNOTATION = f"{GROUP}/node-uid"
PINS_ANNOTATION = f"{GROUP}/pins"
CACHE_UID_ANNOTATION = f"{GROUP}/cache-uid"
TEMPLATE_ANNOTATION = f"{GROUP}/template"
INJECT_ANNOTATION = f"{GROUP}/inject"
KUEUE_ANNOTATION = "kueue.x-k8s.io/admission-gated-by"

MANAGER = "modelcache-operator"
MANAGED_BY = {"app.kubernetes.io/managed-by": MANAGER}

SYNC_CONTAINER = "init-sync"
PEERS_CONTAINER = "serve"
MANIFEST_KEY = "modelcache.yaml"
PINS_FILE = "pins.json"
"""Beside the manifest, in Jobs of copies."""
NAME_LIMIT = 63
"""Job names become label values of their pods, Service names are those of hosts."""


def config_map_name(cache: str) -> str:
    return f"{cache}-modelcache"


def job_name(cache: str, attempt: int) -> str:
    """The same for the same attempt, so that a Job is never created twice; long cache names end in a digest."""
    return _named(cache, f"-sync-{attempt}")


def task_job_name(cache: str, command: str, attempt: int) -> str:
    return _named(cache, f"-{command}-{attempt}")


def copy_job_name(cache: str, node_uid: str, attempt: int) -> str:
    return _named(cache, f"-sync-{hashlib.sha256(node_uid.encode()).hexdigest()[:10]}-{attempt}")


def peers_name(cache: str) -> str:
    """The name of a Service begins with a letter."""
    return _named(cache if cache[0].isalpha() else f"mc-{cache}", "-peers")


def _named(cache: str, suffix: str) -> str:
    if len(cache) + len(suffix) > NAME_LIMIT:
        digest = hashlib.sha256(cache.encode()).hexdigest()[:8]
        cache = f"{cache[: NAME_LIMIT - len(suffix) - 9]}-{digest}"
    return cache + suffix
