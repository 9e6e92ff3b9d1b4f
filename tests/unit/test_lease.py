"""The lease with an injected clock: who holds it, who takes over when, and who notices that it is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from init_sync.volume.layout import Volume
from init_sync.volume.lease import Holder, Lease, LeaseLost, LeaseTimings

EXPIRY_S = 20.0
# The heartbeat thread never gets to beat by itself; looks at a held lease follow each other at once.
TIMINGS = LeaseTimings(heartbeat_s=86_400, expiry_s=EXPIRY_S, poll_s=0.0001)


@dataclass
class Clock:
    """Time that passes only when it is told to."""

    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Waiting:
    """A waiter's callbacks: each look costs time, in which something can happen; patience ends it."""

    clock: Clock
    look_s: float = 1.0
    looks: int = 100
    meanwhile: Callable[[], None] = lambda: None
    holders: list[Holder] = field(default_factory=list)

    def tell(self, holder: Holder) -> None:
        self.holders.append(holder)

    def is_pointless(self) -> bool:
        self.clock.now_s += self.look_s
        self.meanwhile()
        return len(self.holders) >= self.looks


@dataclass
class Place:
    """A volume's lock directory."""

    volume: Volume
    clock: Clock = field(default_factory=Clock)
    leases: list[Lease] = field(default_factory=list)

    @property
    def directory(self) -> Path:
        return Path(self.volume.lock)

    @property
    def newest(self) -> Path:
        return max(self.directory.iterdir(), key=lambda path: int(path.name))

    def lease(self) -> Lease:
        self.leases.append(Lease(self.volume, TIMINGS, self.clock))
        return self.leases[-1]

    def held(self) -> Lease:
        lease = self.lease()
        assert lease.acquire(nobody_to_wait_for, lambda: False)
        return lease

    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.newest.read_bytes())
        return found

    def rewrite(self, **changes: object) -> None:
        """Change what the newest file says, as if somebody else had written it."""
        self.newest.write_text(json.dumps({**self.content(), **changes}).ljust(1024))

    def foreign(self) -> None:
        """A holder on another node, which is never heard of again."""
        self.held()
        self.rewrite(bootId="another-boot", owner="trainer-7 (process 1)")


def nobody_to_wait_for(holder: Holder) -> None:
    raise AssertionError(f"waiting for {holder.owner}")


@pytest.fixture
def place(volume: Path) -> Iterator[Place]:
    made = Place(Volume(str(volume)))
    yield made
    for lease in made.leases:
        lease.release()


class TestHolding:
    def test_the_first_one_gets_it_without_waiting(self, place: Place) -> None:
        lease = place.held()
        lease.check()
        assert place.content()["released"] is False

    def test_a_second_one_waits_and_is_told_for_whom(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POD_NAME", "trainer-0")
        place.held()
        waiting = Waiting(place.clock, looks=3)
        assert not place.lease().acquire(waiting.tell, waiting.is_pointless)
        assert {holder.owner for holder in waiting.holders} == {f"trainer-0 (process {os.getpid()})"}
        assert [holder.silent_s for holder in waiting.holders] == [0.0, 1.0, 2.0]

    def test_a_released_lease_is_taken_at_once(self, place: Place) -> None:
        place.held().release()
        place.held().check()

    def test_releasing_twice_is_harmless(self, place: Place) -> None:
        first = place.held()
        first.release()
        second = place.held()
        first.release()
        second.check()
        assert place.content()["released"] is False

    def test_releasing_what_was_never_held_is_harmless(self, place: Place) -> None:
        holder = place.held()
        place.lease().release()
        holder.check()
        assert place.content()["released"] is False

    def test_generations_do_not_pile_up(self, place: Place) -> None:
        for _ in range(30):
            place.held().release()
        assert [path.name for path in place.directory.iterdir()] == ["30"]

    def test_a_file_of_an_older_lease_is_never_made_anew(self, place: Place) -> None:
        first = place.held()
        place.clock.now_s += EXPIRY_S
        place.rewrite(released=True)
        place.held()
        with pytest.raises(LeaseLost):
            first.check()
        first.release()
        assert [path.name for path in place.directory.iterdir()] == ["2"]


class TestExpiry:
    def test_a_silent_holder_on_another_node_is_succeeded(self, place: Place) -> None:
        place.foreign()
        began = place.clock.now_s
        waiting = Waiting(place.clock)
        assert place.lease().acquire(waiting.tell, waiting.is_pointless)
        assert EXPIRY_S < place.clock.now_s - began <= EXPIRY_S + 2

    def test_the_defaults_block_nobody_for_more_than_a_minute(self) -> None:
        defaults = LeaseTimings()
        assert defaults.expiry_s + 2 * defaults.poll_s + defaults.heartbeat_s <= 60
        assert defaults.heartbeat_s * 3 <= defaults.expiry_s

    def test_a_holder_that_beats_is_never_succeeded(self, place: Place) -> None:
        holder = place.held()
        waiting = Waiting(place.clock, look_s=EXPIRY_S * 0.9, looks=50, meanwhile=holder._beat)
        assert not place.lease().acquire(waiting.tell, waiting.is_pointless)
        holder.check()

    def test_a_new_waiter_counts_from_its_own_first_look(self, place: Place) -> None:
        place.foreign()
        place.clock.now_s += 10 * EXPIRY_S
        waiting = Waiting(place.clock, looks=1)
        assert not place.lease().acquire(waiting.tell, waiting.is_pointless)

    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"\xff\xfe\x00", b"[]", b"null", b'"text"', b"7", b"[" * 4096, b'{"a":' * 800, b"\0" * 1024],
        ids=["empty", "torn", "binary", "list", "null", "text", "number", "nested lists", "nested maps", "zeros"],
    )
    def test_content_that_nobody_wrote_expires_like_a_silent_holder(self, place: Place, content: bytes) -> None:
        place.directory.mkdir(parents=True)
        (place.directory / "3").write_bytes(content)
        waiting = Waiting(place.clock)
        assert place.lease().acquire(waiting.tell, waiting.is_pointless)
        assert len(waiting.holders) > EXPIRY_S - 2
        assert place.newest.name == "4"

    @pytest.mark.parametrize("pid", [None, "text", -1, 0, 1e999, [], {}, 10**30, 0.5, True])
    def test_a_process_number_that_is_none_is_no_obstacle(self, place: Place, pid: object) -> None:
        place.held()
        place.rewrite(pid=pid)
        waiting = Waiting(place.clock)
        assert place.lease().acquire(waiting.tell, waiting.is_pointless)

    @pytest.mark.parametrize("name", ["²", "٣", "a", "-5", "1.5", "007x", " 8"])
    def test_names_that_are_no_generation_are_ignored(self, place: Place, name: str) -> None:
        place.directory.mkdir(parents=True)
        (place.directory / name).write_bytes(b"foreign")
        lease = place.held()
        lease._beat()
        lease.check()
        assert {path.name for path in place.directory.iterdir()} == {name, "1"}


class TestDeadHolder:
    @staticmethod
    def holder(place: Place, *, reaped: bool) -> subprocess.Popen[bytes]:
        """A real process that took the lease and was killed."""
        code = (
            "import sys, time; from init_sync.volume.layout import Volume; from init_sync.volume.lease import Lease\n"
            f"Lease(Volume({place.volume.root!r})).acquire(print, bool); print('held', flush=True); sys.stdin.read()"
        )
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        process.kill()
        if reaped:
            process.communicate()
        else:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    @pytest.mark.parametrize("reaped", [True, False], ids=["gone", "zombie"])
    def test_a_killed_process_of_this_namespace_is_succeeded_at_once(self, place: Place, *, reaped: bool) -> None:
        process = self.holder(place, reaped=reaped)
        try:
            place.held().check()
        finally:
            process.communicate()

    @pytest.mark.parametrize("key", ["bootId", "pidNamespace"])
    def test_one_of_another_node_or_namespace_must_expire_first(self, place: Place, key: str) -> None:
        self.holder(place, reaped=True)
        place.rewrite(**{key: "another"})
        waiting = Waiting(place.clock, looks=3)
        assert not place.lease().acquire(waiting.tell, waiting.is_pointless)

    def test_another_process_with_the_same_number_is_not_the_holder(self, place: Place) -> None:
        place.held()
        place.rewrite(started=1)
        place.held().check()


class TestLosing:
    def test_a_holder_that_was_frozen_notices_before_it_writes(self, place: Place) -> None:
        frozen = place.held()
        waiting = Waiting(place.clock)
        assert place.lease().acquire(waiting.tell, waiting.is_pointless)
        with pytest.raises(LeaseLost, match="another process took the lock over"):
            frozen.check()

    def test_once_lost_it_stays_lost(self, place: Place) -> None:
        frozen = place.held()
        waiting = Waiting(place.clock)
        successor = place.lease()
        assert successor.acquire(waiting.tell, waiting.is_pointless)
        successor.release()
        for _ in range(2):
            with pytest.raises(LeaseLost):
                frozen.check()

    def test_the_next_heartbeat_notices(self, place: Place) -> None:
        frozen = place.held()
        (place.directory / "2").write_bytes(b"{}")
        frozen._beat()
        with pytest.raises(LeaseLost):
            frozen.check()

    @pytest.mark.parametrize("moment", ["heartbeat", "claim"])
    def test_a_holder_frozen_right_after_a_heartbeat_reached_the_volume_notices(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        """The instant between writing the heartbeat and noting the time of it, stretched to half a minute."""
        frozen, successor = place.lease(), place.lease()
        write = Lease._write

        def write_and_freeze(lease: Lease) -> None:
            write(lease)
            if lease is frozen:
                monkeypatch.setattr(Lease, "_write", write)
                waiting = Waiting(place.clock)
                assert successor.acquire(waiting.tell, waiting.is_pointless)

        if moment == "claim":
            monkeypatch.setattr(Lease, "_write", write_and_freeze)
            if not frozen.acquire(lambda holder: None, lambda: True):
                return  # it noticed already
        else:
            assert frozen.acquire(nobody_to_wait_for, lambda: False)
            monkeypatch.setattr(Lease, "_write", write_and_freeze)
            frozen._beat()
        successor.check()
        with pytest.raises(LeaseLost):
            frozen.check()

    def test_a_volume_that_went_away_stops_the_writing_when_the_lease_may_have_expired(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        holder = place.held()

        def fail(lease: Lease) -> None:
            raise OSError(116, "Stale file handle")

        monkeypatch.setattr(Lease, "_current", fail)
        place.clock.now_s += EXPIRY_S + 1
        with pytest.raises(LeaseLost):
            holder.check()


class TestRaces:
    def test_a_claim_on_an_old_view_of_the_directory_is_taken_back(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The slow one saw generation 0; meanwhile generations 1 to 3 came and went."""
        slow = place.lease()
        place.directory.mkdir(parents=True)
        for _ in range(3):
            place.held().release()
        holder = place.held()
        assert not slow._claim(1)
        assert [path.name for path in place.directory.iterdir()] == ["4"]
        holder.check()

    def test_a_claim_whose_file_is_swept_away_by_a_faster_one_is_no_error(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A newer holder removes older files, also one that was created a moment ago and is still empty."""
        slow = place.lease()
        holder = place.held()
        write = Lease._write

        def sweep_then_write(lease: Lease) -> None:
            monkeypatch.setattr(Lease, "_write", write)
            (place.directory / "3").write_bytes(b'{"released": true}')
            (place.directory / "2").unlink()
            write(lease)

        monkeypatch.setattr(Lease, "_write", sweep_then_write)
        holder._released = True
        holder._stop.set()
        place.rewrite(released=True)
        assert slow.acquire(nobody_to_wait_for, lambda: False)
        assert [path.name for path in place.directory.iterdir()] == ["4"]
        slow.check()

    def test_a_late_heartbeat_does_not_undo_a_release(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """The heartbeat has built its content, then the main thread releases, then the heartbeat writes."""
        holder = place.held()
        dumps = json.dumps
        released = False

        def dumps_then_release(value: object) -> str:
            nonlocal released
            text = dumps(value)
            if not released:
                released = True
                holder.release()
            return text

        monkeypatch.setattr(json, "dumps", dumps_then_release)
        holder._beat()
        monkeypatch.setattr(json, "dumps", dumps)
        assert place.content()["released"] is True

    def test_of_many_threads_that_want_a_dead_lease_exactly_one_gets_it(self, place: Place) -> None:
        place.directory.mkdir(parents=True)
        for generation in range(1, 21):
            leases = [place.lease() for _ in range(4)]
            with ThreadPoolExecutor(4) as pool:
                won = list(pool.map(lambda lease, at=generation: lease._claim(at), leases))
            assert won.count(True) == 1
            leases[won.index(True)].release()


class Interleavings(RuleBasedStateMachine):
    """Four processes on one volume, in every order of claiming, beating, freezing, expiring and releasing."""

    COUNT = 4
    numbers = st.integers(0, COUNT - 1)

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.place = Place(Volume(self.folder.name))
        self.leases: list[Lease | None] = [None] * self.COUNT

    def teardown(self) -> None:
        if hasattr(self, "place"):
            for lease in self.place.leases:
                lease.release()
            self.folder.cleanup()

    @rule(number=numbers)
    def claim(self, number: int) -> None:
        self.wait(number, looks=1, look_s=0.0)

    @rule(number=numbers, look_s=st.floats(0.5, 30), looks=st.integers(1, 30), alive=st.sets(numbers))
    def wait_while_others_beat(self, number: int, look_s: float, looks: int, alive: set[int]) -> None:
        beating = [lease for other, lease in enumerate(self.leases) if lease and other in alive and other != number]

        def beat_all() -> None:
            for lease in beating:
                lease._beat()

        self.wait(number, looks, look_s, beat_all)

    def wait(self, number: int, looks: int, look_s: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        if self.leases[number] is None:
            lease = self.place.lease()
            waiting = Waiting(self.place.clock, look_s, looks, meanwhile)
            if lease.acquire(waiting.tell, waiting.is_pointless):
                self.leases[number] = lease

    @rule(number=numbers)
    def beat(self, number: int) -> None:
        if lease := self.leases[number]:
            lease._beat()

    @rule(seconds=st.floats(0, 3 * EXPIRY_S))
    def let_time_pass(self, seconds: float) -> None:
        self.place.clock.now_s += seconds

    @rule(number=numbers)
    def release(self, number: int) -> None:
        if lease := self.leases[number]:
            lease.release()
            self.leases[number] = None

    @rule(number=numbers)
    def die(self, number: int) -> None:
        self.leases[number] = None

    @rule(number=numbers)
    def write(self, number: int) -> None:
        """A process looks only now and then whether it may still write."""
        if lease := self.leases[number]:
            try:
                lease.check()
            except LeaseLost:
                self.leases[number] = None

    @invariant()
    def at_most_one_may_write(self) -> None:
        if not hasattr(self, "place"):
            return
        may_write = [lease for lease in self.leases if lease and self.is_fresh_or_ours(lease)]
        assert len(may_write) <= 1

    def is_fresh_or_ours(self, lease: Lease) -> bool:
        """What ``check`` would say, without the heartbeat that it may write and so without changing the course."""
        fresh = self.place.clock.now_s - lease._last_beat <= EXPIRY_S / 2
        return not lease._lost and (fresh or lease._current()[0] == lease._generation)

    @invariant()
    def the_newest_generation_is_the_only_one_left(self) -> None:
        if hasattr(self, "place") and self.place.directory.exists():
            assert len(list(self.place.directory.iterdir())) <= 1


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
