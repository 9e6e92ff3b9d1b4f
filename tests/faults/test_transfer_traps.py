"""Connections and answers that go wrong while bytes flow: all ends with the right bytes, few of them twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub, RepoBuilder
from support.outages import HURRY, MIB, content, ended, open_sockets, partial_bytes, said, whole_files
from support.sync import Result, manifest, model, run_sync, start_sync, tree
from support.waiting import eventually

SIZE = 24 * MIB
FILE = "large/weights.safetensors"
WANTED = {FILE: content(SIZE)}
LOST_PER_BREAK = MIB
"""A connection that breaks loses what its sockets held: some hundred KiB each side."""


def sync_whole(spec: dict[str, Any], volume: Path, hub: LocalHub, *arguments: str, **more: Any) -> Result:
    """A sync that must end complete, with exactly the wanted bytes."""
    result = run_sync(spec, volume, hub, *HURRY, *arguments, **more)
    assert result.returncode == 0, result.stderr
    assert result.report["complete"] is True
    assert whole_files(volume, WANTED) == {FILE: True}
    return result


@pytest.mark.parametrize("kind", ["drop_rst", "drop_fin"])
def test_a_connection_that_ends_in_mid_body_costs_no_more_than_its_buffers(
    kind: str, large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault(kind, match=("blob",), after_bytes=5 * MIB, times=3))

    sync_whole(large_spec, volume, hub)

    assert hub.bytes_sent <= SIZE + 3 * LOST_PER_BREAK


def test_a_truncated_body_is_continued_where_it_ended(large_spec: dict[str, Any], volume: Path, hub: LocalHub) -> None:
    hub.add_fault(Fault("truncate", match=("blob",), after_bytes=3 * MIB, times=2))

    sync_whole(large_spec, volume, hub)

    assert hub.bytes_sent <= SIZE + LOST_PER_BREAK


def test_connections_that_die_early_again_and_again_still_bring_every_file(
    volume: Path, hub: LocalHub, tmp_path: Path
) -> None:
    files = {f"part-{number}.safetensors": content(2 * MIB, number) for number in range(4)}
    RepoBuilder(tmp_path / "hub", "owner/many").commit(files)
    hub.add_fault(Fault("die_every", match=("blob",), after_bytes=256 * 1024))

    result = run_sync(manifest(model("many", "owner/many")), volume, hub, *HURRY)

    assert result.returncode == 0, result.stderr
    assert tree(volume) == {f"many/{name}": data for name, data in files.items()}
    assert hub.count("blob") >= 4 * 8, "the fault took effect"
    assert hub.bytes_sent <= 2 * sum(map(len, files.values()))


def test_a_connection_that_dies_before_any_answer_is_made_anew(
    large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("drop_rst", match=("blob",), times=3))
    hub.add_fault(Fault("drop_fin", match=("resolve", "model_info"), times=2))

    sync_whole(large_spec, volume, hub)

    assert hub.bytes_sent <= SIZE + LOST_PER_BREAK


def test_a_stalled_body_is_left_and_continued_elsewhere(
    large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("stall", match=("blob",), after_bytes=2 * MIB, times=2))

    result = sync_whole(large_spec, volume, hub, "--connections", "2")

    assert "stalled for 1 s" in result.stdout
    assert hub.bytes_sent <= SIZE + 2 * LOST_PER_BREAK


def test_signed_addresses_that_expire_in_mid_transfer_are_renewed(
    large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=8 * MIB))
    with ended(start_sync(large_spec, volume, hub, *HURRY, "--connections", "1")) as process:
        eventually(lambda: hub.bytes_sent > 9 * MIB, "the second piece")
        hub.add_fault(Fault("expire"))
        hub.clear_faults()
        _, stderr = process.communicate(timeout=30)

    assert process.returncode == 0, stderr
    assert whole_files(volume, WANTED) == {FILE: True}
    assert 403 in {request.status for request in hub.requests if request.kind == "blob"}
    assert hub.count("resolve") == 2, "one address at first and one renewal"
    assert hub.bytes_sent <= SIZE + LOST_PER_BREAK


def test_an_address_that_is_refused_again_and_again_is_given_up_in_bounded_time(
    large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("status", match=("blob",), status=403))

    result = run_sync(large_spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert "its signed address is refused again and again (403 by 127.0.0.1:" in result.stderr
    assert hub.count() <= 60
    assert tree(volume) == {}


def test_a_range_that_is_answered_with_the_whole_file_once_costs_little(
    large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("ignore_range", match=("blob",), times=1))

    result = sync_whole(large_spec, volume, hub, "--connections", "2")

    assert "sends no ranges" not in result.stdout
    assert result.report["bytesFetched"] == SIZE
    assert hub.count("blob") == 4, "three pieces, and the one that was asked for again"


@pytest.mark.parametrize("connections", ["1", "8"])
def test_a_server_without_ranges_is_read_from_the_beginning(
    connections: str, large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("ignore_range"))

    result = sync_whole(large_spec, volume, hub, "--connections", connections)

    assert "sends no ranges; reading it from its beginning" in result.stdout
    assert result.report["bytesFetched"] == SIZE, "the whole files that were not asked for are not read"


def test_without_ranges_a_broken_body_starts_over_and_the_report_counts_what_was_gained(
    large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("ignore_range"))
    # Three answers are left after their head, the fourth is read, and the fifth is whole.
    hub.add_fault(Fault("drop_rst", match=("blob",), after_bytes=16 * MIB, times=4))

    result = sync_whole(large_spec, volume, hub, "--connections", "1")

    assert hub.bytes_sent > SIZE
    assert result.report["bytesFetched"] == SIZE
    assert result.report["bytesPresent"] == SIZE


@pytest.mark.parametrize("connections", ["1", "8"])
def test_a_run_that_continues_a_file_reports_what_it_reads_back(
    connections: str, large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    """Nothing else shows that it moves while a large file is read back from a slow volume."""
    hub.add_fault(Fault("slow", bytes_per_second=6 * MIB))
    with ended(start_sync(large_spec, volume, hub, *HURRY, "--connections", connections)) as first:
        eventually(lambda: partial_bytes(volume) >= 6 * MIB, "some of it is there")
        first.terminate()
        first.wait(timeout=20)
    hub.clear_faults()

    second = sync_whole(large_spec, volume, hub, "--connections", connections)

    assert SIZE - second.report["bytesFetched"] > 4 * MIB
    assert second.report["bytesVerified"] >= SIZE - second.report["bytesFetched"]


@pytest.mark.parametrize("connections", ["1", "8"])
def test_an_etag_that_is_another_one_each_time_does_not_keep_a_file_from_completing(
    connections: str, large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("change_etag", match=("blob",)))

    result = sync_whole(large_spec, volume, hub, "--connections", connections)

    assert result.report["bytesFetched"] <= 2 * SIZE


def test_if_range_is_sent_with_the_etag_that_the_server_gave(
    large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    sync_whole(large_spec, volume, hub, "--connections", "1")

    conditions = [request.headers.get("if-range") for request in hub.requests if request.kind == "blob"]
    assert len(conditions) == 3
    assert conditions[0] is None
    assert conditions[1] is not None
    assert conditions[1].startswith('"')
    assert conditions[1] == conditions[2]


def test_a_hub_that_goes_away_in_mid_transfer_and_comes_back_is_continued_with(
    large_spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=8 * MIB))
    patient = ("--stall-timeout", "2", "--give-up-after", "20", "--connections", "1")
    with ended(start_sync(large_spec, volume, hub, *patient)) as process:
        eventually(lambda: partial_bytes(volume) >= 4 * MIB, "some bytes on the volume")
        hub.stop()
        assert said(process, "trying again"), "the outage was noticed"
        hub.clear_faults()
        hub.start()
        _, stderr = process.communicate(timeout=40)

    assert process.returncode == 0, stderr
    assert whole_files(volume, WANTED) == {FILE: True}
    assert hub.bytes_sent <= SIZE + 4 * LOST_PER_BREAK


def test_one_file_that_fails_for_ever_does_not_stop_the_others(hub: LocalHub, volume: Path, tmp_path: Path) -> None:
    files = {name: content(2 * MIB, seed) for seed, name in enumerate(["a.safetensors", "b.bin", "c.bin", "d.json"])}
    RepoBuilder(tmp_path / "hub", "owner/one").commit(files)
    RepoBuilder(tmp_path / "hub", "owner/two").commit({"e.bin": content(2 * MIB, 9)})
    hub.add_fault(Fault("status", match=("resolve",), file="a.safetensors", status=500))
    # The others are still on their way when the patience with that file is over.
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=MIB // 2))
    spec = manifest(model("one", "owner/one"), model("two", "owner/two"))

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert result.reasons() == {"one": "HubUnreachable", "two": None}
    assert "a.safetensors of owner/one" in result.stderr
    assert "500" in result.stderr
    assert tree(volume).keys() == {"one/b.bin", "one/c.bin", "one/d.json", "two/e.bin"}


@pytest.mark.parametrize("connections", [1, 3])
def test_there_are_never_more_connections_than_asked_for(
    connections: int, hub: LocalHub, volume: Path, tmp_path: Path
) -> None:
    files = {f"part-{number}.safetensors": content(12 * MIB, number) for number in range(3)}
    RepoBuilder(tmp_path / "hub", "owner/many").commit(files)
    hub.add_fault(Fault("slow", match=("blob",), bytes_per_second=24 * MIB))
    spec = manifest(model("many", "owner/many"))
    most = {hub.endpoint: 0, hub.cdn_endpoint: 0}

    def ended_after_a_look() -> bool:
        most.update({url: max(before, open_sockets(url)) for url, before in most.items()})
        return process.poll() is not None

    with ended(start_sync(spec, volume, hub, "--connections", str(connections))) as process:
        eventually(ended_after_a_look, "the end of the sync", timeout_s=40)
        assert process.returncode == 0

    assert most[hub.cdn_endpoint] == connections
    assert most[hub.endpoint] <= connections
