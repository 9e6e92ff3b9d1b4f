"""Gauges from the mirror, counters of this process."""

from __future__ import annotations

import copy
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from init_sync.core.reasons import Reason
from modelcache_operator.app.counters import Counters
from modelcache_operator.app.metrics import CacheCollector
from modelcache_operator.core.gate import Cause
from modelcache_operator.core.parse_pods import parse_pod
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
LABELS_AND_CAUSE = 'cache="cache",cause="{}",namespace="default"'


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
    counters.count_gate(
        Key("default", "cache"), parse_pod(ready.pods[ready.add_pod("serve", gated=True)]), Cause.COMPLETE, 3.0
    )
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
    pod = ready.add_pod("serve", gated=True, resources={"limits": {"nvidia.com/gpu": "4"}})
    counters = Counters(CollectorRegistry())
    counters.count_gate(Key("default", "cache"), parse_pod(ready.pods[pod]), Cause.LEAD_TIME, 10.0)
    text = scrape(ready, counters)
    assert f"modelcache_gate_gpu_seconds_total{{{LABELS}}} 40.0" in text
    assert f"modelcache_gate_wait_seconds_sum{{{LABELS}}} 10.0" in text
    causes = {cause: f"modelcache_gates_removed_total{{{LABELS_AND_CAUSE.format(cause)}}} " for cause in Cause}
    assert [cause for cause, series in causes.items() if f"{series}1.0" in text] == ["LeadTime"]
    assert all(series in text for series in causes.values()), "the first increase must be seen"


def test_waiting_behind_the_gates_of_others_is_not_counted(world: PureCluster) -> None:
    pod = world.add_pod("serve", gated=True, resources={"limits": {"nvidia.com/gpu": "4"}})
    world.pods[pod]["spec"]["schedulingGates"].insert(0, {"name": "other.example/gate"})
    world.now += 60
    world.settle()
    assert world.status["pods"]["waiting"] == 0
    counters = Counters(CollectorRegistry())
    counters.count_gate(Key("default", "cache"), parse_pod(world.pods[pod]), Cause.COMPLETE, 60.0)
    text = scrape(world, counters)
    for name, value in {"gates_removed_total": 1, "gate_wait_seconds_count": 0, "gate_gpu_seconds_total": 0}.items():
        labels = LABELS_AND_CAUSE.format("Complete") if name == "gates_removed_total" else LABELS
        assert f"modelcache_{name}{{{labels}}} {value:.1f}" in text


def test_tasks_are_counted_apart_from_syncs() -> None:
    world = PureCluster(scrub={"every": "1h"})
    world.settle()
    pods = []
    ends: list[tuple[str, int, Json]] = [
        ("scrub", 0, complete()),
        ("scrub", 1, incomplete(Reason.CHECKSUM_MISMATCH, "a file differs")),
        ("scrub", 137, {}),
        ("prune", 0, {"bytesFreed": 70}),
    ]
    for number, (task, code, report) in enumerate(ends):
        pod = world.add_pod(f"task-{number}")
        world.pods[pod]["metadata"]["labels"]["modelcache.dev/task"] = task
        world.finish(pod, code, report)
        pods.append(world.pods.pop(pod))
    text = counted(world, *pods)
    for result in ("intact", "damaged", "failed"):
        assert f'modelcache_scrubs_total{{{LABELS},result="{result}"}} 1.0' in text
    assert f"modelcache_pruned_bytes_total{{{LABELS}}} 70.0" in text
    assert f'modelcache_syncs_total{{{LABELS},outcome="failed"}} 0.0' in text
    assert f"modelcache_scrub_period_seconds{{{LABELS}}} 3600.0" in text


def test_pods_on_a_damaged_volume_are_named_while_it_is_damaged() -> None:
    world = PureCluster()
    world.settle()
    world.sync_well(complete())
    mirror, registry = Mirror(), CollectorRegistry()
    registry.register(CacheCollector(mirror, Counters(CollectorRegistry()), NoApi(), lambda: world.now))  # type: ignore[arg-type]
    world.now += 1
    for number in range(25):
        pod = world.add_pod(f"serve-{number:02d}")
        world.pods[pod]["spec"]["nodeName"] = "a"
        mirror.upsert_pod(world.pods[pod])
    world.add_pod("elsewhere", claim="other")
    mirror.upsert_pod(world.pods["elsewhere"])
    mirror.upsert_cache(world.cache)
    assert 'pod="' not in generate_latest(registry).decode()
    world.finish("serve-00", 1, incomplete(Reason.CHECKSUM_MISMATCH, "a file differs"))
    world.settle()
    world.cache["metadata"]["resourceVersion"] = "1000"
    mirror.upsert_cache(world.cache)
    text = generate_latest(registry).decode()
    assert text.count("modelcache_damaged_pod_info{") == 20
    assert f'modelcache_damaged_pod_info{{{LABELS},pod="serve-19"}} 1.0' in text
    assert "elsewhere" not in text


def test_updates_and_unused_bytes_are_absent_until_they_are_known() -> None:
    world = PureCluster(updates={"check": "24h"})
    world.settle()
    for name in ("update_available", "update_bytes", "unused_bytes", "scrub_period_seconds"):
        assert f"modelcache_{name}{{" not in scrape(world)
    at = "2026-11-30T00:00:00Z"
    world.status["updates"] = {"checkedAt": at, "commits": {"base": "a" * 40}, "bytes": 5}
    world.status["prune"] = {"bytesUnused": 7}
    text = scrape(world)
    assert f"modelcache_update_available{{{LABELS}}} 1.0" in text
    assert f"modelcache_update_bytes{{{LABELS}}} 5.0" in text
    assert f"modelcache_unused_bytes{{{LABELS}}} 7.0" in text
