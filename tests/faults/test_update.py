"""An update takes the old file away only when the new one is complete: a reader meanwhile reads one or the other."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub, RepoBuilder
from support.outages import HURRY, MIB, content, ended, file_requests
from support.sync import manifest, model, run_sync, start_sync, tree
from support.waiting import eventually

SIZE = 10 * MIB
OLD, NEW = content(SIZE, 1), content(SIZE, 2)
FILE = "it/weights.safetensors"


@pytest.fixture
def updated(hub: LocalHub, volume: Path, tmp_path: Path) -> RepoBuilder:
    """The volume has ``v1`` and ``main`` as they were at first; on the hub, ``main`` has moved on."""
    builder = RepoBuilder(tmp_path / "hub", "owner/moving")
    for ref in ("refs/tags/v1", "main"):
        builder.commit({"weights.safetensors": OLD, "config.json": b"1"}, ref)
    first = run_sync(manifest(model("it", builder.name)), volume, hub)
    assert first.returncode == 0, first.stderr
    builder.commit({"weights.safetensors": NEW, "config.json": b"2"})
    builder.commit({"weights.safetensors": NEW, "config.json": b"2"}, "refs/tags/v2")
    hub.reset_log()
    return builder


UPDATES = pytest.mark.parametrize(
    ("fields", "arguments"),
    [({}, ("--refresh",)), ({"revision": "v2"}, ())],
    ids=["the branch moved", "the manifest names another revision"],
)


def watched(process: subprocess.Popen[str], file: Path) -> list[bytes]:
    """What a reader found in ``file`` while the process ran, one content after the other."""
    seen = [file.read_bytes()]

    def ended_after_a_look() -> bool:
        ended_before = process.poll() is not None  # the last look comes after the end
        found = file.read_bytes()  # raises when there is none
        if found != seen[-1]:
            seen.append(found)
        return ended_before

    eventually(ended_after_a_look, "the end of the sync", timeout_s=40)
    return seen


@UPDATES
@pytest.mark.parametrize("fault", ["status", "drop_rst", "stall", "wrong_bytes"])
def test_the_old_file_stays_readable_while_and_after_an_update_fails(
    fault: str, fields: dict[str, Any], arguments: tuple[str, ...], updated: RepoBuilder, volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault(fault, match=("blob",), after_bytes=MIB if fault == "drop_rst" else 0))
    spec = manifest(model("it", updated.name, **fields))

    with ended(start_sync(spec, volume, hub, *HURRY, *arguments)) as process:
        seen = watched(process, volume / FILE)

    # A connection that breaks after 1 MiB each time still brings the file in the end, and rightly so.
    expected = (0, [OLD, NEW]) if fault == "drop_rst" else (1, [OLD])
    assert (process.returncode, seen) == expected
    assert file_requests(hub) > 0


@UPDATES
def test_a_reader_sees_the_old_file_and_then_the_new_one_and_nothing_in_between(
    fields: dict[str, Any], arguments: tuple[str, ...], updated: RepoBuilder, volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=16 * MIB))
    spec = manifest(model("it", updated.name, **fields))

    with (volume / FILE).open("rb") as opened_before, ended(start_sync(spec, volume, hub, *arguments)) as process:
        seen = watched(process, volume / FILE)
        held = opened_before.read()

    assert process.returncode == 0
    assert seen == [OLD, NEW]
    assert held == OLD, "a process that opened the old file goes on reading it"
    assert tree(volume) == {FILE: NEW, "it/config.json": b"2"}


def test_without_refresh_a_branch_that_moved_is_not_even_asked_for(
    updated: RepoBuilder, volume: Path, hub: LocalHub
) -> None:
    result = run_sync(manifest(model("it", updated.name)), volume, hub)

    assert result.returncode == 0
    assert hub.requests == []
    assert (volume / FILE).read_bytes() == OLD


def test_after_a_refresh_that_brought_nothing_the_old_commit_is_still_complete_without_the_hub(
    updated: RepoBuilder, volume: Path, hub: LocalHub
) -> None:
    spec = manifest(model("it", updated.name))
    hub.add_fault(Fault("status", match=("blob", "resolve")))
    assert run_sync(spec, volume, hub, "--refresh", *HURRY).returncode == 1
    hub.stop()

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 0, result.stderr
    assert (volume / FILE).read_bytes() == OLD


def test_an_update_that_replaced_some_files_is_not_complete_and_ends_on_one_commit(
    updated: RepoBuilder, volume: Path, hub: LocalHub
) -> None:
    spec = manifest(model("it", updated.name))
    hub.add_fault(Fault("status", match=("blob",)))
    halfway = run_sync(spec, volume, hub, "--refresh", *HURRY)
    assert tree(volume) == {FILE: OLD, "it/config.json": b"2"}
    hub.stop()
    alone = run_sync(spec, volume, hub, *HURRY)
    hub.start()
    hub.clear_faults()

    result = run_sync(spec, volume, hub, *HURRY)

    assert (halfway.returncode, alone.returncode) == (1, 1)
    assert alone.report["complete"] is False
    assert result.returncode == 0, result.stderr
    assert tree(volume) == {FILE: NEW, "it/config.json": b"2"}


def test_an_update_fetches_only_what_changed(updated: RepoBuilder, volume: Path, hub: LocalHub) -> None:
    updated.commit({"config.json": b"3"}, base="refs/tags/v1")

    result = run_sync(manifest(model("it", updated.name)), volume, hub, "--refresh")

    assert result.returncode == 0, result.stderr
    assert hub.bytes_sent == 1
    assert tree(volume) == {FILE: OLD, "it/config.json": b"3"}


def test_a_refresh_of_a_branch_that_stayed_fetches_nothing(spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    assert run_sync(spec, volume, hub).returncode == 0
    hub.reset_log()

    result = run_sync(spec, volume, hub, "--refresh")

    assert result.returncode == 0, result.stderr
    assert [request.kind for request in hub.requests] == ["model_info", "tree"]
