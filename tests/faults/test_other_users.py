"""Volumes that are shared by users of one group. What needs root says so when there is none."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.stored import FILES, MIB, SIZE, SPEC, WHOLE, nowhere
from support.hub import Fault, LocalHub
from support.surroundings import open_to_all
from support.sync import command, tree

pytestmark = pytest.mark.usefixtures("stored")
GROUP = 4242
USERS = (1234, 1235)
ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root to become other users")


@pytest.fixture
def shared() -> Iterator[Path]:
    """A volume as Kubernetes' fsGroup leaves it: root's, of a group that may write, which new files inherit.

    It lies outside the test's own folder, which others may not even pass through.
    """
    passable = open_to_all()
    if passable is None:
        pytest.skip("needs a folder for temporary files that other users may pass through: set TMPDIR")
    with tempfile.TemporaryDirectory(dir=passable) as folder:
        Path(folder).chmod(0o711)
        volume = Path(folder) / "volume"
        volume.mkdir()
        os.chown(volume, 0, GROUP)
        volume.chmod(0o2775)
        yield volume


@pytest.fixture(scope="session")
def powers() -> tuple[str, ...]:
    """What another user needs in order to run this Python at all: nothing, or to read below root's home.

    Reading everything is not writing anything, so what these tests are about stays true; what the group may read is
    asserted on the files' modes.
    """
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    for powers in ((), reading):
        with contextlib.suppress(OSError):
            probe = subprocess.run(
                [*become(USERS[0], GROUP, powers), sys.executable, "-c", "import init_sync"], capture_output=True
            )
            if probe.returncode == 0:
                return powers
    pytest.skip("needs setpriv, and a Python that other users may run")


def become(user: int, group: int, powers: tuple[str, ...]) -> list[str]:
    return ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", *powers]


@dataclass(frozen=True)
class Users:
    """Runs syncs of one volume as different users, with nothing writable but the volume."""

    hub: LocalHub
    volume: Path
    powers: tuple[str, ...]

    def sync(
        self, user: int, group: int = GROUP, umask: int = 0o022, stall_timeout_s: int = 10
    ) -> subprocess.CompletedProcess[str]:
        options = ("--stall-timeout", str(stall_timeout_s))
        arguments = [*become(user, group, self.powers), *command("sync", SPEC, self.volume, *options)]
        Path(arguments[arguments.index("--spec") + 1]).chmod(0o644)
        return subprocess.run(
            arguments, env=nowhere(self.hub), cwd="/", capture_output=True, text=True, timeout=60, umask=umask
        )


@pytest.fixture
def users(hub: LocalHub, shared: Path, powers: tuple[str, ...]) -> Users:
    return Users(hub, shared, powers)


@needs_root
class TestOtherUsers:
    def test_a_user_of_the_volumes_group_syncs(self, users: Users, shared: Path) -> None:
        done = users.sync(USERS[0])
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        assert tree(shared) == WHOLE
        assert {path.stat().st_uid for path in (shared / "m").iterdir()} == {USERS[0]}

    @pytest.mark.parametrize("umask", [0o022, 0o077], ids=oct)
    def test_the_group_may_read_and_write_whatever_the_umask_is(self, users: Users, shared: Path, umask: int) -> None:
        assert users.sync(USERS[0], umask=umask).returncode == 0
        for path in shared.rglob("*"):
            wanted = 0o070 if path.is_dir() else 0o060
            assert path.stat().st_mode & wanted == wanted, path
            assert path.stat().st_gid == GROUP, path

    @pytest.mark.parametrize("umask", [0o022, 0o077], ids=oct)
    def test_another_user_of_the_group_repairs(self, users: Users, shared: Path, umask: int) -> None:
        assert users.sync(USERS[0], umask=umask).returncode == 0
        with (shared / "m/shard-1.safetensors").open("r+b") as file:
            file.write(b"spoiled")
        users.hub.reset_log()
        done = users.sync(USERS[1], umask=umask)
        assert done.returncode == 0, done.stderr
        assert tree(shared) == WHOLE
        assert users.hub.bytes_sent == len(FILES["shard-1.safetensors"])

    def test_another_user_continues_a_file_that_the_first_has_begun(self, users: Users, shared: Path) -> None:
        users.hub.add_fault(Fault("stall", match=("blob",), file="shard-1.safetensors", after_bytes=2 * MIB, times=1))
        users.hub.add_fault(Fault("extra_delay", seconds=1.5, match=("resolve",), file="shard-2.safetensors"))
        users.hub.add_fault(Fault("status", status=403, match=("resolve",), file="shard-2.safetensors"))
        assert users.sync(USERS[0], stall_timeout_s=3).returncode == 2
        users.hub.clear_faults()
        done = users.sync(USERS[1])
        assert done.returncode == 0, done.stderr
        assert tree(shared) == WHOLE
        assert users.hub.bytes_sent - SIZE < 2 * MIB

    def test_a_user_who_may_only_read_starts_on_a_complete_volume(self, users: Users) -> None:
        assert users.sync(USERS[0]).returncode == 0
        done = users.sync(999, 999)
        assert done.returncode == 0, done.stderr

    def test_a_user_who_may_not_write_is_refused_in_one_line(self, users: Users) -> None:
        done = users.sync(999, 999)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "Permission denied" in line
        assert "Mount the volume writable for this user or its group" in line
        assert users.hub.bytes_sent == 0
