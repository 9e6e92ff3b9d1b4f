"""What changes in the middle of a sync: the token, the clock, the volume. Never taken for complete, and then healed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.hub import Fault, LocalHub, RepoBuilder
from support.outages import HURRY, MIB, content, ended
from support.sync import manifest, model, run_command, run_sync, start_sync, tree
from support.waiting import eventually

FILES = {"config.json": b"{}\n", **{f"part-{name}.safetensors": content(4 * MIB, ord(name)) for name in "abc"}}
SPEC = manifest(model("m", "owner/midway"))
WHOLE = {f"m/{path}": data for path, data in FILES.items()}
SIZE = sum(map(len, FILES.values()))
SOME = 2 * MIB
"""Of the first file: the small one is in place by then, and no large one is."""


@dataclass(frozen=True)
class Midway:
    """A sync over one connection, on a hub that is slow enough to be disturbed."""

    hub: LocalHub
    volume: Path

    @contextmanager
    def begun(self, env: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        slow = Fault("slow", match=("blob",), bytes_per_second=8 * MIB)
        self.hub.add_fault(slow)
        with ended(start_sync(SPEC, self.volume, self.hub, *HURRY, "--connections", "1", env=env)) as process:
            eventually(lambda: self.hub.bytes_sent >= SOME, "some bytes")
            eventually((self.volume / "m/config.json").exists, "the small file")
            yield process

    def refused(self, process: subprocess.Popen[str], code: int, *words: str) -> None:
        """It ends, not as if all were well, with a line that says why."""
        out, line = process.communicate(timeout=30)
        assert process.returncode == code, out + line
        assert "Traceback" not in line
        assert line.startswith("init-sync: error: ")
        for word in words:
            assert word in line
        assert run_command("verify", SPEC, self.volume).returncode == 1
        assert {path: data for path, data in tree(self.volume).items() if WHOLE.get(path, data) != data} == {}

    def heals(self) -> int:
        """The next run ends complete; returns the bytes that it fetched."""
        self.hub.clear_faults()
        done = run_sync(SPEC, self.volume, self.hub, *HURRY)
        assert done.returncode == 0, done.stderr
        assert tree(self.volume) == WHOLE
        assert run_command("verify", SPEC, self.volume, "--deep").returncode == 0
        return int(done.report["bytesFetched"])


@pytest.fixture
def midway(hub: LocalHub, tmp_path: Path, volume: Path) -> Midway:
    RepoBuilder(tmp_path / "hub", "owner/midway").commit(FILES)
    return Midway(hub, volume)


class TestToken:
    def test_one_that_expires_is_refused_once_and_what_came_is_kept(self, midway: Midway) -> None:
        """The signed address of a file outlives the token; the next file is asked for in vain."""
        with midway.begun() as process:
            midway.hub.add_fault(Fault("status", status=401, match=("resolve",)))
            midway.refused(process, 2, "GatedRepo", "the hub answered 401", "HF_TOKEN")
        assert midway.heals() <= SIZE - SOME

    def test_one_that_expires_together_with_the_signed_addresses_is_refused_too(self, midway: Midway) -> None:
        with midway.begun() as process:
            midway.hub.add_fault(Fault("status", status=401, match=("resolve",)))
            midway.hub.add_fault(Fault("status", status=401, match=("blob",)))
            midway.refused(process, 2, "GatedRepo", "the hub answered 401")
        assert midway.heals() <= SIZE - SOME

    def test_storage_that_refuses_every_new_address_is_given_up_for_now(self, midway: Midway) -> None:
        """The hub still takes the token, so a later run may have more luck."""
        with midway.begun() as process:
            midway.hub.add_fault(Fault("status", status=401, match=("blob",)))
            midway.refused(process, 1, "HubUnreachable", "its signed address is refused again and again (401 by ")
        assert midway.heals() <= SIZE - SOME


JUMPING = """
import datetime, itertools, time
real = time.time
shifts = itertools.cycle((0, 5 * 3600, -7 * 3600, 300 * 3600))
time.time = lambda: real() + next(shifts)
class Jumping(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
datetime.datetime = Jumping
"""


def test_a_clock_that_jumps_by_hours_changes_nothing(midway: Midway, tmp_path: Path) -> None:
    at_times = (Fault("status", status=503, match=("blob",), times=2), Fault("drop_rst", after_bytes=MIB, times=2))
    with midway.begun(env=injected(tmp_path, JUMPING)) as process:
        for fault in at_times:
            midway.hub.add_fault(fault)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert tree(midway.volume) == WHOLE
    assert run_command("verify", SPEC, midway.volume).returncode == 0
    assert midway.heals() == 0


FAILING = """
import errno, os
def failing(real):
    def call(*arguments, **options):
        if os.path.exists({sign!r}):
            raise OSError({number}, os.strerror({number}))
        return real(*arguments, **options)
    return call
for name in ("pwrite", "replace", "fsync", "ftruncate", "makedirs", "unlink"):
    setattr(os, name, failing(getattr(os, name)))
"""
FAILURES = {
    "read-only": (errno.EROFS, 2, "Mount the volume writable"),
    "forbidden": (errno.EACCES, 2, "Mount the volume writable"),
    "broken": (errno.EIO, 1, "Input/output error"),
    "stale": (errno.ESTALE, 1, "Stale file handle"),
    "unreachable": (errno.ENOTCONN, 1, "Transport endpoint is not connected"),
}


def injected(folder: Path, code: str) -> dict[str, str]:
    """An environment in which the command runs this first."""
    (folder / "sitecustomize.py").write_text(code)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))}


BROKEN = """
import os
def broken(*_):
    raise RuntimeError("a bug")
os.ftruncate = broken
"""


def test_a_bug_ends_the_run_and_says_that_it_is_one(midway: Midway, tmp_path: Path) -> None:
    done = run_sync(SPEC, midway.volume, midway.hub, *HURRY, env=injected(tmp_path, BROKEN))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line == "init-sync: error: InternalError: fetching: unexpected RuntimeError: a bug. Report it, with the log"
    assert done.reasons() == {"m": "InternalError"}
    assert midway.heals() <= SIZE


class TestVolume:
    @pytest.mark.parametrize("failure", FAILURES)
    def test_one_that_refuses_to_be_written_ends_the_run_with_its_words(
        self, failure: str, midway: Midway, tmp_path: Path
    ) -> None:
        number, code, words = FAILURES[failure]
        sign = tmp_path / "from-now-on"
        with midway.begun(env=injected(tmp_path, FAILING.format(sign=str(sign), number=number))) as process:
            sign.touch()
            midway.refused(process, code, "writing m/part-", words)
        assert midway.heals() <= SIZE - SOME // 2

    def test_a_model_directory_that_is_removed_is_not_called_complete(self, midway: Midway) -> None:
        """What was in place is gone when the last file arrives."""
        with midway.begun() as process:
            shutil.rmtree(midway.volume / "m")
            midway.refused(process, 1, "FileMissing", "m/config.json was in place, and was removed")
        assert midway.heals() == len(FILES["config.json"])

    def test_a_file_that_is_cut_meanwhile_is_not_called_complete(self, midway: Midway) -> None:
        with midway.begun() as process:
            os.truncate(midway.volume / "m/config.json", 1)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "SizeMismatch: completing m: m/config.json was in place, and was changed to 1 bytes" in said
        assert midway.heals() == len(FILES["config.json"])

    def test_a_file_that_is_replaced_by_another_of_its_size_is_not_called_complete(self, midway: Midway) -> None:
        with midway.begun() as process:
            (midway.volume / "new").write_bytes(b"no\n")
            (midway.volume / "new").rename(midway.volume / "m/config.json")
            _, said = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "ChecksumMismatch: completing m: m/config.json was in place, and has other content now" in said
        assert run_command("verify", SPEC, midway.volume).returncode == 1
        assert midway.heals() == len(FILES["config.json"])

    def test_a_file_that_is_written_through_a_second_name_is_not_called_complete(self, midway: Midway) -> None:
        with midway.begun() as process:
            (midway.volume / "second").hardlink_to(midway.volume / "m/config.json")
            (midway.volume / "second").write_bytes(b"no\n")
            _, said = process.communicate(timeout=30)
        assert process.returncode == 1
        assert "m/config.json was in place, and has other content now" in said
        (midway.volume / "second").unlink()
        assert midway.heals() == len(FILES["config.json"])

    def test_a_file_that_was_touched_or_copied_over_itself_is_right(self, midway: Midway) -> None:
        with midway.begun() as process:
            (midway.volume / "copy").write_bytes(FILES["config.json"])
            (midway.volume / "copy").rename(midway.volume / "m/config.json")
            _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert midway.heals() == 0

    def test_another_file_with_its_size_and_time_takes_a_deep_check_as_ever(self, midway: Midway) -> None:
        """Inode numbers are no proof: where a rename is a copy, each file has another one."""
        with midway.begun() as process:
            place = midway.volume / "m/config.json"
            (midway.volume / "new").write_bytes(b"no\n")
            os.utime(midway.volume / "new", ns=(0, place.stat().st_mtime_ns))
            (midway.volume / "new").rename(place)
            process.communicate(timeout=30)
        assert run_command("verify", SPEC, midway.volume, "--deep").returncode == 1
        assert run_sync(SPEC, midway.volume, midway.hub, "--verify", "deep").returncode == 0
        assert tree(midway.volume) == WHOLE

    def test_a_file_in_the_place_of_a_model_directory_is_named(self, midway: Midway) -> None:
        with midway.begun() as process:
            shutil.rmtree(midway.volume / "m")
            (midway.volume / "m").write_text("in the way")
            _, said = process.communicate(timeout=30)
        assert process.returncode == 2
        assert f"({midway.volume}/m)" in said
        assert "Move away what is in the way" in said
        (midway.volume / "m").unlink()
        assert midway.heals() <= SIZE - SOME

    def test_state_that_is_removed_ends_the_run_soon(self, midway: Midway) -> None:
        with midway.begun() as process:
            shutil.rmtree(midway.volume / ".modelcache")
            midway.refused(process, 1, "removed")
        midway.heals()

    @pytest.mark.parametrize("remove", [shutil.rmtree, lambda path: path.rename(f"{path}.away")], ids=["gone", "moved"])
    def test_one_that_is_not_there_any_more_is_not_made_anew(
        self, remove: Callable[[Path], object], midway: Midway
    ) -> None:
        with midway.begun() as process:
            remove(midway.volume)
            _, said = process.communicate(timeout=30)
        assert process.returncode == 1
        assert f"{midway.volume} is no longer the volume on which this run began" in said
        assert not midway.volume.exists()

    def test_one_that_is_unmounted_leaves_nothing_on_the_disk_below(self, midway: Midway) -> None:
        """Lazily, as when a node gives up on it: open files live on, names lead to the disk of the node."""
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(midway.volume)], capture_output=True, text=True
        )
        if mounted.returncode:
            pytest.skip(f"needs root that may mount: {mounted.stderr.strip()}")
        try:
            with midway.begun() as process:
                subprocess.run(["umount", "--lazy", str(midway.volume)], check=True)
                midway.refused(process, 1, "was unmounted or replaced: mount it again")
        finally:
            subprocess.run(["umount", "--lazy", str(midway.volume)], capture_output=True)
        assert list(midway.volume.iterdir()) == []
        midway.heals()
