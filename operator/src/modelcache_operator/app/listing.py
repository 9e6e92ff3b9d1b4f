"""Full lists in turn, each namespace on its own: one that must not be listed costs the others nothing.

A namespace is served from its first full list on, until the API refuses one: its Role is missing, or went with it.
Nothing is decided there then, since that would be half a view, and what is known of it is forgotten. It is tried again
with growing delays. An API that does not answer refuses nobody.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Gauge

from init_sync.shell.backoff import Backoff
from init_sync.shell.logs import fields
from modelcache_operator.app.counters import LABELS
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import ApiError, Missing, Refused
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.lists import forget_everything, list_everything
from modelcache_operator.kube.mirror import Mirror

log = logging.getLogger(__name__)

LONGEST_RETRY_S = 15.0
"""No gate is removed in a namespace that was not listed."""


@dataclass(slots=True)
class Scope:
    """A namespace, or the whole cluster."""

    namespace: str | None
    served: bool = False
    listed_at: float = 0.0
    problem: str = ""
    due: float = 0.0


class Listing:
    """The namespaces that are to be served; ``changed`` is told which caches to look at."""

    def __init__(
        self,
        api: Api,
        mirror: Mirror,
        namespaces: tuple[str, ...],
        changed: Callable[[Iterable[Key]], None],
        forgotten: Callable[[Key], None],
        warn: Callable[[str, str], Awaitable[None]],
        registry: CollectorRegistry,
        period_s: float,
        first_retry_s: float,
        per_node: bool = False,
    ) -> None:
        self._api = api
        self._mirror = mirror
        self._changed = changed
        self._forgotten = forgotten
        self._warn = warn
        self._period = period_s
        self._backoff = Backoff(first_retry_s, LONGEST_RETRY_S)
        self._nodes_due = 0.0 if per_node else math.inf
        self._scopes: dict[str | None, Scope] = {name: Scope(name) for name in namespaces or (None,)}
        self._gauge = Gauge(
            "modelcache_operator_namespace_served", "1 while it can be listed.", LABELS[:1], registry=registry
        )
        for scope in self._scopes.values():
            self._set_served(scope, False)
        self.tried_at: float | None = None
        """A sign of life: whatever came of it."""

    def serves(self, key: Key) -> bool:
        scope = self._scopes.get(key.namespace) or self._scopes.get(None)
        return scope is not None and scope.served

    def settled(self) -> bool:
        """Whether something is served, and of the rest is known why not."""
        return any(each.served for each in self._scopes.values()) and all(
            each.served or each.problem for each in self._scopes.values()
        )

    def listed_at(self) -> float:
        """When the served namespace that was listed longest ago was."""
        return min((each.listed_at for each in self._scopes.values() if each.served), default=0.0)

    async def run(self, until: Callable[[], bool] = lambda: False) -> None:
        while not until():
            scope = min(self._scopes.values(), key=lambda each: each.due)
            await asyncio.sleep(scope.due - time.monotonic())
            self.tried_at = time.monotonic()
            try:
                await self._list_nodes()
                changed = await list_everything(self._api, self._mirror, scope.namespace)
            except ApiError as error:
                scope.due = time.monotonic() + self._backoff.failed(scope.namespace)
                await self._failed(scope, error)
            else:
                scope.due = time.monotonic() + self._period
                self._listed(scope, changed)

    async def _list_nodes(self) -> None:
        """Once for all namespaces. A refusal is told by the caches that need them."""
        if time.monotonic() >= self._nodes_due:
            await self._mirror.nodes.list(self._api)
            self._nodes_due = time.monotonic() + self._period

    def _set_served(self, scope: Scope, served: bool) -> None:
        scope.served = served
        if scope.namespace:
            self._gauge.labels(scope.namespace).set(served)

    def _listed(self, scope: Scope, changed: set[Key]) -> None:
        if scope.problem:
            log.info("listed again", extra=fields(namespace=scope.namespace or "all"))
        self._set_served(scope, True)
        scope.listed_at, scope.problem = time.time(), ""
        self._backoff.succeeded(scope.namespace)
        everything = changed | set(self._mirror.caches) | set(self._mirror.pods)
        self._changed(key for key in everything if scope.namespace in (None, key.namespace))

    async def _failed(self, scope: Scope, error: ApiError) -> None:
        if isinstance(error, Refused | Missing):
            self._set_served(scope, False)
            for key in forget_everything(self._mirror, scope.namespace):
                self._forgotten(key)
        problem = str(error.args[0])
        if problem == scope.problem:
            return
        scope.problem = problem
        what = "is the custom resource definition installed?" if isinstance(error, Missing) else "listing failed"
        log.warning("%s: %s", what, problem, extra=fields(namespace=scope.namespace or "all", served=scope.served))
        if scope.namespace and isinstance(error, Refused):
            await self._warn(scope.namespace, problem)
