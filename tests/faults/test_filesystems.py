"""Volumes that are full, read-only, or not there. What needs root says so when there is none."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.stored import FILES, MIB, SIZE, SPEC, WHOLE, nowhere, refused
from init_sync.core.reasons import Reason
from init_sync.volume.layout import read_json, write_json
from init_sync.volume.volume import Volume
from support.hub import LocalHub
from support.release_0_1_0 import downgrade
from support.sync import command, manifest, model, run_command, run_sync, tree

pytestmark = pytest.mark.usefixtures("stored")
Mount = Callable[..., None]


@pytest.fixture
def mount(volume: Path) -> Iterator[Mount]:
    """Mount or remount a memory file system at the volume, with these options."""
    mounted = False

    def mount_it(options: str) -> None:
        nonlocal mounted
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(volume)], capture_output=True, text=True
        )
        if done.returncode:
            pytest.skip(f"needs root that may mount: {done.stderr.strip()}")
        mounted = True

    if not shutil.which("mount"):
        pytest.skip("needs mount(8)")
    yield mount_it
    if mounted:
        subprocess.run(["umount", "--lazy", str(volume)], check=True)


class TestTooSmall:
    def test_a_volume_that_is_too_small_is_refused_before_the_first_byte(
        self, hub: LocalHub, volume: Path, mount: Mount
    ) -> None:
        mount(f"size={SIZE // 2}")
        result = run_sync(SPEC, volume, hub)
        refused(result, 2, "DiskFull", "are needed", "Enlarge the volume by")
        assert hub.bytes_sent == 0
        assert result.reasons() == {"m": "DiskFull"}

    def test_what_is_there_already_needs_no_space(self, hub: LocalHub, volume: Path, mount: Mount) -> None:
        mount(f"size={SIZE + 2 * MIB}")
        assert run_sync(SPEC, volume, hub).returncode == 0
        (volume / "m/config.json").unlink()
        (volume / "filler").write_bytes(bytes(MIB // 2))
        shutil.rmtree(volume / ".modelcache/receipts")
        assert run_sync(SPEC, volume, hub).returncode == 0

    def test_bytes_that_a_lost_partial_file_had_are_counted_as_needed(
        self, hub: LocalHub, volume: Path, mount: Mount
    ) -> None:
        """A journal outlived its part file; believing it would mean to find out in mid-transfer."""
        mount(f"size={SIZE // 2}")
        content_id = f"sha256-{hashlib.sha256(FILES['shard-1.safetensors']).hexdigest()}"
        journal = volume / ".modelcache/partial" / f"{content_id}.journal"
        journal.parent.mkdir(parents=True)
        size = len(FILES["shard-1.safetensors"])
        digest = hashlib.sha256(FILES["shard-1.safetensors"]).hexdigest()[:16]
        journal.write_text(f"H 1 {content_id.replace('-', ':')} {size}\nP {size} {digest}\nC 0 {size} 00000000\n")
        refused(run_sync(SPEC, volume, hub), 2, "DiskFull")
        assert hub.bytes_sent == 0

    def test_a_volume_that_fills_up_in_mid_transfer_ends_the_run_and_a_larger_one_continues(
        self, hub: LocalHub, volume: Path, mount: Mount
    ) -> None:
        """Somebody else's file takes the space that was there when it was looked at."""
        mount(f"size={SIZE + 2 * MIB}")
        holes = volume / "holes"
        with pretending_free_space(SIZE * 10) as env:
            holes.write_bytes(bytes(4 * MIB))
            result = run_sync(SPEC, volume, hub, env=env)
        refused(result, 2, "DiskFull", "existing files are kept")
        assert result.reasons() == {"m": "DiskFull"}
        assert run_command("verify", SPEC, volume).returncode == 1
        assert {path: content for path, content in tree(volume).items() if WHOLE.get(path) != content}.keys() <= {
            "holes"
        }
        sent = hub.bytes_sent
        assert sent > 0
        holes.unlink()
        assert run_sync(SPEC, volume, hub).returncode == 0
        assert tree(volume) == WHOLE
        assert hub.bytes_sent - SIZE <= 8 * MIB

    def test_a_volume_without_a_single_free_byte_is_refused_at_once_each_time(
        self, hub: LocalHub, volume: Path, mount: Mount
    ) -> None:
        """Not even the lock can be written; the next run must not wait for what the first could not write."""
        mount("size=64k")
        with contextlib.suppress(OSError), (volume / "full").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        for _ in range(2):
            result = run_sync(SPEC, volume, hub, timeout=15)
            refused(result, 2, "DiskFull")
            assert "Waiting" not in result.stdout

    def test_a_short_write_never_leaves_half_a_receipt(self, volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a disk that is nearly full, write(2) writes less than asked and reports no error."""
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, bytes(data)[: max(1, len(data) // 2)]))
        place, opened = ".modelcache/receipts/x.json", Volume(str(volume))
        with contextlib.suppress(OSError):
            write_json(opened, place, {"files": ["a"] * 100})
        monkeypatch.undo()
        assert not (volume / place).exists() or read_json(opened, place) == {"files": ["a"] * 100}


@contextlib.contextmanager
def pretending_free_space(size: int) -> Iterator[dict[str, str]]:
    """An environment in which ``statvfs`` promises more than the volume has."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(
            "import os\n"
            "_statvfs = os.statvfs\n"
            "class Roomy:\n"
            "    def __init__(self, real): self._real = real\n"
            "    def __getattr__(self, name):\n"
            f"        return {size} // self._real.f_frsize if name == 'f_bavail' else getattr(self._real, name)\n"
            "os.statvfs = lambda path: Roomy(_statvfs(path))\n"
        )
        yield {"PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))}


class TestReadOnly:
    def test_a_complete_volume_that_is_read_only_is_fine(self, hub: LocalHub, volume: Path, mount: Mount) -> None:
        mount("size=32m")
        assert run_sync(SPEC, volume, hub).returncode == 0
        mount("remount,ro")
        hub.reset_log()
        done = run_sync(SPEC, volume, hub)
        assert done.returncode == 0, done.stderr
        assert "All models already complete!" in done.lines
        assert hub.count() == 0
        assert run_command("verify", SPEC, volume, "--deep").returncode == 0

    def test_a_complete_read_only_volume_with_touched_files_is_fine(
        self, hub: LocalHub, volume: Path, mount: Mount
    ) -> None:
        """The new times cannot be written down; the content is right all the same."""
        mount("size=32m")
        assert run_sync(SPEC, volume, hub).returncode == 0
        os.utime(volume / "m/shard-1.safetensors")
        mount("remount,ro")
        assert run_sync(SPEC, volume, hub).returncode == 0
        assert run_sync(SPEC, volume, hub, "--verify", "deep").returncode == 0

    def test_receipts_of_0_1_0_on_one_stay_without_a_digest_and_nothing_is_hashed_for_it(
        self, hub: LocalHub, volume: Path, mount: Mount
    ) -> None:
        mount("size=32m")
        assert run_sync(SPEC, volume, hub).returncode == 0
        downgrade(volume)
        mount("remount,ro")
        done = run_sync(SPEC, volume, hub)
        assert done.returncode == 0, done.stderr
        assert done.report["models"][0]["digest"] is None
        assert done.report["bytesVerified"] == 0

    @pytest.mark.parametrize("fits", [True, False], ids=["the right anchor", "a wrong anchor"])
    def test_an_anchor_is_held_against_them_by_hashing_the_small_files_alone(
        self, fits: bool, hub: LocalHub, volume: Path, mount: Mount
    ) -> None:
        mount("size=32m")
        digest = run_sync(SPEC, volume, hub).report["models"][0]["digest"]
        downgrade(volume)
        mount("remount,ro")
        hub.reset_log()
        spec = manifest(model("m", "owner/stored", digest=digest if fits else f"sha256:{'0' * 64}"))
        done = run_sync(spec, volume, hub)
        assert done.returncode == (0 if fits else 2)
        assert done.reasons() == {"m": None if fits else "DigestMismatch"}
        assert done.report["bytesVerified"] == len(FILES["config.json"])
        assert hub.requests == []

    def test_an_incomplete_one_is_refused_in_one_line(self, hub: LocalHub, volume: Path, mount: Mount) -> None:
        mount("size=32m")
        assert run_sync(SPEC, volume, hub).returncode == 0
        (volume / "m/config.json").unlink()
        mount("remount,ro")
        hub.reset_log()
        result = run_sync(SPEC, volume, hub)
        refused(result, 2, "Read-only file system", "Mount the volume writable")
        assert hub.bytes_sent == 0
        assert result.reasons()["m"] == Reason.FILE_MISSING

    def test_damage_on_one_is_named_beside_what_keeps_it_from_being_repaired(
        self, hub: LocalHub, volume: Path, mount: Mount
    ) -> None:
        mount("size=32m")
        assert run_sync(SPEC, volume, hub).returncode == 0
        os.truncate(volume / "m/shard-1.safetensors", 3)
        mount("remount,ro")
        result = run_sync(SPEC, volume, hub)
        refused(result, 2, "Read-only file system")
        assert result.reasons()["m"] == Reason.SIZE_MISMATCH
        (model,) = result.report["models"]
        assert model["message"].startswith("m/shard-1.safetensors: 3 bytes instead of")
        assert "It cannot be repaired from here: " in model["message"]

    def test_an_empty_one_is_refused_in_one_line(self, hub: LocalHub, volume: Path, mount: Mount) -> None:
        mount("size=1m,ro")
        refused(run_sync(SPEC, volume, hub), 2, "Read-only file system")
        assert hub.bytes_sent == 0


class TestReadOnlyRoot:
    def test_nothing_but_the_volume_needs_to_be_writable(self, hub: LocalHub, volume: Path, tmp_path: Path) -> None:
        """The container's own file system is read-only: every mount is, in a namespace of the process' own."""
        inner = (
            "mount --make-rprivate / && mount --bind {v} {v} && "
            "mount -o remount,bind,ro / && (mount -o remount,bind,ro /tmp 2>/dev/null || true) && "
            "mount -o remount,bind,rw {v} && ! touch {probe} 2>/dev/null && exec {command}"
        )
        probe = tmp_path / "must-not-appear"
        text = inner.format(v=volume, probe=probe, command=" ".join(command("sync", SPEC, volume)))
        if (
            not shutil.which("unshare")
            or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode
        ):
            pytest.skip("needs root and unshare to make a mount namespace")
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", text], env=nowhere(hub), capture_output=True, text=True, timeout=60
        )
        if probe.exists():
            pytest.skip("the test's folder is on a mount of its own that stayed writable")
        assert done.returncode == 0, done.stderr
        assert tree(volume) == WHOLE


class TestNoVolume:
    @pytest.mark.parametrize("verb", ["sync", "verify", "status"])
    def test_a_volume_that_does_not_exist_is_refused_and_not_made(
        self, hub: LocalHub, tmp_path: Path, verb: str
    ) -> None:
        missing = tmp_path / "missing"
        result = run_sync(SPEC, missing, hub) if verb == "sync" else run_command(verb, SPEC, missing)
        refused(result, 2, str(missing), "does not exist")
        assert not missing.exists()
        assert hub.count() == 0

    @pytest.mark.parametrize("verb", ["sync", "verify", "status"])
    def test_a_volume_that_is_a_file_is_refused(self, hub: LocalHub, tmp_path: Path, verb: str) -> None:
        file = tmp_path / "file"
        file.write_bytes(b"precious")
        result = run_sync(SPEC, file, hub) if verb == "sync" else run_command(verb, SPEC, file)
        refused(result, 2, str(file), "is not a directory")
        assert file.read_bytes() == b"precious"
        assert hub.count() == 0

    def test_a_volume_that_is_reached_through_a_link_is_fine(self, hub: LocalHub, volume: Path, tmp_path: Path) -> None:
        link = tmp_path / "link"
        link.symlink_to(volume)
        assert run_sync(SPEC, link, hub).returncode == 0
        assert tree(volume) == WHOLE

    def test_a_volume_whose_name_has_spaces_and_other_letters_is_fine(self, hub: LocalHub, tmp_path: Path) -> None:
        volume = tmp_path / "my größte volume"
        volume.mkdir()
        assert run_sync(SPEC, volume, hub).returncode == 0
        assert tree(volume) == WHOLE
