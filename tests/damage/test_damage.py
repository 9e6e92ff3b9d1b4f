"""Damage of every kind: found by the check that should find it, and only what is damaged is fetched again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.linked_volume import (
    ADDON,
    AUDIO,
    BASE,
    BASE_MODEL,
    INDEX,
    SHARD,
    SPEC,
    WHOLE,
    LinkedVolume,
    empty_out,
    flip,
    grow,
    hollow,
    keeping_mtime,
    truncate,
    zero,
)
from support.sync import manifest

SEEN_FAST = [
    pytest.param(Path.unlink, "FileMissing", id="missing"),
    pytest.param(keeping_mtime(truncate), "SizeMismatch", id="truncated, time kept"),
    pytest.param(keeping_mtime(empty_out), "SizeMismatch", id="zero length, time kept"),
    pytest.param(keeping_mtime(grow), "SizeMismatch", id="grown, time kept"),
    pytest.param(keeping_mtime(hollow), "ChecksumMismatch", id="hollow, time kept"),
    pytest.param(zero, "ChecksumMismatch", id="zeroed"),
    pytest.param(flip, "ChecksumMismatch", id="flipped byte"),
]
SEEN_DEEP = [
    pytest.param(keeping_mtime(flip), id="flipped byte, time kept"),
    pytest.param(keeping_mtime(zero), id="zeroed, time kept"),
]


class TestFiles:
    @pytest.mark.parametrize(("damage", "reason"), SEEN_FAST)
    def test_damage_that_a_stat_shows_is_found_and_repaired_alone(
        self, site: LinkedVolume, damage: Callable[[Path], None], reason: str
    ) -> None:
        damage(site.volume / SHARD)
        said = site.verify(code=1)
        assert f"{SHARD}: {reason}" in said
        assert site.hub.count() == 0
        site.repaired(SHARD)

    @pytest.mark.parametrize("damage", SEEN_DEEP)
    def test_damage_behind_an_unchanged_stat_takes_a_deep_check(
        self, site: LinkedVolume, damage: Callable[[Path], None]
    ) -> None:
        damage(site.volume / SHARD)
        site.verify(code=0)
        assert "All models already complete!" in site.sync().splitlines()
        assert f"{SHARD}: ChecksumMismatch" in site.verify("--deep", code=1)
        site.repaired(SHARD, deep=True)

    def test_a_deep_sync_of_a_whole_volume_fetches_and_changes_nothing(self, site: LinkedVolume) -> None:
        before = {path: site.state(path) for path in WHOLE}
        assert "All models already complete!" in site.sync(SPEC, "--verify", "deep").splitlines()
        assert site.hub.count() == 0
        assert {path: site.state(path) for path in WHOLE} == before

    def test_a_file_that_was_only_touched_is_hashed_not_fetched(self, site: LinkedVolume) -> None:
        os.utime(site.volume / SHARD)
        assert "All models already complete!" in site.sync().splitlines()
        assert site.hub.count() == 0

    def test_a_file_that_was_replaced_by_a_right_copy_is_not_fetched(self, site: LinkedVolume) -> None:
        shutil.copyfile(site.volume / SHARD, site.volume / "copy")
        os.replace(site.volume / "copy", site.volume / SHARD)
        site.sync()
        assert site.hub.count() == 0

    def test_several_damaged_files_of_several_models_are_repaired_in_one_run(self, site: LinkedVolume) -> None:
        (site.volume / SHARD).unlink()
        truncate(site.volume / "base/config.json")
        flip(site.volume / f"addon/{AUDIO}")
        said = site.verify(code=1)
        assert all(path in said for path in (SHARD, "base/config.json", f"addon/{AUDIO}"))
        output = site.sync()
        paths = (SHARD, "base/config.json", f"addon/{AUDIO}")
        assert site.hub.bytes_sent == sum(len(WHOLE[path]) for path in paths)
        assert "base complete: False" in output.splitlines()
        assert site.whole()

    def test_a_damaged_file_stays_readable_until_the_right_one_is_whole(self, site: LinkedVolume) -> None:
        """A pod may be reading it: better flawed than gone."""
        truncate(site.volume / SHARD)
        site.hub.stop()
        try:
            site.sync(SPEC, "--give-up-after", "0.5", code=1)
        finally:
            site.hub.start()
        assert (site.volume / SHARD).stat().st_size == len(WHOLE[SHARD]) // 2

    def test_a_directory_where_a_file_belongs_is_named_and_left_alone(self, site: LinkedVolume) -> None:
        (site.volume / SHARD).unlink()
        (site.volume / SHARD).mkdir()
        (site.volume / SHARD / "precious.txt").write_text("precious")
        said = site.sync(code=2).splitlines()[-1]
        assert said.startswith("init-sync: error: ")
        assert SHARD in said
        assert (site.volume / SHARD / "precious.txt").read_text() == "precious"
        site.verify(code=1)

    def test_a_file_where_a_directory_belongs_is_named_and_left_alone(self, site: LinkedVolume) -> None:
        shutil.rmtree(site.volume / "base")
        (site.volume / "base").write_text("precious")
        said = site.sync(code=2).splitlines()[-1]
        assert f"{site.volume}/base" in said
        assert (site.volume / "base").read_text() == "precious"

    def test_foreign_files_are_left_alone(self, site: LinkedVolume) -> None:
        foreign = {"notes.txt": b"mine", "base/extra.bin": b"mine too", "base/.cache/x": b"x", "other/model.bin": b"y"}
        for path, content in foreign.items():
            (site.volume / path).parent.mkdir(parents=True, exist_ok=True)
            (site.volume / path).write_bytes(content)
        before = {path: site.state(path) for path in foreign}
        (site.volume / SHARD).unlink()
        site.repaired(SHARD)
        site.sync(SPEC, "--verify", "deep")
        assert {path: site.state(path) for path in foreign} == before
        assert {path: (site.volume / path).read_bytes() for path in foreign} == foreign


class TestLinks:
    def test_a_missing_link_is_made_again(self, site: LinkedVolume) -> None:
        (site.volume / f"base/{AUDIO}").unlink()
        assert f"base/{AUDIO}: LinkBroken" in site.verify(code=1)
        site.sync()
        assert site.hub.bytes_sent == 0
        assert site.whole()

    def test_a_link_whose_target_is_gone_is_whole_again_once_the_target_is(self, site: LinkedVolume) -> None:
        (site.volume / f"addon/{AUDIO}").unlink()
        said = site.verify(code=1)
        assert f"addon/{AUDIO}" in said
        site.sync()
        assert site.hub.bytes_sent == len(ADDON[AUDIO])
        assert site.whole()

    def test_a_link_that_dangles_is_made_right(self, site: LinkedVolume) -> None:
        place = site.volume / f"base/{AUDIO}"
        place.unlink()
        place.symlink_to("nowhere")
        assert f"base/{AUDIO}: LinkBroken" in site.verify(code=1)
        site.sync()
        assert site.hub.bytes_sent == 0
        assert site.whole()

    def test_a_link_that_is_replaced_by_a_file_is_made_again_and_the_first_original_kept(
        self, site: LinkedVolume
    ) -> None:
        """What a second download of the base model by another tool leaves: its own index, without the audio weights."""
        place = site.volume / f"base/{INDEX}"
        place.unlink()
        place.write_bytes(BASE[INDEX])
        assert f"base/{INDEX}: LinkBroken" in site.verify(code=1)
        site.sync()
        assert site.hub.bytes_sent == 0
        assert site.whole()
        assert place.is_symlink()

    def test_an_index_that_was_overwritten_through_its_link_is_fetched_again(self, site: LinkedVolume) -> None:
        (site.volume / f"base/{INDEX}").write_bytes(BASE[INDEX])
        assert f"addon/{INDEX}" in site.verify(code=1)
        site.sync()
        assert site.hub.bytes_sent == len(ADDON[INDEX])
        assert site.whole()

    def test_repairing_the_base_model_never_restores_its_own_index(self, site: LinkedVolume) -> None:
        shutil.rmtree(site.volume / "base")
        site.sync()
        assert site.whole()
        assert (site.volume / f"base/{INDEX}").is_symlink()

    def test_syncing_the_base_model_alone_never_restores_its_own_index(self, site: LinkedVolume) -> None:
        """Another manifest on the same volume knows nothing of the links; the volume does."""
        site.sync(manifest(BASE_MODEL, name="base-only"))
        assert (site.volume / f"base/{INDEX}").read_bytes() == ADDON[INDEX]
        site.verify(code=0)

    @pytest.mark.parametrize("refused", [("symlink",), ("symlink", "link")], ids=["hard link", "copy"])
    def test_a_file_system_without_symbolic_links_is_good_enough(
        self, empty: LinkedVolume, refused: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In this process, because no file system at hand lacks them."""
        from init_sync.app.cli import run

        def refuse(*arguments: object, **named: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        for name in refused:
            monkeypatch.setattr(os, name, refuse)
        monkeypatch.setenv("HF_ENDPOINT", empty.hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", empty.hub.endpoint)
        monkeypatch.setattr("signal.signal", lambda *arguments: None)
        spec = tmp_path / "spec.json"
        spec.write_text(json.dumps(SPEC))
        mask = os.umask(0o022)
        try:
            for _ in range(2):
                assert run(["sync", "--spec", str(spec), "--volume", str(empty.volume)]) == 0
        finally:
            os.umask(mask)
        assert empty.whole()
        assert not (empty.volume / f"base/{AUDIO}").is_symlink()
        same = os.path.samefile(empty.volume / f"base/{AUDIO}", empty.volume / f"addon/{AUDIO}")
        assert same == (len(refused) == 1)
        empty.verify("--deep", code=0)
