"""kopf, used for what it is best at: watches that stay alive. Handlers only tell the mirror and the queue.

The settings were measured (docs/operator.md says how): no scanning of namespaces and CRDs, which a namespaced Role does
not allow; pods and Jobs filtered by label on the server; no finalizers, annotations or timers on anybody's objects.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, cast

import aiohttp
import kopf
from kopf._core.reactor.inventory import ResourceMemories, ResourceMemory

from init_sync.shell.backoff import doubled_s
from modelcache_operator.app.queue import WorkQueue
from modelcache_operator.core import names
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror

Json = dict[str, Any]
Take = Callable[[Json], Iterable[Key]]


class _Delays:
    """Between the attempts of a request, without an end."""

    def __iter__(self) -> Iterator[float]:
        return (doubled_s(number, 1.0, 15.0) for number in itertools.count(1))


class NoMemories(ResourceMemories):
    """kopf's record of each object, 1 KiB, is for handlers that go on from one event to the next; ours do not."""

    async def recall(self, raw_body: Any, **options: Any) -> ResourceMemory:
        return await super().recall(raw_body, **{**options, "ephemeral": True})


def _tells_enough(record: logging.LogRecord) -> bool:
    """kopf tells of every failed attempt. The fourth, after 7 s, is about something that lasts."""
    number = re.match(r"Request attempt #(\d+)", record.getMessage())
    return number is None or number[1] == "4"


def make_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True  # with a namespaced Role it would be refused and retried for 54 s
    settings.watching.label_selectors["pods"] = names.CACHE_LABEL
    settings.watching.label_selectors["jobs"] = names.CACHE_LABEL
    settings.watching.server_timeout = 10 * 60  # a whole number: the API refuses 600.0
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _Delays()  # a watch that is given up would end the process
    settings.watching.chunk_size = 250  # a whole list of 5,000 pods at once would take 300 MB
    # Handlers do no input or output, so workers need no limit; they keep an object's JSON as long as they idle.
    settings.queueing.idle_timeout = 0.02
    settings.posting.enabled = False  # Events are chosen and posted by the writer
    settings.persistence.finalizer = f"{names.GROUP}/finalizer"  # unused, and never kopf's shared name
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=names.GROUP, key="last-handled")
    settings.process.ultimate_exiting_timeout = 20
    return settings


def make_registry(mirror: Mirror, queue: WorkQueue[Key], session: kopf.AiohttpSession) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()
    logins = itertools.count()

    async def login(**_: Any) -> kopf.AiohttpSession:
        return replace(session, priority=next(logins))  # kopf takes nothing twice, as after an error of TLS

    kopf.on.login(registry=registry)(login)
    _watch(registry, (names.GROUP, names.VERSION, names.PLURAL), queue, mirror.upsert_cache, _drop_cache(mirror))
    _watch(registry, ("", "v1", "pods"), queue, mirror.upsert_pod, mirror.delete_pod)
    _watch(registry, ("batch", "v1", "jobs"), queue, mirror.upsert_job, mirror.delete_job)
    return registry


def watch_nodes(registry: kopf.OperatorRegistry, mirror: Mirror, queue: WorkQueue[Key]) -> None:
    """They have no namespace: kopf watches them all, whichever namespaces are served."""
    _watch(registry, ("", "v1", "nodes"), queue, mirror.upsert_node, mirror.delete_node)


def _watch(
    registry: kopf.OperatorRegistry, resource: tuple[str, str, str], queue: WorkQueue[Key], take: Take, drop: Take
) -> None:
    async def on_event(event: Any, **_: Any) -> None:
        raw = dict(event["object"])
        queue.add_all(drop(raw) if event["type"] == "DELETED" else take(raw))

    kopf.on.event(*resource, id=f"{resource[2]}-seen", registry=registry)(on_event)


def _drop_cache(mirror: Mirror) -> Take:
    return lambda raw: mirror.delete_cache(Key(raw["metadata"]["namespace"], raw["metadata"]["name"]))


def kind_is_gone(error: BaseException) -> str | None:
    """What to say when a watch ended because the API does not serve its kind any more; None when it was otherwise."""
    answer = error.__cause__
    if not isinstance(answer, aiohttp.ClientResponseError) or answer.status != 404:
        return None
    path = answer.request_info.real_url.path
    if names.PLURAL not in path:
        return f"watching {path}: the API does not serve it any more (404)"
    return (
        f"watching {path}: the API does not serve it any more (404). The custom resource definition was deleted, and "
        "every ModelCache with it; claims and files are still there. Apply charts/modelcache/charts/crds/crds/ and the "
        "manifests again: what is on the volumes is found complete"
    )


async def watch(
    registry: kopf.OperatorRegistry, namespaces: tuple[str, ...], take_signals_back: Callable[[], None]
) -> None:
    """Until cancelled.

    kopf takes the process' signals; on one it would wait 5 s for a watch that has just begun, cancelled it does not.
    """
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # else a line for every event
    logging.getLogger("kopf._cogs.clients.watching").addFilter(_tells_enough)
    others = asyncio.all_tasks()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=make_settings(),
        memories=NoMemories(),
        # Unused without peers; left to kopf, it is made of the user's name, and not every uid has one.
        identity=cast("Any", "modelcache-operator"),
        standalone=True,  # else somebody's peering object named "default" would pause us
        clusterwide=not namespaces,
        namespaces=namespaces,
    )
    take_signals_back()
    await kopf.run_tasks(tasks, ignored=others)
