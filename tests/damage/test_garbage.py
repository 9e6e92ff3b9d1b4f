"""Whatever bytes lie in .modelcache: no traceback, never "complete", and a sync still ends right."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from init_sync.volume.layout import MAX_STATE_BYTES
from support.linked_volume import SHARD, SPEC, WHOLE, LinkedVolume
from support.mutation import mutated
from support.sync import tree

FUZZ = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40, deadline=None
)


def garbage(whole: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.binary(max_size=64),
        st.just(b"[" * 100_000),
        st.just(b'{"a":' * 5000),
        st.just(b"9" * 5000),
        st.integers(0, 3000).map(lambda cut: whole[:cut]),
        st.integers(0, 3000).map(lambda cut: whole[:cut] + bytes(max(0, len(whole) - cut))),
    )


@contextmanager
def one_file_missing(site: LinkedVolume) -> Iterator[dict[Path, bytes]]:
    """Gives our own files, and puts them back in the end, for the next example."""
    (site.volume / SHARD).unlink(missing_ok=True)
    saved = own_files(site.volume)
    try:
        yield saved
    finally:
        restore(site.volume, saved)


@pytest.mark.slow
class TestGarbage:
    """Whatever bytes lie in .modelcache: no traceback, never "complete", and a sync still ends right."""

    @pytest.mark.fuzz
    @pytest.mark.timeout(240)  # of all examples together, each of which is four commands
    @FUZZ
    @given(data=st.data())
    def test_any_value_anywhere_in_our_own_files(self, site: LinkedVolume, data: st.DataObject) -> None:
        with one_file_missing(site) as saved:
            path = data.draw(st.sampled_from(sorted(path for path in saved if path.suffix == ".json")))
            path.write_text(json.dumps(mutated(json.loads(saved[path]), data)))
            survive(site, cured=False)

    @pytest.mark.fuzz
    @pytest.mark.timeout(240)  # of all examples together, each of which is four commands
    @FUZZ
    @given(data=st.data())
    def test_any_bytes_in_place_of_our_own_files(self, site: LinkedVolume, data: st.DataObject) -> None:
        with one_file_missing(site) as saved:
            path = data.draw(st.sampled_from(sorted(saved)))
            path.write_bytes(data.draw(garbage(saved[path])))
            survive(site, cured=True)

    @pytest.mark.parametrize(
        "line",
        ['E "\x01"', 'E "\xff"', "E \u20ac", "E x\ry: z", "E " + "x" * 70_000, "P 1 zz", "C 0 1 -1", "P 99999999999 0"],
    )
    def test_any_line_in_a_journal(self, site: LinkedVolume, line: str) -> None:
        (site.volume / SHARD).unlink()
        remote = next(
            each
            for pin in (site.volume / ".modelcache/pins").iterdir()
            for each in json.loads(pin.read_bytes())["files"]
            if each["path"] == Path(SHARD).name
        )
        stem = site.volume / ".modelcache/partial" / remote["id"].replace(":", "-")
        stem.parent.mkdir(exist_ok=True)
        stem.with_suffix(".part").write_bytes(WHOLE[SHARD][:1000])
        header = f"H 1 {remote['id']} {remote['size']}"
        stem.with_suffix(".journal").write_text(f"{header}\n{line}\n", encoding="utf-8", newline="")
        site.verify(code=1)
        site.sync(SPEC, "--give-up-after", "2")
        assert site.whole()

    @pytest.mark.parametrize("name", ["receipts", "pins", "partial", "tmp", "lock", "owned"])
    def test_a_file_in_place_of_one_of_our_directories_is_named(self, site: LinkedVolume, name: str) -> None:
        (site.volume / SHARD).unlink()
        place = site.volume / ".modelcache" / name
        shutil.rmtree(place, ignore_errors=True)
        place.write_bytes(b"foreign")
        site.verify(code=1)
        said = site.sync(code=2).splitlines()[-1]
        assert str(place) in said
        assert place.read_bytes() == b"foreign"

    @pytest.mark.parametrize("name", ["receipts", "pins", "partial", "tmp", "owned"])
    def test_foreign_names_in_our_directories_are_no_obstacle(self, site: LinkedVolume, name: str) -> None:
        (site.volume / SHARD).unlink()
        folder = site.volume / ".modelcache" / name
        folder.mkdir(exist_ok=True)
        (folder / "lost+found").mkdir()
        (folder / "notes.json").write_bytes(b"\xff\x00")
        site.verify(code=1)
        site.sync()
        assert site.whole()

    @pytest.mark.parametrize("name", ["receipts", "pins", "partial", "tmp", "lock", "owned", "."])
    def test_a_link_in_place_of_one_of_our_directories_is_named(
        self, site: LinkedVolume, name: str, tmp_path: Path
    ) -> None:
        (site.volume / SHARD).unlink()
        place = site.volume / ".modelcache" / name
        place.rename(tmp_path / "elsewhere") if place.exists() else (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
        site.verify(code=1)
        assert "remove that link" in site.sync(code=2).splitlines()[-1]

    def test_receipts_without_end_hold_nothing_up(self, site: LinkedVolume) -> None:
        """As large as a receipt may be; sparse, so they cost their maker nothing."""
        (site.volume / SHARD).unlink()
        for number in range(4000):
            path = site.volume / f".modelcache/receipts/{number}.json"
            path.touch()
            os.truncate(path, MAX_STATE_BYTES)
        site.sync()
        assert site.whole()

    @pytest.mark.parametrize("kind", ["a pipe", "an endless device"])
    def test_what_is_no_file_in_place_of_our_own_holds_nothing_up(self, site: LinkedVolume, kind: str) -> None:
        (site.volume / SHARD).unlink()
        for path in own_files(site.volume):
            path.unlink()
            os.mkfifo(path) if kind == "a pipe" else path.symlink_to("/dev/zero")
        survive(site, cured=True)

    def test_a_pipe_in_place_of_a_model_file_is_replaced(self, site: LinkedVolume) -> None:
        (site.volume / SHARD).unlink()
        os.mkfifo(site.volume / SHARD)
        shutil.rmtree(site.volume / ".modelcache/receipts")
        site.verify("--deep", code=1)
        site.sync()
        assert site.whole()

    def test_a_directory_in_place_of_a_receipt_is_named(self, site: LinkedVolume) -> None:
        receipt = site.receipts()[0]
        receipt.unlink()
        receipt.mkdir()
        site.verify(code=1)
        assert f"({receipt})" in site.sync(code=2).splitlines()[-1]


def own_files(volume: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (volume / ".modelcache").rglob("*") if path.is_file()}


def restore(volume: Path, saved: dict[Path, bytes]) -> None:
    shutil.rmtree(volume / ".modelcache")
    for path, content in saved.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def survive(site: LinkedVolume, *, cured: bool) -> None:
    """SHARD is missing: nothing may call the volume complete; with ``cured`` a sync must get over it by itself.

    No file of a model is ever pruned.
    """
    site.verify(code=1)
    prune(site, *([] if lock_is_released(site.volume) else ["--dry-run"]))
    run = site.nursery.run("sync", SPEC, site.volume, "--lock-expiry", "0.5", "--give-up-after", "1")
    code = run.wait()
    assert "Traceback" not in run.output
    assert "unexpected" not in run.output
    assert code == 0 or not cured, run.output
    if code == 0:
        prune(site)
        assert (site.volume / SHARD).read_bytes() == WHOLE[SHARD]


def lock_is_released(volume: Path) -> bool:
    """Garbage there is waited for as for a holder that does not move, and a prune does so for 20 s."""
    try:
        found = list((volume / ".modelcache/lock").iterdir())
        return all(path.is_file() and json.loads(path.read_bytes())["released"] for path in found)
    except (ValueError, TypeError, KeyError, RecursionError):
        return False


def prune(site: LinkedVolume, *arguments: str) -> None:
    before = tree(site.volume)
    run = site.nursery.run("prune", SPEC, site.volume, *arguments)
    assert run.wait() in (0, 2)
    assert "Traceback" not in run.output
    assert tree(site.volume) == before
