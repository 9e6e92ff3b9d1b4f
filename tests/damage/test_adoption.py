"""Volumes without the right receipts: filled by hand, stripped of them, or given those of something else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from support.checkpoint import tiny_checkpoint
from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
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
    flip,
    keeping_mtime,
)
from support.sync import manifest, model, tree

HASHED = sum(len(content) for files in (BASE, ADDON) for content in files.values())


class TestReceipts:
    def test_a_deleted_receipt_costs_hashing_only(self, site: LinkedVolume) -> None:
        before = {path: site.state(path) for path in WHOLE}
        for receipt in site.receipts():
            receipt.unlink()
        assert "NotVerified" in site.verify(code=1)
        report = site.volume.parent / "report.json"
        site.sync(SPEC, "--report", str(report))
        assert site.hub.bytes_sent == 0
        fetched, verified = (json.loads(report.read_text())[key] for key in ("bytesFetched", "bytesVerified"))
        assert (fetched, verified) == (0, HASHED), "the only sign that it moved"
        assert {path: site.state(path) for path in WHOLE} == before
        site.verify(code=0)

    def test_the_whole_state_directory_deleted_costs_hashing_only(self, site: LinkedVolume) -> None:
        shutil.rmtree(site.volume / ".modelcache")
        site.verify(code=1)
        site.sync()
        assert site.hub.bytes_sent == 0
        assert site.whole()

    def test_without_receipt_a_damaged_file_is_found_by_its_content(self, site: LinkedVolume) -> None:
        for receipt in site.receipts():
            receipt.unlink()
        keeping_mtime(flip)(site.volume / SHARD)
        site.verify(code=1)
        site.sync()
        assert site.hub.bytes_sent == len(WHOLE[SHARD])
        assert site.whole()

    def test_the_receipt_of_another_requirement_proves_nothing(self, site: LinkedVolume) -> None:
        fewer = manifest({**BASE_MODEL, "include": ["config.json"]}, name="fewer")
        volume = LinkedVolume(site.volume, site.hub, site.nursery)
        shutil.rmtree(site.volume)
        site.volume.mkdir()
        volume.sync(fewer)
        (receipt,) = volume.receipts()
        said = volume.verify(code=1)
        assert "addon" in said
        volume.sync()
        assert site.whole()
        assert receipt.exists() or volume.receipts()

    def test_a_receipt_under_the_name_of_another_requirement_proves_nothing(self, site: LinkedVolume) -> None:
        """Copied by hand from another volume, say."""
        base, addon = sorted(site.receipts(), key=lambda path: "addon" in path.name)
        base.write_bytes(addon.read_bytes())
        site.verify(code=1)
        site.sync()
        assert site.hub.bytes_sent == 0
        site.verify(code=0)

    def test_a_receipt_without_files_proves_nothing(self, site: LinkedVolume) -> None:
        for receipt in site.receipts():
            data = json.loads(receipt.read_bytes())
            receipt.write_text(json.dumps({**data, "files": [], "links": []}))
        shutil.rmtree(site.volume / "base")
        site.verify(code=1)


class TestByHand:
    def test_a_volume_filled_by_hand_is_adopted(self, empty: LinkedVolume) -> None:
        for path, content in WHOLE.items():
            if not path.endswith("_old"):
                (empty.volume / path).parent.mkdir(parents=True, exist_ok=True)
                (empty.volume / path).write_bytes(content)
        (empty.volume / f"base/{INDEX}").write_bytes(BASE[INDEX])
        assert "NotVerified" in empty.verify(code=1)
        empty.sync()
        assert empty.hub.bytes_sent == 0
        assert empty.whole()

    def test_of_a_volume_half_filled_by_hand_only_the_rest_is_fetched(self, empty: LinkedVolume) -> None:
        (empty.volume / "base").mkdir()
        (empty.volume / SHARD).write_bytes(WHOLE[SHARD])
        (empty.volume / "base/shard-2.safetensors").write_bytes(b"wrong")
        kept = empty.state(SHARD)
        empty.sync()
        total = sum(map(len, [*BASE.values(), *ADDON.values()]))
        assert empty.hub.bytes_sent == total - len(WHOLE[SHARD])
        assert empty.state(SHARD) == kept
        assert empty.whole()

    def test_a_multitalk_set_assembled_as_its_authors_describe_is_adopted(self, tmp_path: Path, volume: Path) -> None:
        """Copy the audio weights and the index into the base model's directory, keep the old index beside it."""
        base, audio = (tree(tiny_checkpoint() / name) for name in ("Wan2.1-I2V-14B-480P", "MeiGen-MultiTalk"))
        RepoBuilder(tmp_path / "hub", "Wan-AI/Wan2.1").commit(base)
        RepoBuilder(tmp_path / "hub", "MeiGen-AI/MultiTalk").commit(audio)
        for folder, files in (("wan", base), ("multitalk", audio)):
            for path, content in files.items():
                (volume / folder / path).parent.mkdir(parents=True, exist_ok=True)
                (volume / folder / path).write_bytes(content)
        os.rename(volume / "wan" / INDEX, volume / "wan" / f"{INDEX}_old")
        for name in (AUDIO, INDEX):
            shutil.copyfile(volume / "multitalk" / name, volume / "wan" / name)
        links = [{"file": name, "at": f"wan/{name}"} for name in (AUDIO, INDEX)]
        spec = manifest(
            model("wan", "Wan-AI/Wan2.1"),
            model("multitalk", "MeiGen-AI/MultiTalk", include=[AUDIO, INDEX], links=links),
        )
        with LocalHub(tmp_path / "hub") as hub, Nursery(hub.endpoint, tmp_path) as nursery:
            site = LinkedVolume(volume, hub, nursery)
            site.sync(spec)
            assert hub.bytes_sent == 0
            site.verify("--deep", code=0, spec=spec)
        assert (volume / "wan" / INDEX).read_bytes() == audio[INDEX]
        assert (volume / "wan" / f"{INDEX}_old").read_bytes() == base[INDEX]

    def test_a_model_directory_that_leads_out_of_the_volume_is_refused(
        self, empty: LinkedVolume, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (empty.volume / "base").symlink_to(outside)
        said = empty.sync(code=2).splitlines()[-1]
        assert "leads out of the volume" in said
        assert list(outside.iterdir()) == []
        assert empty.hub.bytes_sent == 0, "nothing is fetched that could not be put where it belongs"
        empty.verify(code=1)

    def test_files_that_lie_outside_the_volume_are_not_adopted(self, empty: LinkedVolume, tmp_path: Path) -> None:
        """Where the volume is mounted next, the link leads nowhere."""
        outside = tmp_path / "outside"
        outside.mkdir()
        for path, content in BASE.items():
            (outside / path).write_bytes(content)
        (empty.volume / "base").symlink_to(outside)
        empty.sync(code=2)
        empty.verify(code=1)
        assert {path.name: path.read_bytes() for path in outside.iterdir()} == BASE

    def test_a_model_directory_that_leads_elsewhere_inside_the_volume_is_fine(self, empty: LinkedVolume) -> None:
        (empty.volume / "big-disk/base").mkdir(parents=True)
        (empty.volume / "base").symlink_to("big-disk/base")
        empty.sync()
        assert {path: (empty.volume / path).read_bytes() for path in WHOLE} == WHOLE
        empty.verify("--deep", code=0)
