"""Volumes that are not local disks: they work, or are refused before the first byte in words that name the cure."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.quirks import Quirks, quirky_volume, why_not
from support.site import flip, keeping_mtime
from support.sync import manifest, model, run_sync
from support.trouble import content

GIB = 1 << 30
PLAIN = Quirks()
WEIGHTS = content(300_000)
FILES = {"config.json": b"{}\n", "text/vocab.json": b"[]\n", "weights.safetensors": WEIGHTS}
SIZE = sum(map(len, FILES.values()))
Json = dict[str, Any]
Mount = Callable[[Quirks], Path]


@pytest.fixture
def mount(volume: Path) -> Iterator[Mount]:
    """The volume with these quirks."""
    with ExitStack() as stack:

        def mounted(quirks: Quirks) -> Path:
            if quirks == PLAIN:
                return volume
            if problem := why_not():
                pytest.skip(problem)
            return stack.enter_context(quirky_volume(volume, quirks))

        yield mounted


@dataclass(frozen=True)
class Desk:
    """A hub to fill, and commands to run."""

    hub: LocalHub
    nursery: Nursery
    root: Path

    def offer(self, repo: str, files: Mapping[str, bytes]) -> None:
        RepoBuilder(self.root, f"owner/{repo}").commit(dict(files))

    def sync(self, spec: Json, volume: Path, *arguments: str) -> tuple[int, str, Json]:
        """Exit code, output and report."""
        self.hub.reset_log()
        report = volume.with_name("report.json")
        run = self.nursery.run("sync", spec, volume, "--report", str(report), *arguments)
        assert "Traceback" not in run.output
        return run.wait(), run.output, json.loads(report.read_text())

    def verify(self, spec: Json, volume: Path) -> int:
        return self.nursery.run("verify", spec, volume, "--deep").wait()

    def refused(self, spec: Json, volume: Path, reason: str, *words: str) -> None:
        """With exit code 2, in one line, before a byte was sent; and nobody calls it complete."""
        code, output, report = self.sync(spec, volume)
        assert code == 2, output
        line = output.splitlines()[-1]
        assert line.startswith(f"init-sync: error: {reason}: ")
        assert [word for word in words if word not in line] == [], line
        assert self.hub.bytes_sent == 0
        assert reason in {model["reason"] for model in report["models"]}
        assert report["complete"] is False
        assert self.verify(spec, volume) == 1

    def completes(self, spec: Json, volume: Path, wanted: Mapping[str, bytes]) -> None:
        """At once, with the right content; what follows hashes each file once at most, and then none."""
        code, output, _ = self.sync(spec, volume)
        assert code == 0, output
        assert {path: (volume / path).read_bytes() for path in wanted} == wanted
        assert self.verify(spec, volume) == 0
        for most in (sum(map(len, wanted.values())), 0):
            code, output, report = self.sync(spec, volume)
            assert "All models already complete!" in output.splitlines()
            assert self.hub.count() == 0
            assert report["bytesVerified"] <= most


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("quirks")
    with LocalHub(folder / "hub") as hub, Nursery(hub.endpoint, folder) as nursery:
        yield Desk(hub, nursery, folder / "hub")


@dataclass(frozen=True)
class Conflict:
    """Two names that one volume takes for one."""

    names: tuple[str, str]
    one: Mapping[str, bytes]
    two: Mapping[str, bytes] | None = None
    paths: tuple[str, str] = ("one", "two")
    at: str = ""
    """Where a link leads to the only file of the second model."""
    quirks: Quirks = PLAIN
    prepare: Callable[[Path], object] = lambda _volume: None

    @property
    def models(self) -> list[Json]:
        links = {"links": [{"file": file, "at": self.at} for file in self.two or ()]} if self.at else {}
        first = model("one", "owner/one") | {"path": self.paths[0]}
        second = model("two", "owner/two") | {"path": self.paths[1]} | links
        return [first] if self.two is None else [first, second]


A, B = {"config.json": b'{"a": 1}'}, {"config.json": b'{"b": 2}'}
CASE, UNICODE, TRAILING = Quirks(nocase=True), Quirks(nounicode=True), Quirks(notrailing=True)
COMPOSED, DECOMPOSED = "mod\u00e8le", "mode\u0300le"


def link(place: str, target: str) -> Callable[[Path], object]:
    def make(volume: Path) -> None:
        (volume / place).parent.mkdir(parents=True, exist_ok=True)
        (volume / place).symlink_to(target.format(volume=volume))

    return make


def directory_and_link(directory: str, place: str, target: str) -> Callable[[Path], object]:
    def make(volume: Path) -> None:
        (volume / directory).mkdir(parents=True, exist_ok=True)
        link(place, target)(volume)

    return make


def pair(one: str, two: str, quirks: Quirks) -> Conflict:
    """Two files of one model."""
    return Conflict((f"one/{one}", f"one/{two}"), {one: b"1", two: b"2"}, quirks=quirks)


def placed(one: str, two: str, quirks: Quirks = PLAIN, prepare: Callable[[Path], object] | None = None) -> Conflict:
    """Two models, each with another ``config.json``."""
    names = (f"{one}/config.json", f"{two}/config.json")
    return Conflict(names, A, B, paths=(one, two), quirks=quirks, prepare=prepare or (lambda _volume: None))


CONFLICTS = {
    "letter case of files": pair("a/Config.json", "a/config.json", CASE),
    "letter case of directories in a repository": pair("Text/a/x.json", "text/A/x.json", CASE),
    "letter case outside of ASCII": pair("GRÖSSE.json", "größe.json".replace("ß", "SS"), CASE),
    "letter case of models' directories": placed("Qwen/Base", "qwen/base", CASE),
    "letter case of a link": Conflict(("one/Index.json", "one/index.json"), {"Index.json": b"1"}, {"i": b"2"},
                                      at="one/index.json", quirks=CASE),
    "letter case of an original beside its link": Conflict(
        ("one/index.json_old", "one/Index.json_OLD"), {"index.json": b"1", "Index.json_OLD": b"3"}, {"i": b"2"},
        at="one/index.json", quirks=CASE),
    "a file and a directory, by letter case": Conflict(
        ("one/Text", "one/text/a.json"), {"Text": b"1", "text/a.json": b"2"}, quirks=CASE),
    "a file and a directory that is there, by letter case": Conflict(
        ("one/Text", "one/text/a.json"), {"Text": b"1", "text/a.json": b"2"}, quirks=CASE,
        prepare=lambda volume: (volume / "one/TEXT").mkdir(parents=True)),
    "Unicode forms of files": pair(f"{COMPOSED}.json", f"{DECOMPOSED}.json", UNICODE),
    "Unicode forms of models' directories": placed(COMPOSED, DECOMPOSED, UNICODE),
    "Unicode forms and letter case": pair(f"{COMPOSED}.json", f"{DECOMPOSED.upper()}.JSON",
                                          Quirks(nocase=True, nounicode=True)),
    "a full stop at the end": pair("config.json", "config.json.", TRAILING),
    "spaces at the end of a directory": pair("text/a.json", "text /a.json", TRAILING),
    "a link to the other directory": placed("real", "alias", prepare=directory_and_link("real", "alias", "real")),
    "a link to a directory that is not there yet": placed("real", "alias", prepare=link("alias", "real")),
    "an absolute link": placed("real", "alias", prepare=directory_and_link("real", "alias", "{volume}/real")),
    "a link to a link": placed("real", "alias", prepare=lambda volume: (link("alias", "middle")(volume),
                                                                        link("middle", "real")(volume))),
    "a parent that is a link": placed("k/x", "l/x", prepare=directory_and_link("k", "l", "k")),
    "a parent that is a link, and the directory is there": placed(
        "k/x/y", "l/x/y", prepare=directory_and_link("k/x/y", "l", "k")),
    "a link to a subdirectory": Conflict(
        ("one/sub/config.json", "alias/config.json"), {"sub/config.json": b"1"}, B, paths=("one", "alias"),
        prepare=directory_and_link("one/sub", "alias", "one/sub")),
    "a link to the volume itself": placed("real", "here/real", prepare=link("here", ".")),
    "a link's place in a directory that is a link": Conflict(
        ("one/i.json", "alias/i.json"), {"i.json": b"1"}, {"i": b"2"}, at="alias/i.json",
        prepare=directory_and_link("one", "alias", "one")),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFLICTS)
def test_two_names_for_one_file_are_refused_before_the_first_byte(name: str, desk: Desk, mount: Mount) -> None:
    conflict = CONFLICTS[name]
    volume = mount(conflict.quirks)
    conflict.prepare(volume)
    desk.offer("one", conflict.one)
    desk.offer("two", conflict.two or B)
    desk.refused(manifest(*conflict.models), volume, "PathConflict", *conflict.names, "Change a path, exclude one")


LATER = [name for name, conflict in CONFLICTS.items() if conflict.two is not None and not conflict.at]


@pytest.mark.parametrize("name", LATER)
def test_a_model_that_comes_later_does_not_take_the_files_of_a_complete_one(
    name: str, desk: Desk, mount: Mount
) -> None:
    conflict = CONFLICTS[name]
    volume = mount(conflict.quirks)
    conflict.prepare(volume)
    desk.offer("one", conflict.one)
    desk.offer("two", conflict.two or B)
    first = manifest(conflict.models[0])
    assert desk.sync(first, volume)[0] == 0
    desk.refused(manifest(*conflict.models), volume, "PathConflict", *conflict.names)
    assert desk.verify(first, volume) == 0


def test_a_model_below_another_ones_directory_does_not_take_its_files(desk: Desk, volume: Path) -> None:
    """The same text is the same file too, and one of the two is not planned any more."""
    desk.offer("one", {"sub/config.json": b"1"})
    desk.offer("two", B)
    one, two = model("one", "owner/one"), model("two", "owner/two") | {"path": "one/sub"}
    assert desk.sync(manifest(one), volume)[0] == 0
    desk.refused(manifest(one, two), volume, "PathConflict", "models two and one: one/sub/config.json of both")
    assert desk.verify(manifest(one), volume) == 0


@pytest.mark.parametrize("name", ["letter case of files", "letter case of models' directories"])
def test_names_that_are_one_only_where_nobody_tried_are_never_called_complete(
    name: str, desk: Desk, mount: Mount
) -> None:
    """Letter case may be a matter of each directory; then it is found out when the receipts are written."""
    conflict = CONFLICTS[name]
    volume = mount(Quirks(nocase=True, by_directory=True))
    desk.offer("one", conflict.one)
    desk.offer("two", conflict.two or B)
    spec = manifest(*conflict.models)
    for possible in ((1,), (1, 2)):  # directories that are there by now show that they are one
        code, output, report = desk.sync(spec, volume, "--connections", "1")
        assert code in possible, output
        assert report["complete"] is False
        assert desk.verify(spec, volume) == 1


def test_a_directory_that_is_mounted_twice_is_one_directory(desk: Desk, volume: Path) -> None:
    desk.offer("one", A)
    desk.offer("two", B)
    for name in ("real", "alias"):
        (volume / name).mkdir()
    bound = subprocess.run(["mount", "--bind", str(volume / "real"), str(volume / "alias")], capture_output=True)
    if bound.returncode:
        pytest.skip("needs root that may mount")
    try:
        spec = manifest(*placed("real", "alias").models)
        desk.refused(spec, volume, "PathConflict", "real/config.json", "alias/config.json")
    finally:
        subprocess.run(["umount", "--lazy", str(volume / "alias")], check=True)


def test_names_that_this_volume_tells_apart_are_taken(desk: Desk, volume: Path) -> None:
    files = {
        "Config.json": b"1",
        "config.json": b"2",
        f"{COMPOSED}.x": b"3",
        f"{DECOMPOSED}.x": b"4",
        "config.json.": b"5",
    }
    desk.offer("one", files)
    desk.completes(manifest(model("one", "owner/one")), volume, {f"one/{path}": data for path, data in files.items()})


def test_a_model_directory_that_is_a_link_to_elsewhere_is_fine(desk: Desk, volume: Path) -> None:
    desk.offer("one", A)
    desk.offer("two", B)
    link("two", "disk/two")(volume)
    (volume / "disk/two").mkdir(parents=True)
    wanted = {"one/config.json": A["config.json"], "disk/two/config.json": B["config.json"]}
    desk.completes(manifest(model("one", "owner/one"), model("two", "owner/two")), volume, wanted)


UNSUPPORTED = {
    "no rename": (Quirks(rename_errno=errno.ENOSYS), "rename a file"),
    "no rename, in other words": (Quirks(rename_errno=errno.EOPNOTSUPP), "rename a file"),
    "no rename, in wrong words": (Quirks(rename_errno=errno.EINVAL), "rename a file"),
    "no place but the end": (Quirks(sequential=True), "write at any place of a file"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_the_file_system_cannot_do_is_told_before_the_first_byte(name: str, desk: Desk, mount: Mount) -> None:
    quirks, operation = UNSUPPORTED[name]
    desk.offer("one", FILES)
    words = (f"cannot {operation}", "volume of another storage class")
    desk.refused(manifest(model("one", "owner/one")), mount(quirks), "VolumeUnsupported", *words)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_a_volume_on_which_no_lock_can_be_made_is_unsupported(number: int, desk: Desk, mount: Mount) -> None:
    desk.offer("one", FILES)
    spec = manifest(model("one", "owner/one"))
    desk.refused(spec, mount(Quirks(exclusive_errno=number)), "VolumeUnsupported", "another storage class")


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
    name: str, where: str, desk: Desk, mount: Mount
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
        mount(quirks),
        "VolumeUnsupported",
        repr(refused),
        f"Exclude {'one/' * (where == 'a file')}{path}",
    )


def test_a_file_larger_than_the_file_system_holds_is_told_before_the_first_byte(desk: Desk, mount: Mount) -> None:
    RepoBuilder(desk.root, "owner/larger").sparse("weights.safetensors", 5 * GIB, sha256="0" * 64)
    volume = mount(Quirks(file_max=4 * GIB - 1))
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
def test_a_volume_that_does_it_in_its_own_way_works(name: str, desk: Desk, mount: Mount) -> None:
    volume = mount(WORKING[name])
    desk.offer("one", FILES)
    desk.offer("two", LINKED)
    at = "one/text/vocab.json"
    spec = manifest(model("one", "owner/one"), model("two", "owner/two", links=[{"file": "text/vocab.json", "at": at}]))
    wanted = {f"one/{path}": data for path, data in FILES.items()}
    wanted |= {f"{at}_old": FILES["text/vocab.json"], at: LINKED["text/vocab.json"], "two/text/vocab.json": b"other\n"}
    desk.completes(spec, volume, wanted)


@pytest.mark.parametrize("young", [False, True], ids=["deep", "as young as its receipt"])
def test_a_copy_that_stands_for_a_link_is_read_too(young: bool, desk: Desk, mount: Mount) -> None:
    """Where its time does not show a change, a deep check does."""
    volume = mount(Quirks(link_errno=errno.EPERM))
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


def test_a_disk_that_fails_to_keep_a_file_is_no_volume_that_cannot(desk: Desk, mount: Mount) -> None:
    desk.offer("one", FILES)
    code, output, report = desk.sync(manifest(model("one", "owner/one")), mount(Quirks(fsync_errno=errno.EIO)))
    assert code == 1
    assert "Input/output error" in output
    assert desk.hub.bytes_sent == 0
    assert report["complete"] is False
