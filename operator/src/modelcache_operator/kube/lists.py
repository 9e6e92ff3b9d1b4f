"""Full lists: how the mirror is filled at start, and how it finds what a watch never told.

A watch that lost its place lists again and then knows nothing of what was deleted meanwhile; an event whose handling
failed does not come again. A full list every few minutes heals both.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable
from typing import Any

from modelcache_operator.core import names
from modelcache_operator.core.parse import config_digest, controller_uid
from modelcache_operator.kube import api as kube
from modelcache_operator.kube.api import Api, Resource
from modelcache_operator.kube.errors import Missing
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror

Json = dict[str, Any]
MANAGED = ",".join(f"{key}={value}" for key, value in names.MANAGED_BY.items())


async def look_at_claim(api: Api, mirror: Mirror, claim: Key) -> Iterable[Key]:
    """Between full lists, for what must not be minutes old; returns the caches for which something changed."""
    try:
        raw = await api.get(kube.CLAIMS, claim.namespace, claim.name)
    except Missing:
        return mirror.upsert_claim(claim, None)
    return mirror.upsert_claim(claim, raw)


async def list_everything(api: Api, mirror: Mirror, namespace: str | None) -> set[Key]:
    """Bring the mirror up to date with a namespace, or with all; returns the caches for which something changed."""
    scope = _Scope(api, mirror, namespace)
    changed = await scope.take(kube.PODS, names.CACHE_LABEL, mirror.upsert_pod, mirror.prune_pods)
    changed |= await scope.take(kube.JOBS, names.CACHE_LABEL, mirror.upsert_job, mirror.prune_jobs)
    await scope.take_configs()
    changed |= await scope.take(kube.CACHES, "", mirror.upsert_cache, mirror.prune_caches)
    return changed | await scope.take_claims()


def forget_everything(mirror: Mirror, namespace: str | None) -> set[Key]:
    """As after a list in which nothing is left; returns the caches that were known."""
    prunes = (mirror.prune_pods, mirror.prune_jobs, mirror.prune_caches)
    return {key for prune in prunes for key in prune(lambda owner, _uid: namespace not in (None, owner), sys.maxsize)}


class _Scope:
    """One namespace, or the whole cluster."""

    def __init__(self, api: Api, mirror: Mirror, namespace: str | None) -> None:
        self._api = api
        self._mirror = mirror
        self._namespace = namespace

    async def take(
        self,
        resource: Resource,
        labels: str,
        take: Callable[[Json], Iterable[Key]],
        keep: Callable[[Callable[[str, str], bool], int], Iterable[Key]],
    ) -> set[Key]:
        changed: set[Key] = set()
        seen: set[str] = set()
        version = None
        async for page in self._api.pages(resource, self._namespace, labels):
            version = version or page["metadata"]["resourceVersion"]
            for raw in page["items"]:
                seen.add(raw["metadata"]["uid"])
                changed.update(take(raw))
            await asyncio.sleep(0)  # let watches and writes have their turn
        if version and version.isdigit():
            changed.update(keep(lambda namespace, uid: uid in seen or not self._covers(namespace), int(version)))
        return changed

    def _covers(self, namespace: str) -> bool:
        return self._namespace in (None, namespace)

    async def take_configs(self) -> None:
        """What is really in the ConfigMaps, so that one that was edited or deleted is written again."""
        found: dict[Key, tuple[str, str]] = {}
        async for page in self._api.pages(kube.CONFIG_MAPS, self._namespace, MANAGED):
            for raw in page["items"]:
                metadata = raw["metadata"]
                cache = (metadata.get("labels") or {}).get(names.CACHE_LABEL) or ""
                if metadata["name"] == names.config_map_name(cache):
                    found[Key(metadata["namespace"], cache)] = controller_uid(metadata), config_digest(raw)
        for key in [each for each in self._mirror.digests if self._covers(each.namespace) and each not in found]:
            del self._mirror.digests[key]
        self._mirror.digests.update(found)

    async def take_claims(self) -> set[Key]:
        """Only those that caches use are kept; returns the caches whose claim changed."""
        wanted = {claim for claim in self._mirror.used_claims() if self._covers(claim.namespace)}
        changed: set[Key] = set()
        gone, version = set(wanted), ""
        async for page in self._api.pages(kube.CLAIMS, self._namespace):
            version = version or page["metadata"]["resourceVersion"]
            for raw in page["items"]:
                claim = Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
                if claim in wanted:
                    gone.discard(claim)
                    changed.update(self._mirror.upsert_claim(claim, raw))
        for claim in gone:
            changed.update(self._mirror.upsert_claim(claim, None, version))
        return changed
