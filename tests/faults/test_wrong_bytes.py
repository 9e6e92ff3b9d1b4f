"""A hub that sends other bytes than it listed: they are never put in place, and three attempts are enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub, RepoBuilder
from support.lying_hub import LyingHub, Said
from support.outages import HURRY, MIB, content, ended, receipts, whole_files
from support.scripted_server import ScriptedServer, answer
from support.sync import manifest, model, run_sync, start_sync, tree
from support.waiting import eventually

SIZE = 24 * MIB
FILE = "large/weights.safetensors"
EVERYWHERE = pytest.mark.parametrize("offset", [0, 9 * MIB, SIZE - 1], ids=["first", "middle", "last"])


@EVERYWHERE
def test_bytes_that_are_wrong_once_are_fetched_anew(
    offset: int, large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("wrong_bytes", match=("blob",), offset=offset, times=1))

    result = run_sync(large_spec, volume, hub, *HURRY)

    assert result.returncode == 0, result.stderr
    assert whole_files(volume, {FILE: content(SIZE)}) == {FILE: True}
    assert f"{FILE}: the bytes received are not those that the hub listed; downloading it again" in result.stdout
    assert hub.bytes_sent == result.report["bytesFetched"] == 2 * SIZE
    assert result.report["bytesPresent"] == SIZE


def test_an_empty_file_that_is_listed_with_the_hash_of_another_ends_the_run(
    repo: RepoBuilder, volume: Path, hub: LocalHub
) -> None:
    """There is nothing to download again: the run once waited for that for ever."""
    repo.commit({"empty.txt": b""})
    empty = b"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"

    def lie(kind: str, said: Said) -> Said:
        return replace(said, body=said.body.replace(empty, empty[::-1]))

    with LyingHub(hub) as liar:
        liar.lie = lie
        result = run_sync(
            manifest(model("small", repo.name)), volume, None, *HURRY, env={"HF_ENDPOINT": liar.endpoint}, timeout=20
        )

    assert result.returncode == 1
    assert result.reasons() == {"small": "ChecksumMismatch"}
    assert "small/empty.txt" in result.stderr
    assert tree(volume) == {}


@EVERYWHERE
def test_bytes_that_stay_wrong_are_given_up_after_three_attempts_and_never_published(
    offset: int, large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("wrong_bytes", match=("blob",), offset=offset))

    result = run_sync(large_spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert result.reasons() == {"large": "ChecksumMismatch"}
    assert "weights.safetensors" in result.stderr
    assert hub.bytes_sent == 3 * SIZE
    assert tree(volume) == {}
    assert receipts(volume) == []


def test_the_wrong_bytes_are_at_no_moment_under_the_final_name(
    large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("wrong_bytes", match=("blob",), offset=SIZE - 1))
    seen: list[bool] = []

    def ended_after_a_look() -> bool:
        seen.append((volume / FILE).exists())
        return process.poll() is not None

    with ended(start_sync(large_spec, volume, hub, *HURRY)) as process:
        eventually(ended_after_a_look, "the end of the sync", timeout_s=40)

    assert len(seen) > 10
    assert not any(seen)


def test_nothing_wrong_is_kept_for_the_next_run(large_spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    hub.add_fault(Fault("wrong_bytes", match=("blob",), offset=0))
    assert run_sync(large_spec, volume, hub, *HURRY).returncode == 1
    hub.clear_faults()
    hub.reset_log()

    result = run_sync(large_spec, volume, hub, *HURRY)

    assert result.returncode == 0, result.stderr
    assert hub.bytes_sent == SIZE
    assert "downloading it again" not in result.stdout


def test_one_file_with_wrong_bytes_does_not_stop_the_others(volume: Path, hub: LocalHub, tmp_path: Path) -> None:
    files = {"a.bin": content(4 * MIB, 1), "b.bin": content(1000, 2), "c.safetensors": content(4 * MIB, 3)}
    RepoBuilder(tmp_path / "hub", "owner/one").commit(files)
    RepoBuilder(tmp_path / "hub", "owner/two").commit({"d.bin": content(4 * MIB, 9)})
    hub.add_fault(Fault("wrong_bytes", file="b.bin"))
    # The others are still on their way when the third attempt has failed.
    hub.add_fault(Fault("slow", match=("blob",), file="[acd].*", bytes_per_second=MIB))
    spec = manifest(model("one", "owner/one"), model("two", "owner/two"))

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert result.reasons() == {"one": "ChecksumMismatch", "two": None}
    assert tree(volume).keys() == {"one/a.bin", "one/c.safetensors", "two/d.bin"}
    assert sum(request.file == "b.bin" for request in hub.requests if request.bytes_sent == 1000) == 3
    assert result.report["models"][0]["filesPresent"] == 2


def test_each_failing_file_is_told_of_the_model_that_needs_it(volume: Path, hub: LocalHub, tmp_path: Path) -> None:
    RepoBuilder(tmp_path / "hub", "owner/one").commit({"a.bin": content(2 * MIB, 1)})
    RepoBuilder(tmp_path / "hub", "owner/two").commit({"b.bin": content(2 * MIB, 2)})
    hub.add_fault(Fault("wrong_bytes", match=("blob",), file="a.bin"))
    hub.add_fault(Fault("status", match=("blob",), file="b.bin", status=500))
    spec = manifest(model("one", "owner/one"), model("two", "owner/two"))

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert result.reasons() == {"one": "ChecksumMismatch", "two": "HubUnreachable"}
    messages = {each["name"]: each["message"] for each in result.report["models"]}
    assert "a.bin" in messages["one"]
    assert "b.bin" in messages["two"]


def test_a_small_file_of_another_content_is_not_published_either(
    spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("wrong_bytes", match=("resolve",), file="config.json", offset=3))

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert result.reasons() == {"small": "ChecksumMismatch"}
    assert tree(volume).keys() == {"small/model.safetensors", "small/vocab.txt"}


@pytest.mark.parametrize(
    "wrong",
    [
        answer("206 Partial Content", b"x" * 100, Content_Range="bytes 100-199/1048576"),
        answer("206 Partial Content", b"x" * 100, Content_Range="bytes 0-99/100"),
        answer("206 Partial Content", b"x" * 100),
        answer("200 OK", b"x" * (MIB + 1)),
        answer("204 No Content"),
        answer("302 Found", Location="/owner/small/resolve/main/loop"),
        answer("416 Range Not Satisfiable", Content_Range="bytes */10"),
    ],
    ids=["other offset", "other size", "no Content-Range", "longer", "empty", "redirected for ever", "shorter"],
)
def test_an_answer_that_cannot_be_right_publishes_nothing(
    wrong: bytes, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    assert run_sync(spec, volume, hub).returncode == 0
    (volume / "small" / "model.safetensors").unlink()
    rest = tree(volume)

    with ScriptedServer([wrong]) as server:
        result = run_sync(spec, volume, None, *HURRY, env={"HF_ENDPOINT": server.url})

    assert result.returncode == 1
    assert result.reasons()["small"] in ("SizeMismatch", "HubUnreachable")
    assert "model.safetensors of owner/small" in result.stderr
    assert tree(volume) == rest
    assert len(server.heads) <= 60
