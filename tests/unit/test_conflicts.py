"""Which names are one file, decided from a folding alone: on any file system."""

from __future__ import annotations

from pathlib import Path

import pytest

from init_sync.core.reasons import Reason
from init_sync.volume.conflicts import Conflict, Placed, find_conflicts
from init_sync.volume.probe import FileSystem
from init_sync.volume.volume import Volume

NONE = FileSystem()
CASE = FileSystem(folds_case=True)
FORM = FileSystem(folds_unicode=True)
END = FileSystem(folds_trailing=True)
ALL = FileSystem(folds_case=True, folds_unicode=True, folds_trailing=True)


@pytest.mark.parametrize(
    ("folding", "one", "two", "same"),
    [
        (NONE, "a", "A", False),
        (CASE, "Config.JSON", "config.json", True),
        (CASE, "STRASSE", "straße", True),
        (CASE, "\u00e9", "e\u0301", False),
        (CASE, "a.", "a", False),
        (FORM, "\u00e9", "e\u0301", True),
        (FORM, "\u00e9", "\u00c9", False),
        (END, "a. .", "a", True),
        (END, ".a", "a", False),
        (END, "...", "..", False),
        (ALL, "\u00c9.", "e\u0301", True),
        (ALL, "E\u0301", "\u00e9 ", True),
    ],
)
def test_names_are_the_same_as_far_as_the_file_system_folds_them(
    folding: FileSystem, one: str, two: str, same: bool
) -> None:
    assert (folding.key(one) == folding.key(two)) is same


def refused(volume: Path, folding: FileSystem, *paths: str) -> Conflict | None:
    placed = [Placed(path, f"model-{number}") for number, path in enumerate(paths)]
    found = find_conflicts(Volume(str(volume)), placed, folding)
    return next((each for each in found if each.reason is Reason.PATH_CONFLICT), None)


@pytest.mark.parametrize(
    ("paths", "conflict"),
    [
        (("a/x", "b/x"), False),
        (("a/x", "a/X"), True),
        (("a/b/x", "A/B/x"), True),
        (("a/x", "a/x/y"), True),
        (("a/X/y", "a/x"), True),
        (("a/x", "a/xy"), False),
        (("x", "X/y"), True),
        (("a/x", "b/y", "B/Y"), True),
    ],
)
def test_files_and_directories_are_compared_as_the_file_system_does(
    paths: tuple[str, ...], conflict: bool, volume: Path
) -> None:
    assert bool(refused(volume, CASE, *paths)) is conflict


def test_a_directory_that_is_there_is_in_the_way_of_a_file_too(volume: Path) -> None:
    (volume / "a/x").mkdir(parents=True)
    assert refused(volume, NONE, "a/x", "a/x/y")
    assert refused(volume, CASE, "a/x/y", "a/X")


def test_one_path_of_two_models_is_a_conflict(volume: Path) -> None:
    assert refused(volume, NONE, "a/x", "a/x")


def test_of_two_models_both_are_told(volume: Path) -> None:
    """One may be complete, and then says nothing of it."""
    error = refused(volume, CASE, "a/x", "a/X")
    assert error is not None
    assert error.model is None
    assert "models model-0 and model-1: a/x and a/X" in error.message


def test_links_that_lead_in_a_circle_are_no_trouble(volume: Path) -> None:
    (volume / "a").symlink_to("b")
    (volume / "b").symlink_to("a")
    assert refused(volume, NONE, "a/x", "c/x") is None


def test_a_link_out_of_the_volume_is_no_trouble(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (volume / "a").symlink_to(tmp_path / "outside")
    assert refused(volume, NONE, "a/b/x", "c/x") is None


def test_a_link_to_nothing_and_its_target_are_one_directory(volume: Path) -> None:
    (volume / "alias").symlink_to("deep/real")
    assert refused(volume, NONE, "deep/real/x", "alias/x")
    assert refused(volume, NONE, "deep/real", "alias/x")


@pytest.mark.parametrize("text", ["real/deep", "{root}/real/deep", "{root}//real/./deep", "{root}/next"])
def test_a_link_to_what_is_not_there_yet_is_the_same_as_where_it_leads(text: str, volume: Path) -> None:
    """An absolute one was followed upwards for ever, with the lock held."""
    (volume / "next").symlink_to(f"{volume}/real/deep")
    (volume / "link").symlink_to(text.format(root=volume))
    assert refused(volume, NONE, "link/x", "real/deep/x")
    assert not refused(volume, NONE, "link/x", "real/x")


@pytest.mark.parametrize("text", ["/", "/nowhere/at/all", "../outside", "{root}/../outside", ".."])
def test_a_link_out_of_the_volume_is_told_and_nothing_more(text: str, volume: Path) -> None:
    (volume / "link").symlink_to(text.format(root=volume))
    found = find_conflicts(Volume(str(volume)), [Placed("link/x", "m")], NONE)
    assert [each.reason for each in found] == [Reason.INVALID_SPEC]
