"""The small parts of the process: queue, mirror, settings, metrics, progress."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import subprocess
import sys
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from prometheus_client import CollectorRegistry, generate_latest

from init_sync.core.reasons import Reason
from init_sync.shell.flags import WrongSettings
from modelcache_operator.app.counters import Counters
from modelcache_operator.app.health import Health
from modelcache_operator.app.metrics import CacheCollector
from modelcache_operator.app.process import cancelled
from modelcache_operator.app.queue import WorkQueue
from modelcache_operator.app.settings import Settings, read_settings
from modelcache_operator.core.names import job_name
from modelcache_operator.core.parse import parse_pod
from modelcache_operator.kube.clock import ServerClock
from modelcache_operator.kube.key import Key
from modelcache_operator.kube.mirror import Mirror
from modelcache_operator.kube.progress import ProgressPoller, is_pod_address
from modelcache_operator.kube.writer import difference
from support.reports import complete, incomplete
from support.world import World

Json = dict[str, Any]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 5))


# The queue


def test_a_name_is_queued_once_however_often_it_is_added() -> None:
    async def work() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_all(["a", "a", "b", "a"])
        assert [await queue.take(), await queue.take()] == ["a", "b"]
        assert len(queue) == 0

    run(work())


def test_a_name_added_while_it_is_handled_is_handled_once_more_and_never_twice_at_once() -> None:
    async def work() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        assert await queue.take() == "a"
        queue.add_all(["a", "a"])
        assert len(queue) == 0
        queue.done("a")
        assert await queue.take() == "a"
        queue.done("a")
        assert queue.idle()

    run(work())


def test_of_two_later_moments_the_earlier_counts() -> None:
    async def work() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add_later("a", 60)
        queue.add_later("a", 0.01)
        queue.add_later("a", 60)
        assert await queue.take() == "a"

    run(work())


def test_a_closed_queue_hands_out_what_it_has_and_takes_no_more() -> None:
    async def work() -> None:
        queue: WorkQueue[str] = WorkQueue()
        queue.add("a")
        queue.close()
        queue.add("b")
        queue.add_later("c", 0.0)
        assert await queue.take() == "a"
        queue.add("a")
        queue.done("a")
        await asyncio.sleep(0)
        assert queue.idle()

    run(work())


# The mirror


def _object(name: str, version: int, uid: str = "u", **labels: str) -> Json:
    metadata = {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata, "spec": {}, "status": {}}


def _pod(name: str, version: int, uid: str = "u") -> Json:
    raw = _object(name, version, uid)
    raw["metadata"]["labels"] = {"modelcache.dev/cache": "cache"}
    return raw


KEY = Key("ns", "cache")


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    mirror = Mirror()
    assert list(mirror.upsert_pod(_pod("p", 5))) == [KEY]
    assert list(mirror.upsert_pod(_pod("p", 4))) == []
    assert list(mirror.upsert_pod(_pod("p", 5))) == []
    assert list(mirror.upsert_pod(_pod("p", 3, uid="another pod of that name"))) == [KEY]


def test_a_full_list_drops_what_is_gone_and_keeps_what_is_newer_than_itself() -> None:
    mirror = Mirror()
    for name, version in (("gone", 5), ("there", 6), ("newer", 9)):
        mirror.upsert_pod(_pod(name, version, uid=name))
    assert list(mirror.prune_pods(lambda _namespace, uid: uid == "there", 7)) == [KEY]
    assert sorted(mirror.pods[KEY]) == ["newer", "there"]


def test_the_mirror_keeps_nothing_of_a_cache_that_is_gone() -> None:
    """The garbage collector deletes its Jobs after it."""
    mirror = Mirror()
    mirror.upsert_cache(_cache("cache"))
    mirror.refuse(KEY, object="quota", until=9.0)
    job = _object("cache-sync-1", 5, "job", **{"modelcache.dev/cache": "cache"})
    job["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    mirror.upsert_job(job)
    mirror.delete_cache(KEY)
    mirror.delete_job(job)
    assert not mirror.refuse(KEY, object="", until=0.0)
    assert (mirror.refusals, mirror._ended, dict(mirror.jobs)) == ({}, {}, {})


def _cache(name: str, version: int = 1, claim: str = "models", repo: str = "o/r", path: str = "base") -> Json:
    raw = _object(name, version, uid=name)
    raw["metadata"] |= {"generation": version, "creationTimestamp": "2026-11-23T01:00:00Z"}
    models = [{"name": "base", "repo": repo, "path": path}]
    return {**raw, "spec": {"models": models, "volume": {"claimName": claim}}}


def test_caches_on_one_claim_hear_of_each_other_only_when_it_matters() -> None:
    mirror = Mirror()
    assert set(mirror.upsert_cache(_cache("a"))) == {Key("ns", "a")}
    assert set(mirror.upsert_cache(_cache("b", path="b"))) == {Key("ns", "b"), Key("ns", "a")}, "no longer alone"
    assert set(mirror.upsert_cache(_cache("c", path="c"))) == {Key("ns", "c")}
    assert set(mirror.upsert_cache(_cache("d", repo="o/other"))) == {Key("ns", "d"), Key("ns", "a")}, "the same place"
    snapshot = mirror.snapshot(Key("ns", "a"))
    assert snapshot is not None
    assert [each.name for each in snapshot.neighbours] == ["d"]
    assert snapshot.claim_shared
    assert set(mirror.delete_cache(Key("ns", "d"))) == {Key("ns", "d"), Key("ns", "a")}
    mirror.delete_cache(Key("ns", "c"))
    assert set(mirror.delete_cache(Key("ns", "b"))) == {Key("ns", "b"), Key("ns", "a")}, "alone again"


def test_a_claim_that_nobody_uses_any_more_is_forgotten() -> None:
    mirror = Mirror()
    mirror.upsert_cache(_cache("a"))
    mirror.upsert_claim(Key("ns", "models"), None)
    mirror.upsert_cache(_cache("a", version=2, claim="others"))
    assert mirror.claims == {}
    assert mirror.used_claims() == {Key("ns", "others")}


# What is written


def test_a_merge_patch_holds_only_what_changed() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1]}
    assert difference(old, old) == {}
    assert difference(old, {"a": 1, "b": {"c": 1, "d": 3}, "f": 4}) == {"b": {"d": 3}, "e": None, "f": 4}


@pytest.mark.parametrize("length", [1, 40, 63])
def test_job_names_fit_into_a_label_and_differ(length: int) -> None:
    found = {job_name("a" * length, attempt) for attempt in (1, 999, 123456789)}
    assert len(found) == 3
    assert all(len(name) <= 63 for name in found)


def test_long_names_that_begin_alike_have_different_jobs() -> None:
    assert job_name("a" * 62 + "b", 1) != job_name("a" * 62 + "c", 1)


# Settings


def _settings(*arguments: str, **environment: str) -> Settings:
    return read_settings(arguments, environment)


def test_flags_win_over_the_environment_and_that_over_defaults() -> None:
    found = _settings("--namespace", "a", "--sync-image", "x", MODELCACHE_SYNC_IMAGE="y", MODELCACHE_LEASE_NAME="z")
    assert (found.sync_image, found.lease_name, found.health_port) == ("x", "z", 8081)
    assert (found.namespace, found.lease_namespace) == (("a",), "a")


def test_claims_are_looked_at_every_10_seconds_until_bound_and_with_everything_else_every_2_minutes() -> None:
    found = _settings("--namespace", "a")
    assert (found.claim_check_seconds, found.full_list_seconds) == (10, 120)


def test_several_namespaces_may_come_from_the_environment() -> None:
    assert _settings(MODELCACHE_NAMESPACE="a, b").namespace == ("a", "b")
    assert _settings(MODELCACHE_ALL_NAMESPACES="true").namespace == ()


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(WrongSettings) as wrong:
        _settings("--metrics-port", "x", "--log-format", "xml", "--lease-seconds", "1")
    assert len(wrong.value.problems) == 4


def test_wrong_usage_ends_with_2_and_a_line_for_each_mistake() -> None:
    command = [sys.executable, "-m", "modelcache_operator", "--log-level", "loud"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2


# Probes


@pytest.mark.parametrize(
    ("tried", "ready", "healthz", "readyz"),
    [
        pytest.param(None, False, 200, 503, id="a standby"),
        pytest.param(59, True, 200, 200, id="active"),
        pytest.param(61, True, 503, 200, id="lists have stopped"),
    ],
)
def test_liveness_is_about_lists_that_are_tried_and_readiness_about_the_lease(
    tried: float | None, ready: bool, healthz: int, readyz: int
) -> None:
    health = Health(lambda: None if tried is None else time.monotonic() - tried, lambda: ready, limit_s=60)
    request = make_mocked_request("GET", "/")
    answers = (asyncio.run(health.healthz(request)), asyncio.run(health.readyz(request)))
    assert [answer.status for answer in answers] == [healthz, readyz]


# Progress and metrics


@pytest.mark.parametrize(
    ("address", "asked"),
    [
        *(("10.1.2.3", True), ("fd00::1", True), ("169.254.169.254", False), ("fe80::1", False), ("", False)),
        *(("::ffff:169.254.169.254", False), ("::ffff:10.1.2.3", True)),
        *(("224.0.0.1", False), ("0.0.0.0", False), ("localhost", False), ("10.0.0.1/x@y", False)),
        *(("127.0.0.1", False), ("127.64.3.2", False), ("::1", False), ("::", False), ("::ffff:127.0.0.1", False)),
        *(("0.1.2.3", False), ("255.255.255.255", False), ("ff05::2", False), ("fd00::1%eth0", False)),
        *(("::169.254.1.1", False), ("64:ff9b::169.254.169.253", False), ("64:ff9b:1::7f00:1", False)),
        *(("2002:7f00:1::", False), ("2002:a9fe:a9fe:1::5", False), ("2001:0:a00:1::5601:5601", False)),
        *(("fd00:ec2::23", False), ("fd20:ce::254", False), ("100.100.100.200", False), ("168.63.129.16", False)),
        *(("::ffff:100.100.100.200", False), ("64:ff9b::168.63.129.16", False), ("192.0.0.192", False)),
        *(("100.64.0.7", True), ("172.20.1.1", True), ("fd00:10:244::5", True), ("2001:db8::7", True)),
        *(("64:ff9b::10.1.2.3", True), ("2600:1f18::1", True), ("11.0.0.1", True)),
    ],
)
def test_only_addresses_that_a_pod_can_have_are_asked(address: str, asked: bool) -> None:
    assert is_pod_address(address) is asked


def test_a_pod_on_the_network_of_its_host_is_not_asked(world: World) -> None:
    """Its address is the node's, where its arguments choose any port."""
    mirror = Mirror()
    mirror.upsert_cache(world.cache)
    for name, spec in (("plain", {}), ("on-host", {"hostNetwork": True})):
        world.start(world.add_pod(name))
        world.pods[name]["spec"] |= spec
        world.pods[name]["status"]["podIP"] = "10.0.0.7"
        mirror.upsert_pod(world.pods[name])
    poller = ProgressPoller(mirror, lambda key: None)
    assert [pod.name for pod in poller._due(1e9)] == ["plain"]


class NoApi:
    """What the collector asks of the API."""

    calls = 0


def scrape(world: World, counters: Counters | None = None) -> str:
    mirror = Mirror()
    mirror.upsert_cache(world.cache)
    registry = CollectorRegistry()
    counters = counters or Counters(CollectorRegistry())
    registry.register(CacheCollector(mirror, counters, NoApi(), lambda: world.now))  # type: ignore[arg-type]
    return generate_latest(registry).decode()


LABELS = 'cache="cache",namespace="default"'


def test_gauges_are_made_of_the_status() -> None:
    world = World()
    world.settle()
    world.sync_well(complete())
    text = scrape(world)
    assert f"modelcache_complete{{{LABELS}}} 1.0" in text
    assert f"modelcache_size_bytes{{{LABELS}}} " in text
    assert 'phase="Ready"} 1.0' in text


def counted(world: World, *seen: Json) -> str:
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
    world = World()
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


def test_counters_begin_at_zero_and_go_with_their_cache(ready: World) -> None:
    counters = Counters(CollectorRegistry())
    assert f'modelcache_syncs_total{{{LABELS},outcome="failed"}} 0.0' in scrape(ready, counters)
    counters.count_gate(Key("default", "cache"), parse_pod(ready.pods[ready.add_pod("serve")]), 3.0)
    assert f"modelcache_gate_wait_seconds_sum{{{LABELS}}} 3.0" in scrape(ready, counters)
    counters.remove_cache(Key("default", "cache"))
    assert f"modelcache_gate_wait_seconds_sum{{{LABELS}}} 0.0" in scrape(ready, counters)


def test_a_pod_whose_label_names_no_cache_makes_no_series(world: World) -> None:
    pod = world.add_pod("stray")
    world.pods[pod]["metadata"]["labels"]["modelcache.dev/cache"] = "x" * 63
    world.finish(pod, 0, complete())
    assert "xxx" not in counted(world, world.pods[pod])


def test_the_reason_is_a_metric_until_the_cache_is_complete() -> None:
    world = World()
    world.settle()
    world.sync_badly(1, incomplete(Reason.RATE_LIMITED, "429"))
    lines = [line for line in scrape(world).splitlines() if line.startswith("modelcache_reason{")]
    assert lines == [f'modelcache_reason{{{LABELS},reason="RateLimited"}} 1.0']
    world.now += 11
    world.settle()
    world.sync_well(complete())
    assert "modelcache_reason{" not in scrape(world)


def test_gpu_seconds_at_the_gate_are_a_counter(ready: World) -> None:
    pod = ready.add_pod("serve", resources={"limits": {"nvidia.com/gpu": "4"}})
    counters = Counters(CollectorRegistry())
    counters.count_gate(Key("default", "cache"), parse_pod(ready.pods[pod]), 10.0)
    text = scrape(ready, counters)
    assert f"modelcache_gate_gpu_seconds_total{{{LABELS}}} 40.0" in text
    assert f"modelcache_gate_wait_seconds_sum{{{LABELS}}} 10.0" in text


# The clock


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        pytest.param("Mon, 21 Sep 2026 10:13:20 GMT", 0.0, id="the same time"),
        pytest.param("Mon, 21 Sep 2026 10:13:21 GMT", 0.0, id="as precise as the header"),
        pytest.param("Mon, 21 Sep 2026 10:23:20 GMT", 600.5, id="the server is ahead"),
        pytest.param("Mon, 21 Sep 2026 10:03:20 GMT", -599.5, id="the server is behind"),
        *(pytest.param(date, 0.0, id=str(date)) for date in (None, "", "yesterday", "Mon, 99 Sep 2026 10:03:20 GMT")),
    ],
)
def test_time_is_that_of_the_api_server(date: str | None, expected: float) -> None:
    own = 1_789_985_600.0
    clock = ServerClock(lambda: own)
    clock.observe(date)
    assert clock() - own == pytest.approx(expected)
    clock.observe("Mon, 21 Sep 2026 10:13:20 GMT")
    assert clock() - own == pytest.approx(0.0)


def test_a_task_that_will_not_end_does_not_hold_up_the_end() -> None:
    async def stubborn(released: asyncio.Event) -> None:
        while not released.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await released.wait()

    async def scenario() -> None:
        released = asyncio.Event()
        tasks = [
            asyncio.create_task(stubborn(released), name="one that stays"),
            asyncio.create_task(asyncio.sleep(60), name="one that goes"),
        ]
        await asyncio.sleep(0)
        assert await cancelled(tasks, 0.05) == ["one that stays"]
        assert tasks[1].cancelled()
        released.set()
        await tasks[0]
        assert await cancelled([], 0.05) == []

    asyncio.run(scenario())
