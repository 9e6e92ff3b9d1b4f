"""Volumes that are not local disks: they work, or are refused before the first byte in words that name the cure."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import pytest

from faults.quirky import FILES, GIB, Desk, Quirky
from support.hub import RepoBuilder
from support.linked_volume import flip, keeping_mtime
from support.quirks import Quirks
from support.sync import manifest, model, run_sync

UNSUPPORTED = {
    "no rename": (Quirks(rename_errno=errno.ENOSYS), "rename a file"),
    "no rename, in other words": (Quirks(rename_errno=errno.EOPNOTSUPP), "rename a file"),
    "no rename, in wrong words": (Quirks(rename_errno=errno.EINVAL), "rename a file"),
    "no place but the end": (Quirks(sequential=True), "write at any place of a file"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_the_file_system_cannot_do_is_told_before_the_first_byte(name: str, desk: Desk, quirky: Quirky) -> None:
    quirks, operation = UNSUPPORTED[name]
    desk.offer("one", FILES)
    words = (f"cannot {operation}", "volume of another storage class")
    desk.refused(manifest(model("one", "owner/one")), quirky(quirks), "VolumeUnsupported", *words)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_volume_on_which_no_lock_can_be_made_is_unsupported(number: int, desk: Desk, quirky: Quirky) -> None:
    desk.offer("one", FILES)
    spec = manifest(model("one", "owner/one"))
    desk.refused(spec, quirky(Quirks(exclusive_errno=number)), "VolumeUnsupported", "another storage class")


NAMES = {
    "a colon": ("layer:0.json", Quirks(refused=':?*"<>|')),
    "a question mark in a directory": ("what?/a.json", Quirks(refused=':?*"<>|')),
    "an asterisk": ("sub/all*.json", Quirks(refused=':?*"<>|')),
    "a letter that is not ASCII": ("größe.json", Quirks(refused="öß")),
    "200 bytes": (f"{'x' * 195}.json", Quirks(name_max=143)),
    "a directory of 150 bytes": (f"{'é' * 75}/a.json", Quirks(name_max=143)),
}


@pytest.mark.parametrize("where", ["a file", "a model's directory", "a link"])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_the_file_system_refuses_is_told_before_the_first_byte(
    name: str, where: str, desk: Desk, quirky: Quirky
) -> None:
    path, quirks = NAMES[name]
    desk.offer("one", {path: b"1", **FILES} if where == "a file" else FILES)
    one = model("one", "owner/one")
    if where == "a model's directory":
        one["path"] = path
    if where == "a link":
        one["links"] = [{"file": "config.json", "at": path}]
    refused = next(
        each for each in path.split("/") if len(each.encode()) > quirks.name_max or set(each) & set(quirks.refused)
    )
    desk.refused(
        manifest(one),
        quirky(quirks),
        "VolumeUnsupported",
        repr(refused),
        f"Exclude {'one/' * (where == 'a file')}{path}",
    )


def test_a_file_larger_than_the_file_system_holds_is_told_before_the_first_byte(desk: Desk, quirky: Quirky) -> None:
    RepoBuilder(desk.root, "owner/larger").sparse("weights.safetensors", 5 * GIB, sha256="0" * 64)
    volume = quirky(Quirks(file_max=4 * GIB - 1))
    words = ("hold a file of 5.0 GiB", "File too large")
    desk.refused(manifest(model("one", "owner/larger")), volume, "VolumeUnsupported", *words)


def test_a_limit_of_the_process_on_the_size_of_files_is_told_before_the_first_byte(desk: Desk, volume: Path) -> None:
    RepoBuilder(desk.root, "owner/large").sparse("weights.safetensors", 3 * GIB, sha256="0" * 64)
    limit = (2 * GIB, 2 * GIB)
    spec = manifest(model("one", "owner/large"))
    result = run_sync(spec, volume, desk.hub, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
    assert result.returncode == 2
    assert "VolumeUnsupported: checking the volume: its file system cannot hold a file of 3.0 GiB" in result.stderr


LINKED = {"text/vocab.json": b"other\n"}
WORKING = {
    "a rename gives another inode": Quirks(fresh_inode=True),
    "a rename gives another time": Quirks(fresh_time=True),
    "a rename gives another inode and time": Quirks(fresh_inode=True, fresh_time=True),
    "an open file cannot be renamed": Quirks(rename_open_errno=errno.EOPNOTSUPP),
    "an open file is busy": Quirks(rename_open_errno=errno.EBUSY, fresh_inode=True),
    "fsync is not known": Quirks(fsync_errno=errno.EINVAL),
    "fsync is not supported": Quirks(fsync_errno=errno.ENOTSUP),
    "no links": Quirks(link_errno=errno.EPERM),
    "no links, in other words": Quirks(link_errno=errno.EOPNOTSUPP, fresh_inode=True),
    "times in steps of 1 s": Quirks(round_s=1),
    "times in steps of 2 s": Quirks(round_s=2, fresh_inode=True, nocase=True),
    "no letter case": Quirks(nocase=True, nounicode=True, notrailing=True),
}


@pytest.mark.parametrize("name", WORKING)
def test_a_volume_that_does_it_in_its_own_way_works(name: str, desk: Desk, quirky: Quirky) -> None:
    volume = quirky(WORKING[name])
    desk.offer("one", FILES)
    desk.offer("two", LINKED)
    at = "one/text/vocab.json"
    spec = manifest(model("one", "owner/one"), model("two", "owner/two", links=[{"file": "text/vocab.json", "at": at}]))
    wanted = {f"one/{path}": data for path, data in FILES.items()}
    wanted |= {f"{at}_old": FILES["text/vocab.json"], at: LINKED["text/vocab.json"], "two/text/vocab.json": b"other\n"}
    desk.completes(spec, volume, wanted)


@pytest.mark.parametrize("young", [False, True], ids=["deep", "as young as its receipt"])
def test_a_copy_that_stands_for_a_link_is_read_too(young: bool, desk: Desk, quirky: Quirky) -> None:
    """Where its time does not show a change, a deep check does."""
    volume = quirky(Quirks(link_errno=errno.EPERM))
    desk.offer("one", FILES)
    spec = manifest(model("one", "owner/one", links=[{"file": "config.json", "at": "linked/config.json"}]))
    assert desk.sync(spec, volume)[0] == 0
    copy, (receipt,) = volume / "linked/config.json", (volume / ".modelcache/receipts").iterdir()
    keeping_mtime(flip)(copy)
    if young:
        os.utime(receipt, ns=(0, copy.stat().st_mtime_ns))
    run = desk.nursery.run("verify", spec, volume, *([] if young else ["--deep"]))
    assert "linked/config.json: LinkBroken" in run.output
    code, output, _ = desk.sync(spec, volume, *([] if young else ["--verify", "deep"]))
    assert code == 0, output
    assert copy.read_bytes() == FILES["config.json"]
    assert desk.hub.bytes_sent == 0


def test_a_disk_that_fails_to_keep_a_file_is_no_volume_that_cannot(desk: Desk, quirky: Quirky) -> None:
    desk.offer("one", FILES)
    code, output, report = desk.sync(manifest(model("one", "owner/one")), quirky(Quirks(fsync_errno=errno.EIO)))
    assert code == 1
    assert "Input/output error" in output
    assert desk.hub.bytes_sent == 0
    assert report["complete"] is False
