"""Jobs of tasks in a cluster without any server."""

from __future__ import annotations

import json
from typing import Any

from init_sync.core.reasons import Reason
from modelcache_operator.core import names, timestamps
from support.pure_cluster import PureCluster
from support.reports import COMMIT, GIB, complete, incomplete

Json = dict[str, Any]
NEWER = "fedcba9876543210fedcba9876543210fedcba98"
DIGEST = f"sha256:{'5' * 64}"
HOUR, DAY, WEEK = 3600, 24 * 3600, 168 * 3600


def synced(mode: str = "ReadWriteMany", **spec: Any) -> PureCluster:
    """A complete cache."""
    world = PureCluster(**spec)
    assert world.claim is not None
    world.claim["spec"] = {"accessModes": [mode]}
    world.settle()
    world.sync_well(complete(digest=DIGEST, manifest=world.digest))
    assert world.status["phase"] == "Ready"
    return world


def damage(world: PureCluster) -> Json:
    return incomplete(Reason.CHECKSUM_MISMATCH, "weights.safetensors differs", manifest=world.digest)


def use(world: PureCluster, name: str, node: str) -> str:
    world.add_pod(name)
    world.pods[name]["spec"]["nodeName"] = node
    world.finish(name, 0, complete(manifest=world.digest))
    return name


def task_jobs(world: PureCluster, command: str = "") -> list[str]:
    """Names of the unfinished Jobs of tasks."""
    return [
        name
        for name, job in world.jobs.items()
        if "status" not in job and job["metadata"]["labels"].get(names.TASK_LABEL, "") not in ("",)
        and command in ("", job["metadata"]["labels"][names.TASK_LABEL])
    ]  # fmt: skip


def start_task(world: PureCluster, command: str, node: str = "") -> tuple[str, str]:
    """The pod of the one Job of this command runs; returns Job and pod."""
    (job,) = task_jobs(world, command)
    pod = world.add_pod(f"{job}-p", job)
    spec = world.jobs[job]["spec"]["template"]
    world.pods[pod]["metadata"]["labels"] = spec["metadata"]["labels"]
    world.pods[pod]["spec"] |= {"volumes": spec["spec"]["volumes"], "nodeName": node or _node(world, job)}
    world.start(pod)
    world.settle()
    return job, pod


def end_task(world: PureCluster, command: str, report: Json | str = "", code: int = 0, took_s: float = 5) -> str:
    """It runs and ends; returns the Job's name."""
    job, pod = start_task(world, command)
    world.now += took_s
    world.finish(pod, code, report if isinstance(report, str) else json.dumps(report))
    world.pods[pod]["status"]["phase"] = "Failed" if code else "Succeeded"
    world.end_job(job, "Failed" if code else "Complete", "BackoffLimitExceeded" if code else "")
    world.settle()
    return job


def _node(world: PureCluster, job: str) -> str:
    return str(world.jobs[job]["metadata"]["annotations"].get(names.NODE_ANNOTATION, ""))


def plan_report(size: int = 10 * GIB, commit: str = COMMIT, to_fetch: int = 0, **models: str) -> Json:
    """As ``plan`` writes it."""
    listed = [{"name": name, "commit": each} for name, each in (models or {"base": commit}).items()]
    return {"cache": "cache", "bytesTotal": size, "bytesToFetch": to_fetch, "filesToFetch": 1, "models": listed}


def wait_until_due(world: PureCluster, field: str) -> None:
    """Nothing happens before ``nextAt``, and the task is due then."""
    at = timestamps.parse(world.status[field]["nextAt"])
    assert at is not None
    world.now = at - 1
    world.settle()
    assert task_jobs(world) == []
    world.now = at
    world.settle()
