"""Which source a piece of a file is taken from, and which peer is left out when the content is wrong."""

from __future__ import annotations

import threading

import pytest

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.core.requirement import Blob, RequiredFile
from init_sync.core.settings import Settings
from init_sync.fetch.sources import Sources
from init_sync.fetch.speed import LEAST_BYTES_PER_S, SLOWER, WINDOW_S, Speeds
from init_sync.hub.peers import Peer, Peers
from init_sync.hub.retry import Transient
from init_sync.hub.source import Source, WholeFileOnly
from support.clock import Clock

A, B, C = (Peer(f"http://{name}:9465") for name in "abc")
FILE = RequiredFile("m/file", "file", "owner/m", "main", 8, "sha256:" + 64 * "0")
BLOB = Blob(FILE.content_id, 8, (FILE.path,), FILE)


class Swarm:
    """Peers, the sources of one file, and what is left out."""

    def __init__(self, *peers: Peer) -> None:
        self.left_out: dict[str, Reason] = {}
        urls = [peer.url for peer in peers]
        self.peers = Peers(urls, "", Settings(), threading.Event(), self.left_out.__setitem__)
        self.next_file()

    def next_file(self) -> None:
        self.sources = Sources(BLOB, Source("http://hub/file", {}, 8, "file"), self.peers)

    def fetch(self, pieces: int = 1) -> list[Peer | None]:
        """Fetch pieces at the same time; returns who gave them."""
        taken = [self.sources.take() for _ in range(pieces)]
        for each in taken:
            self.sources.gave(each)
            self.sources.release(each)
        return [each.peer for each in taken]


def test_without_peers_the_hub_gives_everything() -> None:
    assert Swarm().fetch(2) == [None, None]


def test_pieces_are_spread_over_the_peers_and_none_is_asked_of_the_hub() -> None:
    assert sorted(map(str, Swarm(A, B).fetch(4))) == ["a:9465", "a:9465", "b:9465", "b:9465"]


def test_an_address_that_is_given_twice_is_one_peer() -> None:
    assert Swarm(A, A).peers.usable() == [A]


def test_a_peer_that_lacks_the_file_is_not_asked_for_it_again_and_stays_in_the_run() -> None:
    swarm = Swarm(A)
    swarm.sources.failed(A, NeedsChange(Reason.FILE_NOT_FOUND, "not held"))
    assert (swarm.fetch(), swarm.peers.usable(), swarm.left_out) == ([None], [A], {})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Transient(Reason.STALLED, "silent"), "Stalled"),
        (Transient(Reason.SIZE_MISMATCH, "another size"), "SizeMismatch"),
        (NeedsChange(Reason.TOKEN_INVALID, "401"), "TokenInvalid"),
        (WholeFileOnly(), "HubUnreachable"),
    ],
    ids=["stalled", "another size", "refused", "no ranges"],
)
def test_a_peer_that_fails_is_left_out_of_the_run(error: Transient | NeedsChange | WholeFileOnly, reason: str) -> None:
    swarm = Swarm(A, B)
    swarm.sources.failed(A, error)
    assert (swarm.fetch(2), swarm.left_out) == ([B, B], {"a:9465": reason})


def test_wrong_content_of_one_peer_is_that_peers_fault() -> None:
    swarm = Swarm(A)
    swarm.fetch()
    assert swarm.sources.wrong_content()
    assert (swarm.fetch(), swarm.left_out) == ([None], {"a:9465": "ChecksumMismatch"})


def test_wrong_content_of_the_hub_is_nobody_elses_fault() -> None:
    swarm = Swarm()
    swarm.fetch()
    assert not swarm.sources.wrong_content()


@pytest.mark.parametrize("liar", [A, B])
def test_of_two_peers_that_gave_wrong_content_each_is_tried_alone_and_the_liar_is_left_out(liar: Peer) -> None:
    """At the first file, or at the second, where the one that is suspected is tried first."""
    swarm = Swarm(A, B)
    for _ in range(2):
        swarm.next_file()
        while liar in swarm.fetch(2):
            assert swarm.sources.wrong_content()
        swarm.sources.right_content()
    assert swarm.left_out == {str(liar): "ChecksumMismatch"}


def test_a_suspect_that_lacks_the_file_meanwhile_is_passed_over_and_the_hub_is_not_asked() -> None:
    swarm = Swarm(A, B, C)
    swarm.fetch(2)
    swarm.sources.wrong_content()
    for peer in (A, B):
        swarm.sources.failed(peer, NeedsChange(Reason.FILE_NOT_FOUND, "not held"))
    assert swarm.fetch() == [C]


def test_a_liar_that_tells_the_truth_when_it_is_tried_brings_nobody_else_out() -> None:
    swarm = Swarm(A, B)
    for suspected in (A, B, A):
        swarm.next_file()
        swarm.fetch(2)
        swarm.sources.wrong_content()
        assert swarm.fetch(2) == [suspected, suspected]
        swarm.sources.right_content()
    assert swarm.left_out == {}


def test_a_liar_that_stalled_meanwhile_brings_no_other_under_suspicion_for_long() -> None:
    swarm = Swarm(A, B, C)
    swarm.fetch(3)
    swarm.sources.failed(A, Transient(Reason.STALLED, "silent"))
    assert swarm.sources.wrong_content()
    assert swarm.fetch(2) == [B, B]
    swarm.sources.right_content()
    assert swarm.left_out == {str(A): "Stalled"}


def test_of_three_givers_only_the_one_that_lied_alone_is_left_out() -> None:
    swarm = Swarm(A, B, C)
    swarm.fetch(3)
    swarm.sources.wrong_content()
    assert swarm.fetch() == [A]
    swarm.sources.wrong_content()
    swarm.fetch(2)
    swarm.sources.right_content()
    assert list(swarm.left_out) == [str(A)]


@pytest.mark.parametrize("peers", [(A,), (A, B)], ids=["one peer", "two peers"])
def test_wrong_content_with_bytes_of_an_earlier_run_is_nobodys_fault_the_first_time(peers: tuple[Peer, ...]) -> None:
    swarm = Swarm(*peers)
    swarm.sources.recovered()
    swarm.fetch(2)
    assert swarm.sources.wrong_content()
    assert (swarm.left_out, sorted(map(str, swarm.fetch(len(peers))))) == ({}, sorted(map(str, peers)))
    assert swarm.sources.wrong_content()
    swarm.fetch()
    swarm.sources.wrong_content()
    assert swarm.left_out


def test_without_peers_bytes_of_an_earlier_run_count_as_the_hubs() -> None:
    swarm = Swarm()
    swarm.sources.recovered()
    assert not swarm.sources.wrong_content()


def test_of_three_liars_none_is_left() -> None:
    swarm = Swarm(A, B, C)
    gave: list[Peer | None] = [A]
    while gave[0] is not None:
        gave = swarm.fetch(3)
        swarm.sources.wrong_content()
    assert set(swarm.left_out) == {str(A), str(B), str(C)}


@pytest.mark.parametrize(
    ("others", "rate", "too_slow"),
    [
        ([], LEAST_BYTES_PER_S, False),
        ([], LEAST_BYTES_PER_S - 1, True),
        ([10 << 20], (10 << 20) / SLOWER, False),
        ([10 << 20], (10 << 20) / SLOWER - 1, True),
        ([200 << 10, 10 << 20], 300 << 10, True),
    ],
    ids=["alone", "alone and dripping", "slower", "much slower", "slower than the fastest"],
)
def test_a_peer_is_too_slow_by_comparison_with_the_others(others: list[float], rate: float, too_slow: bool) -> None:
    clock = Clock()
    speeds = Speeds(clock)
    for number, each in enumerate(others):
        speeds.measured(Peer(f"http://other-{number}"), each)
    speed = speeds.measure(A)
    clock.now_s += WINDOW_S
    if too_slow:
        with pytest.raises(Transient, match="it sends"):
            speed.add(int(rate * WINDOW_S))
    else:
        speed.add(int(rate * WINDOW_S) + 1)


def test_the_hub_is_never_too_slow() -> None:
    clock = Clock()
    speed = Speeds(clock).measure(None)
    clock.now_s += 60
    speed.add(1)
