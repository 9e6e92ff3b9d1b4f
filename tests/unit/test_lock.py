"""The lease with an injected clock: who holds it, who waits for whom, and who takes over when."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from init_sync.volume.lock import LockLost, LockTimings
from support.locking import EXPIRY_S, Place, Waiting


class TestHolding:
    def test_the_first_one_gets_it_without_waiting(self, place: Place) -> None:
        lease = place.held()
        lease.check()
        assert place.content()["released"] is False

    def test_a_second_one_waits_and_is_told_for_whom(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: "trainer-0")
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
        with pytest.raises(LockLost):
            first.check()
        first.release()
        assert [path.name for path in place.directory.iterdir()] == ["2"]


class TestVolumeThatGoes:
    def test_another_directory_in_its_place_is_not_the_volume(self, place: Place) -> None:
        """As after an unmount: the same name leads to the disk of the node."""
        lease = place.held()
        lease.check_volume()
        Path(place.volume.root).rename(f"{place.volume.root}.unmounted")
        Path(place.volume.root).mkdir()
        lease.check()
        with pytest.raises(LockLost, match="is no longer the volume on which this run began") as lost:
            lease.check_volume()
        assert lost.value.exit_code == 1
        assert os.listdir(place.volume.root) == []

    def test_nothing_in_its_place_is_not_the_volume_either(self, place: Place) -> None:
        lease = place.held()
        Path(place.volume.root).rename(f"{place.volume.root}.unmounted")
        with pytest.raises(LockLost, match="is no longer the volume"):
            lease.check_volume()

    def test_that_it_is_gone_explains_more_than_that_the_lock_is(self, place: Place) -> None:
        lease = place.held()
        place.newest.rename(place.directory / "9")
        Path(place.volume.root).rename(f"{place.volume.root}.unmounted")
        Path(place.volume.root).mkdir()
        lease._beat()
        with pytest.raises(LockLost, match="is no longer the volume"):
            lease.check()

    @pytest.mark.parametrize("what", ["the file", "the directory"])
    def test_a_lock_that_was_removed_is_lost_with_the_next_heartbeat(self, place: Place, what: str) -> None:
        lease = place.held()
        shutil.rmtree(place.directory)
        if what == "the file":
            place.directory.mkdir()
        lease._beat()
        with pytest.raises(LockLost, match="the lock was removed from the volume"):
            lease.check()

    def test_a_lock_that_cannot_be_renewed_is_lost_when_others_may_take_it(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lease = place.held()
        monkeypatch.setattr(lease, "_write", lambda: os.stat("/proc/self/mem/x"))
        place.clock.now_s += EXPIRY_S
        lease.check()
        place.clock.now_s += 1
        with pytest.raises(LockLost, match="did not let the lock be renewed in time"):
            lease.check()


class TestExpiry:
    def test_a_silent_holder_on_another_node_is_succeeded(self, place: Place) -> None:
        place.foreign()
        began = place.clock.now_s
        waiting = Waiting(place.clock)
        assert place.lease().acquire(waiting.tell, waiting.is_pointless)
        assert EXPIRY_S < place.clock.now_s - began <= EXPIRY_S + 2

    def test_the_defaults_block_nobody_for_more_than_a_minute(self) -> None:
        defaults = LockTimings()
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
            "import sys; from init_sync.volume.lock import VolumeLock; from init_sync.volume.volume import Volume\n"
            f"lock = VolumeLock(Volume({place.volume.root!r})); lock.acquire(print, bool)\n"
            "print('held', flush=True); sys.stdin.read()"
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
