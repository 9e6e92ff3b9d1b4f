"""Gauges from the mirror, counters of this process."""

from __future__ import annotations

import copy
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from init_sync.core.reasons import Reason
from modelcache_operator.app.counters import Counters
from modelcache_operator.app.metrics import CacheCollector
from modelcache_operator.core.parse import parse_pod
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror
from support.pure_cluster import PureCluster
from support.reports import complete, incomplete

Json = dict[str, Any]


class NoApi:
    """What the collector asks of the API."""

    calls = 0


def scrape(world: PureCluster, counters: Counters | None = None) -> str:
    mirror = Mirror()
    mirror.upsert_cache(world.cache)
    registry = CollectorRegistry()
    counters = counters or Counters(CollectorRegistry())
    registry.register(CacheCollector(mirror, counters, NoApi(), lambda: world.now))  # type: ignore[arg-type]
    return generate_latest(registry).decode()


LABELS = 'cache="cache",namespace="default"'


def test_gauges_are_made_of_the_status() -> None:
    world = PureCluster()
    world.settle()
    world.sync_well(complete())
    text = scrape(world)
    assert f"modelcache_complete{{{LABELS}}} 1.0" in text
    assert f"modelcache_size_bytes{{{LABELS}}} " in text
    assert 'phase="Ready"} 1.0' in text


def counted(world: PureCluster, *seen: Json) -> str:
    """The counters after these versions of pods were seen, in this order."""
    counters, mirror = Counters(CollectorRegistry()), Mirror()
    mirror.on_run = counters.count_run
    mirror.upsert_cache(world.cache)
    for version, pod in enumerate(seen):
        pod["metadata"]["resourceVersion"] = str(version + 1)
        mirror.upsert_pod(pod)
    world.settle()
    return scrape(world, counters)


def test_each_run_of_a_sync_container_counts_once_however_often_its_pod_is_seen() -> None:
    world = PureCluster()
    pod = world.add_pod("serve")
    world.finish(pod, 1, incomplete(Reason.RATE_LIMITED, "429"))
    failed = copy.deepcopy(world.pods[pod])
    world.start(pod)
    world.finish(pod, 0, complete())
    text = counted(world, failed, copy.deepcopy(failed), world.pods[pod], copy.deepcopy(world.pods[pod]))
    assert f'modelcache_syncs_total{{{LABELS},outcome="failed"}} 1.0' in text
    assert f'modelcache_syncs_total{{{LABELS},outcome="succeeded"}} 1.0' in text
    assert f'modelcache_hub_errors_total{{{LABELS},reason="RateLimited"}} 1.0' in text
    assert f"modelcache_fetched_bytes_total{{{LABELS}}} 1.073741824e+09" in text
    assert 'modelcache_sync_duration_seconds_bucket{cache="cache",le="1.0",namespace="default"} 2.0' in text


def test_counters_begin_at_zero_and_go_with_their_cache(ready: PureCluster) -> None:
    counters = Counters(CollectorRegistry())
    assert f'modelcache_syncs_total{{{LABELS},outcome="failed"}} 0.0' in scrape(ready, counters)
    counters.count_gate(Key("default", "cache"), parse_pod(ready.pods[ready.add_pod("serve")]), 3.0)
    assert f"modelcache_gate_wait_seconds_sum{{{LABELS}}} 3.0" in scrape(ready, counters)
    counters.remove_cache(Key("default", "cache"))
    assert f"modelcache_gate_wait_seconds_sum{{{LABELS}}} 0.0" in scrape(ready, counters)


def test_a_pod_whose_label_names_no_cache_makes_no_series(world: PureCluster) -> None:
    pod = world.add_pod("stray")
    world.pods[pod]["metadata"]["labels"]["modelcache.dev/cache"] = "x" * 63
    world.finish(pod, 0, complete())
    assert "xxx" not in counted(world, world.pods[pod])


def test_the_reason_is_a_metric_until_the_cache_is_complete() -> None:
    world = PureCluster()
    world.settle()
    world.sync_badly(1, incomplete(Reason.RATE_LIMITED, "429"))
    lines = [line for line in scrape(world).splitlines() if line.startswith("modelcache_reason{")]
    assert lines == [f'modelcache_reason{{{LABELS},reason="RateLimited"}} 1.0']
    world.now += 11
    world.settle()
    world.sync_well(complete())
    assert "modelcache_reason{" not in scrape(world)


def test_gpu_seconds_at_the_gate_are_a_counter(ready: PureCluster) -> None:
    pod = ready.add_pod("serve", resources={"limits": {"nvidia.com/gpu": "4"}})
    counters = Counters(CollectorRegistry())
    counters.count_gate(Key("default", "cache"), parse_pod(ready.pods[pod]), 10.0)
    text = scrape(ready, counters)
    assert f"modelcache_gate_gpu_seconds_total{{{LABELS}}} 40.0" in text
    assert f"modelcache_gate_wait_seconds_sum{{{LABELS}}} 10.0" in text
