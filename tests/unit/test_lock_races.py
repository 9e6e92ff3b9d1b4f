"""Losing the lease, and every order of events between several processes that want it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from init_sync.volume.lock import LockLost, VolumeLock
from init_sync.volume.volume import Volume
from support.locking import EXPIRY_S, Place, Waiting, nobody_to_wait_for


class TestLosing:
    def test_a_holder_that_was_frozen_notices_before_it_writes(self, place: Place) -> None:
        frozen = place.held()
        waiting = Waiting(place.clock)
        assert place.lease().acquire(waiting.tell, waiting.is_pointless)
        with pytest.raises(LockLost, match="another process took the lock over"):
            frozen.check()

    def test_once_lost_it_stays_lost(self, place: Place) -> None:
        frozen = place.held()
        waiting = Waiting(place.clock)
        successor = place.lease()
        assert successor.acquire(waiting.tell, waiting.is_pointless)
        successor.release()
        for _ in range(2):
            with pytest.raises(LockLost):
                frozen.check()

    def test_the_next_heartbeat_notices(self, place: Place) -> None:
        frozen = place.held()
        (place.directory / "2").write_bytes(b"{}")
        frozen._beat()
        with pytest.raises(LockLost):
            frozen.check()

    @pytest.mark.parametrize("moment", ["heartbeat", "claim"])
    def test_a_holder_frozen_right_after_a_heartbeat_reached_the_volume_notices(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        """The instant between writing the heartbeat and noting the time of it, stretched to half a minute."""
        frozen, successor = place.lease(), place.lease()
        write = VolumeLock._write

        def write_and_freeze(lease: VolumeLock) -> None:
            write(lease)
            if lease is frozen:
                monkeypatch.setattr(VolumeLock, "_write", write)
                waiting = Waiting(place.clock)
                assert successor.acquire(waiting.tell, waiting.is_pointless)

        if moment == "claim":
            monkeypatch.setattr(VolumeLock, "_write", write_and_freeze)
            if not frozen.acquire(lambda holder: None, lambda: True):
                return  # it noticed already
        else:
            assert frozen.acquire(nobody_to_wait_for, lambda: False)
            monkeypatch.setattr(VolumeLock, "_write", write_and_freeze)
            frozen._beat()
        successor.check()
        with pytest.raises(LockLost):
            frozen.check()

    def test_a_volume_that_went_away_stops_the_writing_when_the_lease_may_have_expired(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        holder = place.held()

        def fail(lease: VolumeLock) -> None:
            raise OSError(116, "Stale file handle")

        monkeypatch.setattr(VolumeLock, "_current", fail)
        place.clock.now_s += EXPIRY_S + 1
        with pytest.raises(LockLost):
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
        assert not slow._create(1)
        assert [path.name for path in place.directory.iterdir()] == ["4"]
        holder.check()

    def test_a_claim_whose_file_is_swept_away_by_a_faster_one_is_no_error(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A newer holder removes older files, also one that was created a moment ago and is still empty."""
        slow = place.lease()
        holder = place.held()
        write = VolumeLock._write

        def sweep_then_write(lease: VolumeLock) -> None:
            monkeypatch.setattr(VolumeLock, "_write", write)
            (place.directory / "3").write_bytes(b'{"released": true}')
            (place.directory / "2").unlink()
            write(lease)

        monkeypatch.setattr(VolumeLock, "_write", sweep_then_write)
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
                won = list(pool.map(lambda lease, at=generation: lease._create(at), leases))
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
        self.leases: list[VolumeLock | None] = [None] * self.COUNT

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
            except LockLost:
                self.leases[number] = None

    @invariant()
    def at_most_one_may_write(self) -> None:
        if not hasattr(self, "place"):
            return
        may_write = [lease for lease in self.leases if lease and self.is_fresh_or_ours(lease)]
        assert len(may_write) <= 1

    def is_fresh_or_ours(self, lease: VolumeLock) -> bool:
        """What ``check`` would say, without the heartbeat that it may write and so without changing the course."""
        fresh = self.place.clock.now_s - lease._last_beat <= EXPIRY_S / 2
        return not lease._lost and (fresh or lease._current()[0] == lease._generation)

    @invariant()
    def the_newest_generation_is_the_only_one_left(self) -> None:
        if hasattr(self, "place") and self.place.directory.exists():
            assert len(list(self.place.directory.iterdir())) <= 1


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
