"""Servers and proxies that know no ranges and end their answers early: progress is what is gained, and a run ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub, RepoBuilder
from support.outages import HURRY, IN_TIME_S, MIB, at_most, content, ended, partial_bytes
from support.sync import Result, manifest, model, run_sync, start_sync, tree
from support.waiting import eventually

KIB = 1 << 10
SIZE = 3 * MIB
WHOLE = {"m/weights.safetensors": content(SIZE)}
SPEC = manifest(model("m", "owner/m"))
WORDS = "the server sends no ranges and ends after"


@pytest.fixture(autouse=True)
def _offered(hub: LocalHub, tmp_path: Path) -> None:
    RepoBuilder(tmp_path / "hub", "owner/m").commit({"weights.safetensors": content(SIZE)})


def proxy(hub: LocalHub, *ends: int, kind: str = "drop_fin", file: str | None = None) -> None:
    """Answers end after so many bytes, one after the other; the last of them for ever."""
    hub.add_fault(Fault("ignore_range", match=("blob",), file=file))
    for end in ends[:-1]:
        hub.add_fault(Fault(kind, match=("blob",), after_bytes=end, times=1, file=file))
    hub.add_fault(Fault(kind, match=("blob",), after_bytes=ends[-1], file=file))


def given_up(volume: Path, hub: LocalHub, spec: dict[str, Any] = SPEC) -> Result:
    with at_most(IN_TIME_S, "giving up"):
        result = run_sync(spec, volume, hub, *HURRY)
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.report["complete"] is False
    return result


@pytest.mark.parametrize(
    ("kind", "end"), [("drop_fin", 1), ("drop_fin", MIB), ("drop_rst", MIB), ("drop_fin", SIZE - 1)]
)
def test_a_server_that_ends_each_answer_at_the_same_place_is_given_up(
    kind: str, end: int, hub: LocalHub, volume: Path
) -> None:
    proxy(hub, end, kind=kind)
    result = given_up(volume, hub)
    assert WORDS in result.stderr
    assert "A proxy or mirror on the way may limit answers" in result.stderr
    assert result.reasons() == {"m": "HubUnreachable"}
    assert 0 < result.report["bytesFetched"] <= end, "the same bytes again are no progress, for alerts neither"
    assert result.report["bytesPresent"] <= end
    assert hub.count("blob") <= 40
    assert tree(volume) == {}


def test_answers_without_a_byte_are_given_up(hub: LocalHub, volume: Path) -> None:
    proxy(hub, 0)
    result = given_up(volume, hub)
    assert result.report["bytesFetched"] == 0


def test_answers_that_end_later_and_later_are_enough(hub: LocalHub, volume: Path) -> None:
    """Each begins at the front, and brings something."""
    hub.add_fault(Fault("ignore_range", match=("blob",)))
    for number in range(1, 12):
        hub.add_fault(Fault("drop_fin", match=("blob",), after_bytes=number * 256 * KIB, times=1))
    result = run_sync(SPEC, volume, hub, *HURRY)
    assert result.returncode == 0, result.stderr
    assert tree(volume) == WHOLE
    assert result.report["bytesFetched"] == SIZE


@pytest.mark.parametrize("connections", ["1", "4"])
def test_what_came_from_a_server_with_ranges_is_kept_when_a_proxy_brings_no_more(
    connections: str, hub: LocalHub, tmp_path: Path, volume: Path
) -> None:
    size = 24 * MIB
    RepoBuilder(tmp_path / "hub", "owner/large").commit({"weights.safetensors": content(size)})
    spec = manifest(model("m", "owner/large"))
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=16 * MIB))
    with ended(start_sync(spec, volume, hub, "--connections", connections)) as first:
        eventually(lambda: partial_bytes(volume) >= 8 * MIB, "some of it is there")
        first.terminate()
        first.wait(timeout=20)
    hub.clear_faults()

    proxy(hub, MIB)
    second = given_up(volume, hub, spec)
    assert second.report["bytesFetched"] <= MIB
    assert 4 * MIB < second.report["bytesPresent"] < size

    hub.clear_faults()
    third = run_sync(spec, volume, hub, *HURRY)
    assert third.returncode == 0, third.stderr
    assert third.report["bytesFetched"] <= size - 4 * MIB


def test_one_file_that_cannot_arrive_leaves_the_others_alone(hub: LocalHub, tmp_path: Path, volume: Path) -> None:
    other = content(2 * MIB, 7)
    RepoBuilder(tmp_path / "hub", "owner/m").commit({"a.safetensors": content(SIZE), "b.safetensors": other})
    RepoBuilder(tmp_path / "hub", "owner/n").commit({"c.safetensors": other[:MIB]})
    proxy(hub, MIB, file="a.safetensors")
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=MIB // 2))
    result = given_up(volume, hub, manifest(model("m", "owner/m"), model("n", "owner/n")))
    assert f"m/a.safetensors: {WORDS}" in result.stderr
    assert tree(volume) == {"m/b.safetensors": other, "n/c.safetensors": other[:MIB]}
    assert result.reasons() == {"m": "HubUnreachable", "n": None}


def test_a_running_report_does_not_grow_while_nothing_is_gained(hub: LocalHub, tmp_path: Path, volume: Path) -> None:
    """An alert on a stalled sync looks at the bytes fetched."""
    proxy(hub, MIB)
    report = tmp_path / "report.json"
    patient = ("--stall-timeout", "1", "--give-up-after", "60", "--report", str(report))
    with ended(start_sync(SPEC, volume, hub, *patient)) as process:
        eventually(lambda: hub.count("blob") >= 6, "the same bytes, several times")
        process.terminate()
        process.wait(timeout=20)
    told = json.loads(report.read_text())
    assert hub.bytes_sent >= 2 * MIB
    assert told["bytesFetched"] <= MIB
    assert told["models"][0]["reason"] == "Interrupted"
