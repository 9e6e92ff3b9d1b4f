"""How long a sync waits: for a hub that says when to come back, for one that says nothing, and for one that drips."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, HeaderValue, LocalHub, RepoBuilder
from support.outages import GIVE_UP_S, HURRY, IN_TIME_S, MIB, STALL_TIMEOUT_S, at_most, ended, said
from support.scripted_server import ScriptedServer, answer
from support.sync import manifest, model, run_sync, start_sync, tree

FOR_LISTING_AND_FILES = pytest.mark.parametrize("kind", ["model_info", "tree", "resolve", "blob"])


def gaps_s(hub: LocalHub, kind: str) -> list[float]:
    """Seconds between the requests of one kind."""
    times = [request.started for request in hub.requests if request.kind == kind]
    return [later - earlier for earlier, later in pairwise(times)]


def date_in(**time: float) -> Callable[[], str]:
    """A date that far ahead of the answer that it stands in."""
    return lambda: format_datetime(datetime.now(UTC) + timedelta(**time), usegmt=True)


@FOR_LISTING_AND_FILES
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_is_waited_for(
    status: int, kind: str, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("status", match=(kind,), file="model*", status=status, retry_after=1, times=1))
    listing = kind in ("model_info", "tree")
    hub.add_fault(Fault("status", match=(kind,), status=status, retry_after=1, times=int(listing)))

    result = run_sync(spec, volume, hub, "--stall-timeout", "1", "--give-up-after", "5", "--connections", "1")

    assert result.returncode == 0, result.stderr
    assert max(gaps_s(hub, kind)) >= 1.0
    assert "trying again in 1.0 s" in result.stdout


@FOR_LISTING_AND_FILES
def test_retry_after_as_a_date_is_waited_for(kind: str, spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    in_two_seconds = date_in(seconds=2)
    hub.add_fault(Fault("status", match=(kind,), status=429, headers={"Retry-After": in_two_seconds}, times=1))

    result = run_sync(spec, volume, hub, "--stall-timeout", "1", "--give-up-after", "10", "--connections", "1")

    assert result.returncode == 0, result.stderr
    assert max(gaps_s(hub, kind)) >= 1.0, "the backoff alone is a quarter of a second"


@FOR_LISTING_AND_FILES
def test_the_reset_time_of_a_ratelimit_header_is_waited_for(
    kind: str, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("status", match=(kind,), status=429, ratelimit_reset=1, times=1))

    result = run_sync(spec, volume, hub, "--stall-timeout", "1", "--give-up-after", "5", "--connections", "1")

    assert result.returncode == 0, result.stderr
    assert max(gaps_s(hub, kind)) >= 1.0


@FOR_LISTING_AND_FILES
@pytest.mark.parametrize("value", ["3600", date_in(hours=1)], ids=["seconds", "date"])
def test_a_wait_that_is_longer_than_the_patience_ends_the_run_at_once_and_says_so(
    value: HeaderValue, kind: str, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("status", match=(kind,), status=429, headers={"Retry-After": value}))

    with at_most(IN_TIME_S, "giving up a hub that asks for an hour"):
        result = run_sync(spec, volume, hub, "--give-up-after", "40", "--connections", "1")

    assert result.returncode == 1
    assert result.reasons() == {"small": "RateLimited"}
    assert re.search(r"the hub asks to wait 3(600|59\d)(\.\d+)? s", result.stderr)
    assert sum(request.kind == kind for request in hub.requests) == 1


def test_a_rate_limited_file_makes_every_connection_wait(volume: Path, hub: LocalHub, tmp_path: Path) -> None:
    RepoBuilder(tmp_path / "hub", "owner/many").commit({f"{number}.bin": bytes(1000 + number) for number in range(6)})
    hub.add_fault(Fault("status", match=("resolve",), file="0.bin", status=429, retry_after=1, times=1))

    result = run_sync(manifest(model("many", "owner/many")), volume, hub, "--connections", "1")

    assert result.returncode == 0, result.stderr
    assert gaps_s(hub, "resolve")[0] >= 1.0, "nothing at all is asked for meanwhile"


def test_waiting_for_the_hub_does_not_count_as_its_silence(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    hub.add_fault(Fault("extra_delay", match=("resolve",), seconds=0.6, times=4))

    result = run_sync(spec, volume, hub, *HURRY, "--connections", "1")

    assert result.returncode == 0, result.stderr
    assert "trying again" not in result.stdout


@FOR_LISTING_AND_FILES
def test_a_hub_that_is_silent_on_the_first_call_of_its_kind_is_given_up_in_time(
    kind: str, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("stall", match=("model_info", "tree") if kind == "model_info" else (kind,)))

    with at_most(IN_TIME_S, "giving a silent hub up"):
        result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert result.reasons() == {"small": "Stalled"}
    assert "no answer" in result.stderr
    assert "no progress for 2 s" in result.stderr


def test_a_hub_that_is_silent_about_the_repository_is_asked_for_its_pages(
    spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("stall", match=("model_info",)))

    result = run_sync(spec, volume, hub, "--stall-timeout", "1", "--give-up-after", "10")

    assert result.returncode == 0, result.stderr
    assert "no short listing" in result.stdout


@pytest.mark.parametrize("kind", ["model_info", "tree", "resolve"])
def test_patience_shorter_than_the_stall_timeout_is_kept_too(
    kind: str, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("stall", match=(kind,)))

    with at_most(IN_TIME_S, "giving a silent hub up after 1 s of patience"):
        result = run_sync(spec, volume, hub, "--give-up-after", "1", "--stall-timeout", "40")

    assert result.returncode == 1
    assert result.reasons() == {"small": "Stalled"}


def test_a_silent_hub_is_given_up_in_time_when_many_connections_want_one_file(
    large_spec: dict[str, Any], large: RepoBuilder, volume: Path, hub: LocalHub
) -> None:
    large.sparse("weights.safetensors", 256 * MIB)
    hub.add_fault(Fault("stall", match=("resolve",)))

    with at_most(IN_TIME_S, "giving a silent hub up over sixteen connections"):
        result = run_sync(large_spec, volume, hub, *HURRY, "--connections", "16")

    assert result.returncode == 1
    assert result.reasons() == {"large": "Stalled"}


@pytest.mark.parametrize("rate", [1, 200])
def test_a_dripping_file_counts_as_stalled(rate: int, large_spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=rate))

    with at_most(IN_TIME_S, "giving a dripping hub up"):
        result = run_sync(large_spec, volume, hub, *HURRY, "--connections", "2")

    assert result.returncode == 1
    assert result.reasons() == {"large": "Stalled"}
    assert tree(volume) == {}


def test_a_file_whose_last_bytes_came_slowly_is_whole(repo: RepoBuilder, volume: Path, hub: LocalHub) -> None:
    """Late, but all there: nothing is left to fetch, and so nobody else would come to finish it."""
    repo.commit({"tiny.txt": b"abc"})
    hub.add_fault(Fault("slow", match=("resolve",), bytes_per_second=3))

    result = run_sync(manifest(model("small", repo.name)), volume, hub, "--stall-timeout", "0.5", timeout=20)

    assert result.returncode == 0, result.stderr
    assert (volume / "small/tiny.txt").read_bytes() == b"abc"


@pytest.mark.parametrize("kind", ["model_info", "tree"])
def test_a_dripping_listing_counts_as_stalled(kind: str, spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    hub.add_fault(Fault("slow", match=("model_info", "tree") if kind == "model_info" else (kind,), bytes_per_second=20))

    with at_most(IN_TIME_S, "giving a dripping listing up"):
        result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert result.reasons() == {"small": "Stalled"}


def test_a_dripping_head_of_an_answer_counts_as_stalled(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    first = run_sync(spec, volume, hub)
    assert first.returncode == 0
    (volume / "small" / "model.safetensors").unlink()
    drip = [b"HTTP/1.1 200 OK\r\nX-Slow: ", *[b"z"] * 600]

    with ScriptedServer([drip], pause_s=0.1) as server, at_most(IN_TIME_S, "giving a dripping head up"):
        result = run_sync(spec, volume, None, *HURRY, env={"HF_ENDPOINT": server.url})

    assert result.returncode == 1
    assert result.reasons() == {"small": "Stalled"}


def test_a_slow_but_steady_hub_is_not_given_up(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=256 * 1024))

    began = time.monotonic()
    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 0, result.stderr
    assert time.monotonic() - began > GIVE_UP_S + STALL_TIMEOUT_S, "it took longer than any patience"
    assert "trying again" not in result.stdout


def test_an_endpoint_that_is_no_hub_is_named_with_the_variable_to_look_at(spec: dict[str, Any], volume: Path) -> None:
    page = answer("200 OK", b"<html>Welcome to the guest network</html>", Content_Type="text/html")
    with ScriptedServer([page]) as server:
        result = run_sync(spec, volume, None, *HURRY, env={"HF_ENDPOINT": server.url})

    assert result.returncode == 1
    assert result.reasons() == {"small": "HubUnreachable"}
    assert "HF_ENDPOINT" in result.stderr


def listing_without_sizes(commit: str) -> bytes:
    return answer("200 OK", json.dumps({"id": "o/r", "sha": commit, "siblings": [{"rfilename": "a.json"}]}).encode())


def test_a_listing_without_sizes_is_completed_by_the_paged_tree(volume: Path) -> None:
    commit, data = "c0" * 20, b"{}"
    blob_id = hashlib.sha1(b"blob 2\0" + data).hexdigest()
    page = json.dumps([{"type": "file", "path": "a.json", "size": len(data), "oid": blob_id}]).encode()
    (volume / "it").mkdir()
    (volume / "it" / "a.json").write_bytes(data)

    with ScriptedServer([listing_without_sizes(commit), answer("200 OK", page)]) as server:
        result = run_sync(manifest(model("it", "o/r")), volume, None, *HURRY, env={"HF_ENDPOINT": server.url})

    assert result.returncode == 0, result.stderr
    assert f"/api/models/o/r/tree/{commit}" in server.heads[1]


@pytest.mark.parametrize(
    ("page", "reason"),
    [([b"", b""], "Stalled"), (answer("429 Too Many Requests", Retry_After="3600"), "RateLimited")],
    ids=["silent", "asks for an hour"],
)
def test_the_paged_listing_is_given_up_in_time_too(page: bytes | list[bytes], reason: str, volume: Path) -> None:
    script = [listing_without_sizes("c0" * 20), page]

    with ScriptedServer(script, pause_s=30.0) as server, at_most(IN_TIME_S, "giving up"):
        spec = manifest(model("it", "o/r"))
        result = run_sync(spec, volume, None, *HURRY, env={"HF_ENDPOINT": server.url})

    assert result.returncode == 1
    assert result.reasons() == {"it": reason}


def test_while_it_waits_the_sync_says_why_and_for_how_long(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    hub.stop()
    with ended(start_sync(spec, volume, hub, "--give-up-after", "20")) as process:
        line = said(process, "trying again in")

    assert line is not None
    assert "listing owner/small at main: no connection to" in line
