"""Caches with ``sync.job.enabled: false``: serving pods do the work, and their word is the proof."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from support.cluster import Space
from support.hub import LocalHub, RepoBuilder
from support.operator_process import OperatorProcess
from support.reports import complete
from support.waiting import eventually

NO_JOB = {"job": {"enabled": False}}
NO_JOBS_SAID = "ModelCache cache has no sync Jobs"
MODEL: dict[str, Any] = {
    "name": "base",
    "displayName": "Modèle 模型",
    "repo": "owner/small",
    "path": "base",
    "revision": "main",
}


@pytest.fixture
def cache(space: Space, operator: OperatorProcess) -> Space:
    """The namespace of a cache without Jobs whose manifest has been rendered."""
    space.kubelet.claim("models")
    space.cache(models=[MODEL], sync=NO_JOB)
    digest_of(space, "main")
    return space


def digest_of(space: Space, revision: str) -> str:
    """Of the bytes that a kubelet would mount, once those that name this revision are there."""

    def rendered() -> str | None:
        config = space.client.find("configmaps", "cache-modelcache", space.namespace)
        text = config["data"]["modelcache.yaml"] if config else ""
        return text if f'"revision": "{revision}"' in text else None

    text: str = eventually(rendered, f"the manifest of revision {revision} is rendered")
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def test_the_real_init_container_of_a_pod_takes_the_cache_to_ready_and_opens_the_gate_of_others(
    cache: Space, hub: LocalHub, repo: RepoBuilder, volume: Path
) -> None:
    waiting = cache.kubelet.workload("cache", "models", init=False)
    first = cache.kubelet.workload("cache", "models")
    eventually(lambda: not first.gated, "the gate of the pod that syncs is removed at once")
    assert waiting.gated
    eventually(lambda: any(NO_JOBS_SAID in each["message"] for each in cache.events(first.name)), "an Event says why")
    assert cache.kubelet.init(first, volume, hub.endpoint) == 0
    status = cache.until("Ready")
    assert status["models"][0]["filesPresent"] == 3
    assert cache.jobs() == []
    eventually(lambda: not waiting.gated, "the gate is removed")


def test_a_pod_that_mounted_an_older_manifest_proves_nothing(cache: Space) -> None:
    old = digest_of(cache, "main")
    models = [{**MODEL, "revision": "v2"}]
    cache.client.patch("modelcaches", "cache", {"spec": {"models": models}}, cache.namespace)
    new = digest_of(cache, "v2")
    waiting = cache.kubelet.workload("cache", "models", init=False)
    late = cache.kubelet.workload("cache", "models", gated=False)
    late.finish(0, complete(manifest=old))
    eventually(lambda: cache.status().get("pods", {}).get("started") == 1, "its end is seen")
    assert cache.status()["phase"] == "Pending"
    assert waiting.gated
    late.restart()
    late.finish(0, complete(manifest=new))
    cache.until("Ready")
    eventually(lambda: not waiting.gated, "the gate is removed")


@pytest.mark.parametrize("manifest", [None, "sha256:0", "0" * 64, ["sha256"], "\x00" * 71], ids=repr)
def test_a_garbage_digest_proves_nothing(cache: Space, manifest: object) -> None:
    pod = cache.kubelet.workload("cache", "models", gated=False)
    pod.finish(0, complete(manifest=manifest))
    eventually(lambda: cache.condition("Complete").get("reason") == "ManifestUnknown", "the status says why")
    assert cache.status()["complete"] is False
    assert "does not name the manifest" in cache.status()["message"]
