"""Prepared copies beside the models: what ``prune``, ``scrub``, ``status`` and a sync make of them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.test_prune import prune, state, without
from cli.test_scrub import LONG_AGO, change_receipt, scrub
from cli.test_status import flip
from init_sync.core.volumepath import path_problem
from init_sync.serve.catalog import make_catalog
from init_sync.volume.pins import all_pins
from init_sync.volume.prepared import Recipe, copies_of
from init_sync.volume.receipts import all_receipts
from init_sync.volume.volume import Volume
from support.hub import LocalHub, RepoBuilder
from support.preparing import prepare
from support.sync import manifest, model, run_command, run_sync, tree

Spec = dict[str, Any]


def receipts(volume: Path) -> list[str]:
    return [name for name in state(volume, "receipts") if name.startswith("prepared--")]


def copied(volume: Path) -> list[Path]:
    return sorted((volume / "prepared").glob("*/*"))


@pytest.fixture
def prepared(spec: Spec, whole: Path) -> Path:
    """A complete volume with a copy of its three models."""
    assert prepare(spec, whole) == 0
    return whole


def test_a_copy_has_a_receipt_as_a_model_has_and_names_the_digests_of_its_models(spec: Spec, prepared: Path) -> None:
    (receipt,) = copies_of(Volume(str(prepared)), "cache")
    told = run_command("status", spec, prepared, "--json").report
    digests = {model["name"]: model["digest"] for model in told["models"]}
    assert receipt.prepared_from == {each["path"]: digests[each["name"]] for each in spec["spec"]["models"]}
    assert sorted(file.path for file in receipt.files) == [str(each.relative_to(prepared)) for each in copied(prepared)]
    assert all(
        each.stem.endswith(file.checksum[:16]) for each, file in zip(copied(prepared), receipt.files, strict=True)
    )


def test_a_second_run_finds_it_prepared_and_changes_nothing(
    spec: Spec, prepared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(prepared)
    assert prepare(spec, prepared) == 0
    assert capsys.readouterr().out == "already prepared\n"
    assert tree(prepared) == before


class TestPrune:
    def test_a_copy_of_the_present_models_stays(self, spec: Spec, prepared: Path) -> None:
        before = tree(prepared)
        assert run_command("status", spec, prepared, "--json").report["bytesUnused"] == 0
        assert prune(spec, prepared).report["files"] == 0
        assert tree(prepared) == before

    def test_a_copy_of_a_model_that_the_manifest_no_longer_names_goes(self, spec: Spec, prepared: Path) -> None:
        fewer = without(spec, "wav2vec")
        names = [str(each.relative_to(prepared)) for each in copied(prepared)]
        size = sum(each.stat().st_size for each in copied(prepared))
        told = prune(fewer, prepared, "--dry-run").report
        assert set(names) < set(told["paths"])
        assert run_command("status", fewer, prepared, "--json").report["bytesUnused"] == told["bytes"] > size
        assert prune(fewer, prepared).returncode == 0
        assert (receipts(prepared), (prepared / "prepared").exists()) == ([], False)

    def test_a_copy_of_an_older_commit_goes_and_the_new_one_stays(
        self, repo: RepoBuilder, volume: Path, hub: LocalHub
    ) -> None:
        it = manifest(model("it", repo.name))
        assert run_sync(it, volume, hub).returncode == prepare(it, volume) == 0
        old = copied(volume)
        repo.commit({"config.json": b'{"a": 2}\n'})
        assert run_sync(it, volume, hub, "--refresh").returncode == prepare(it, volume) == 0
        assert set(copied(volume)) > set(old)
        assert prune(it, volume).returncode == 0
        assert copied(volume)
        assert not set(copied(volume)) & set(old)
        assert len(receipts(volume)) == 1

    def test_while_a_model_lacks_its_receipt_the_copy_stays(self, spec: Spec, prepared: Path, hub: LocalHub) -> None:
        """The coming sync may find the very files."""
        (receipt,) = (prepared / ".modelcache/receipts").glob("base-*")
        receipt.unlink()
        before = copied(prepared)
        assert prune(spec, prepared).report["files"] == 0
        assert run_sync(spec, prepared, hub).report["bytesFetched"] == 0
        assert (prepare(spec, prepared), copied(prepared)) == (0, before)

    def test_another_cache_that_needs_the_models_keeps_the_copy(
        self, spec: Spec, prepared: Path, hub: LocalHub
    ) -> None:
        other = {**spec, "metadata": {"name": "other"}}
        assert run_sync(other, prepared, hub).returncode == 0
        before = copied(prepared)
        without_any = manifest(model("else", "owner/else"))
        assert prune(without_any, prepared).returncode == 0
        assert copied(prepared) == before

    def test_a_copy_of_another_cache_stays(self, spec: Spec, prepared: Path) -> None:
        before = copied(prepared)
        other = {**without(spec, "wav2vec"), "metadata": {"name": "other"}}
        assert prune(other, prepared).report["files"] == 0
        assert copied(prepared) == before

    def test_a_copy_whose_receipt_is_gone_goes(self, spec: Spec, prepared: Path) -> None:
        for name in receipts(prepared):
            (prepared / ".modelcache/receipts" / name).unlink()
        names = [str(each.relative_to(prepared)) for each in copied(prepared)]
        assert prune(spec, prepared).report["paths"] == names
        assert not (prepared / "prepared").exists()


class TestScrub:
    def test_it_is_read_too(self, spec: Spec, prepared: Path) -> None:
        change_receipt(prepared, "prepared--all", lambda data: data.update(verifiedAt=LONG_AGO))
        (before,) = copies_of(Volume(str(prepared)), "cache")
        done = scrub(spec, prepared)
        size = sum(each.stat().st_size for each in copied(prepared))
        assert (done.returncode, done.report["bytesVerified"]) == (0, done.report["bytesTotal"] + size)
        (after,) = copies_of(Volume(str(prepared)), "cache")
        assert after.verified_at > before.verified_at

    def test_damage_removes_its_receipt_and_makes_nothing_incomplete(self, spec: Spec, prepared: Path) -> None:
        victim = copied(prepared)[0]
        flip(victim, 0)
        done = scrub(spec, prepared)
        assert (done.returncode, done.report["complete"]) == (0, True)
        assert receipts(prepared) == []
        assert f"{victim.parent.relative_to(prepared)}: this prepared copy is damaged" in done.stdout
        assert run_command("verify", spec, prepared).returncode == 0

    def test_after_damage_the_damaged_file_alone_is_made_again(self, spec: Spec, prepared: Path) -> None:
        before = {each: each.read_bytes() for each in copied(prepared)}
        times = {each: each.stat().st_mtime_ns for each in copied(prepared)}
        victim = copied(prepared)[0]
        flip(victim, 0)
        scrub(spec, prepared)
        assert prepare(spec, prepared) == 0
        assert {each: each.read_bytes() for each in copied(prepared)} == before
        changed = [each for each in copied(prepared) if each.stat().st_mtime_ns != times[each]]
        assert changed == [victim]

    def test_a_copy_that_was_removed_by_hand_is_no_damage(self, spec: Spec, prepared: Path) -> None:
        shutil.rmtree(prepared / "prepared")
        done = scrub(spec, prepared)
        assert (done.returncode, "prepared" in done.stdout) == (0, False)
        assert prune(spec, prepared).returncode == 0
        assert prepare(spec, prepared) == 0
        assert copied(prepared)


BY_HAND: dict[str, Callable[[Path], object]] = {
    "removed": lambda folder: shutil.rmtree(folder),
    "one file removed": lambda folder: next(folder.glob("*/*")).unlink(),
    "one file cut": lambda folder: os.truncate(next(folder.glob("*/part-1-*")), 1),
    "one file touched": lambda folder: os.utime(next(folder.glob("*/*"))),
    "one file with other content": lambda folder: next(folder.glob("*/part-1-*")).write_bytes(b"xyz"),
}


@pytest.mark.parametrize("change", BY_HAND.values(), ids=BY_HAND.keys())
def test_what_was_changed_by_hand_harms_nothing_and_is_made_again(
    spec: Spec, prepared: Path, hub: LocalHub, change: Callable[[Path], object]
) -> None:
    before = tree(prepared)
    change(prepared / "prepared")
    for verb in ("verify", "status"):
        assert run_command(verb, spec, prepared).returncode == 0
    assert run_sync(spec, prepared, hub).report["bytesFetched"] == 0
    assert prepare(spec, prepared) == 0
    assert tree(prepared) == before


def test_no_sync_touches_it(repo: RepoBuilder, volume: Path, hub: LocalHub) -> None:
    it = manifest(model("it", repo.name))
    assert run_sync(it, volume, hub).returncode == prepare(it, volume) == 0
    before = {each: each.stat().st_mtime_ns for each in copied(volume)}
    repo.commit({"config.json": b'{"a": 2}\n'})
    for flags in (["--refresh"], ["--verify", "deep"]):
        assert run_sync(it, volume, hub, *flags).returncode == 0
    assert {each: each.stat().st_mtime_ns for each in copied(volume)} == before
    assert len(receipts(volume)) == 1


def test_a_peer_offers_none_of_it(prepared: Path) -> None:
    volume = Volume(str(prepared))
    catalog = make_catalog(all_receipts(volume), all_pins(volume))
    assert catalog.unlisted == ()
    held = {file.path for files in catalog.held.values() for file in files}
    assert held
    assert not any(path.startswith("prepared/") for path in held)


@pytest.mark.parametrize("value", [1, ["a"], {"../a": "sha256:0"}, {"a": 1}, {"a": "two\nlines"}], ids=repr)
def test_a_receipt_with_other_origins_than_a_run_writes_counts_as_absent(
    spec: Spec, prepared: Path, value: object
) -> None:
    from init_sync.volume.layout import read_json, write_json

    volume = Volume(str(prepared))
    path = f".modelcache/receipts/{receipts(prepared)[0]}"
    write_json(volume, path, {**read_json(volume, path), "preparedFrom": value})
    assert json.loads((prepared / path).read_text())["preparedFrom"] == value
    assert copies_of(volume, "cache") == []
    assert run_command("verify", spec, prepared).returncode == 0


@pytest.mark.parametrize("name", ["a/b/c", "x" * 300, "é" * 200, "模" * 120], ids=["a path", "long", "accents", "wide"])
def test_any_name_of_a_model_makes_a_directory_that_a_receipt_can_name(name: str) -> None:
    path = Recipe(name, "form", ("a",), {"a": "sha256:0"}).model().path
    assert path_problem(path) is None
    assert path.count("/") == 1
