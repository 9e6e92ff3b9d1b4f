"""Links on file systems that can do less and less, and what happens to files that are in their way."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import NoReturn

import pytest

from init_sync.core.receipt import ReceiptLink
from init_sync.volume.links import link_problem
from init_sync.volume.links import make_link as link_to
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.receipts import as_receipt_file
from init_sync.volume.volume import Volume
from init_sync.volume.walk import OutsideVolume

TARGET = "multitalk/index.json"
AT = "base/index.json"
SYMLINK, HARDLINK = os.symlink, os.link
"""As they are before a test takes them away."""


@pytest.fixture
def filled(volume: Path) -> Volume:
    (volume / "multitalk").mkdir()
    (volume / TARGET).write_bytes(b"the right index")
    return Volume(str(volume))


@pytest.fixture(params=["symlink", "hardlink", "copy"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The best that the file system can do."""
    if request.param != "symlink":
        monkeypatch.setattr(os, "symlink", refuse)
    if request.param == "copy":
        monkeypatch.setattr(os, "link", refuse)
    return str(request.param)


def make_link(volume: Volume, target: str, at: str) -> ReceiptLink:
    content_id = f"sha256:{hashlib.sha256(Path(volume.at(target)).read_bytes()).hexdigest()}"
    return link_to(volume, as_receipt_file(target, content_id, volume.stat(target)), at, OwnedFiles(volume, "cache"))


def refuse(*arguments: object, **named: object) -> NoReturn:
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_the_file_is_found_at_the_second_place(filled: Volume, volume: Path, kind: str) -> None:
    link = make_link(filled, TARGET, AT)
    assert link.kind == kind
    assert (volume / AT).read_bytes() == b"the right index"
    assert link_problem(filled, link) is None


def test_making_a_link_again_changes_nothing(filled: Volume, volume: Path, kind: str) -> None:
    first = make_link(filled, TARGET, AT)
    before = (volume / AT).lstat()
    second = make_link(filled, TARGET, AT)
    assert link_problem(filled, second) is None
    if kind != "copy":
        assert second == first
        assert (volume / AT).lstat() == before


def test_a_symbolic_link_is_relative_and_works_wherever_the_volume_is_mounted(filled: Volume, volume: Path) -> None:
    make_link(filled, TARGET, "deep/er/index.json")
    moved = volume.rename(volume.parent / "elsewhere")
    assert (moved / "deep/er/index.json").read_bytes() == b"the right index"


def test_a_link_at_the_root_of_the_volume_works(filled: Volume, volume: Path, kind: str) -> None:
    link = make_link(filled, TARGET, "index.json")
    assert (volume / "index.json").read_bytes() == b"the right index"
    assert link_problem(filled, link) is None


class TestOriginal:
    def test_what_lay_there_is_kept_beside_it(self, filled: Volume, volume: Path, kind: str) -> None:
        (volume / "base").mkdir()
        (volume / AT).write_bytes(b"the original")
        make_link(filled, TARGET, AT)
        assert (volume / f"{AT}_old").read_bytes() == b"the original"
        assert (volume / AT).read_bytes() == b"the right index"

    def test_it_is_kept_once(self, filled: Volume, volume: Path, kind: str) -> None:
        (volume / "base").mkdir()
        for content in (b"the original", b"a restored one"):
            (volume / AT).unlink(missing_ok=True)
            (volume / AT).write_bytes(content)
            make_link(filled, TARGET, AT)
        assert (volume / f"{AT}_old").read_bytes() == b"the original"
        assert sorted(path.name for path in (volume / "base").iterdir()) == ["index.json", "index.json_old"]

    def test_a_link_that_leads_elsewhere_is_replaced_and_its_target_left_alone(
        self, filled: Volume, volume: Path, kind: str
    ) -> None:
        (volume / "base").mkdir()
        (volume / "base/other.json").write_bytes(b"other")
        HARDLINK(volume / "base/other.json", volume / AT)
        link = make_link(filled, TARGET, AT)
        assert (volume / "base/other.json").read_bytes() == b"other"
        assert link_problem(filled, link) is None

    def test_the_place_is_never_without_a_whole_file_once_linked(
        self, filled: Volume, volume: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_link(filled, TARGET, AT)
        (volume / "multitalk/new.json").write_bytes(b"a newer index")
        replace = os.replace
        seen: list[bytes] = []

        def watched(source: str, destination: str, **named: int) -> None:
            seen.append((volume / AT).read_bytes())
            replace(source, destination, **named)
            seen.append((volume / AT).read_bytes())

        monkeypatch.setattr(os, "replace", watched)
        make_link(filled, "multitalk/new.json", AT)
        assert seen == [b"the right index", b"a newer index"]


class TestInTheWay:
    def test_a_directory_is_refused_by_name_and_left_alone(self, filled: Volume, volume: Path, kind: str) -> None:
        (volume / AT).mkdir(parents=True)
        (volume / AT / "kept.txt").write_text("kept")
        with pytest.raises(IsADirectoryError, match=r"base/index\.json"):
            make_link(filled, TARGET, AT)
        assert (volume / AT / "kept.txt").read_text() == "kept"

    def test_nothing_but_the_link_appears_beside_the_models_files(
        self, filled: Volume, volume: Path, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not even if the process is killed right before the link gets its name."""

        def die(source: str, destination: str, **named: int) -> NoReturn:
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            make_link(filled, TARGET, AT)
        monkeypatch.undo()
        assert list((volume / "base").iterdir()) == []
        make_link(filled, TARGET, AT)
        assert (volume / AT).read_bytes() == b"the right index"

    def test_a_directory_that_leads_out_of_the_volume_is_refused(
        self, filled: Volume, volume: Path, tmp_path: Path, kind: str
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        SYMLINK(outside, volume / "base")
        with pytest.raises(OutsideVolume, match="leads out of the volume"):
            make_link(filled, TARGET, "base/sub/index.json")
        assert list(outside.iterdir()) == []


class TestProblem:
    def test_a_missing_link_says_where_it_should_lead(self, filled: Volume, volume: Path, kind: str) -> None:
        link = make_link(filled, TARGET, AT)
        (volume / AT).unlink()
        assert link_problem(filled, link) == "base/index.json is missing; it should lead to multitalk/index.json"

    def test_a_link_to_another_file_is_a_problem(self, filled: Volume, volume: Path) -> None:
        link = make_link(filled, TARGET, AT)
        (volume / AT).unlink()
        (volume / "base/config.json").write_bytes(b"{}")
        (volume / AT).symlink_to("config.json")
        problem = link_problem(filled, link)
        assert problem is not None
        assert AT in problem
        assert TARGET in problem

    def test_a_link_that_leads_nowhere_is_a_problem(self, filled: Volume, volume: Path) -> None:
        link = make_link(filled, TARGET, AT)
        (volume / AT).unlink()
        (volume / AT).symlink_to("nowhere")
        assert str(link_problem(filled, link)).startswith("base/index.json leads ")

    def test_a_file_in_place_of_the_link_is_a_problem(self, filled: Volume, volume: Path, kind: str) -> None:
        link = make_link(filled, TARGET, AT)
        (volume / AT).unlink()
        (volume / AT).write_bytes(b"the original of the base model")
        assert link_problem(filled, link)

    def test_a_copy_that_was_changed_is_a_problem(
        self, filled: Volume, volume: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "symlink", refuse)
        monkeypatch.setattr(os, "link", refuse)
        link = make_link(filled, TARGET, AT)
        (volume / AT).write_bytes(b"the wrong index")
        os.utime(volume / AT, ns=(link.mtime_ns + 1, link.mtime_ns + 1))
        problem = link_problem(filled, link)
        assert problem is not None
        assert AT in problem
        assert TARGET in problem

    @pytest.mark.parametrize("made", ["symlink", "hardlink", "copy"])
    def test_a_target_that_is_gone_never_passes_for_a_link(self, filled: Volume, volume: Path, made: str) -> None:
        (volume / TARGET).unlink()
        problem = link_problem(filled, ReceiptLink(AT, TARGET, made))
        assert problem is not None
        assert AT in problem
