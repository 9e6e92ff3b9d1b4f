"""The Job of a task: the pod of a sync Job with another command.

It is not tried again by Kubernetes: the operator makes the next one, after delays that grow. A Job that asks the hub
mounts no claim, and one that mounts the claim gets no token.
"""

from __future__ import annotations

from typing import Any

from init_sync.core.settings import SYNC_PORT
from modelcache_operator.core import jobs, names
from modelcache_operator.core.observed import Cache
from modelcache_operator.core.tasks import Task, TaskRequest

Json = dict[str, Any]


def task_job(cache: Cache, order: TaskRequest, image: str) -> Json:
    annotations = {names.ABOUT_ANNOTATION: order.about, **({names.NODE_ANNOTATION: order.node} if order.node else {})}
    body = jobs.job(cache, order.name, order.attempt, annotations, order.task.command)
    mounts = order.task.mounts
    pod = jobs.pod_spec(cache, image, _arguments(cache, order), order.node, order.pins, mounts=mounts, token=not mounts)
    if order.node:
        pod["nodeSelector"] = {}
    return jobs.with_pod(cache, body, pod, order.pins, 0, None)


def _arguments(cache: Cache, order: TaskRequest) -> list[str]:
    if not order.task.mounts:
        return ["plan", *jobs.ON_MANIFEST, "--refresh", *(["--compare-to", jobs.PINS_PATH] if order.pins else [])]
    more = ["--log-format", cache.job.log_format]
    if order.task is Task.SCRUB and cache.scrub:
        more = ["--rate", cache.scrub.rate, "--older-than", cache.scrub.every, "--metrics-port", str(SYNC_PORT), *more]
    return [order.task.command, *jobs.ON_MANIFEST, *jobs.ON_VOLUME, *more]
