"""Names that one volume takes for one: refused before the first byte, in words that name the cure."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from faults.quirky import PLAIN, Desk, Json, Quirky
from support.quirks import Quirks
from support.sync import manifest, model


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
def test_two_names_for_one_file_are_refused_before_the_first_byte(name: str, desk: Desk, quirky: Quirky) -> None:
    conflict = CONFLICTS[name]
    volume = quirky(conflict.quirks)
    conflict.prepare(volume)
    desk.offer("one", conflict.one)
    desk.offer("two", conflict.two or B)
    desk.refused(manifest(*conflict.models), volume, "PathConflict", *conflict.names, "Change a path, exclude one")


LATER = [name for name, conflict in CONFLICTS.items() if conflict.two is not None and not conflict.at]


@pytest.mark.parametrize("name", LATER)
def test_a_model_that_comes_later_does_not_take_the_files_of_a_complete_one(
    name: str, desk: Desk, quirky: Quirky
) -> None:
    conflict = CONFLICTS[name]
    volume = quirky(conflict.quirks)
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
    name: str, desk: Desk, quirky: Quirky
) -> None:
    """Letter case may be a matter of each directory; then it is found out when the receipts are written."""
    conflict = CONFLICTS[name]
    volume = quirky(Quirks(nocase=True, by_directory=True))
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
