"""``status`` and ``verify``: what is on a volume, without network and without a trace."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub
from support.schemas import check_report
from support.sync import command, environment, manifest, model, run_command, run_sync
from support.three_models import complete, footprint


def flip(path: Path, position: int) -> None:
    """Change one byte and keep size and time, as a failing disk does."""
    state = path.stat()
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0xFF]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


class TestOfACompleteVolume:
    def test_the_table_shows_every_model_complete(self, spec: dict[str, Any], whole: Path, hub: LocalHub) -> None:
        done = run_command("status", spec, whole, env={"HF_ENDPOINT": hub.endpoint})
        assert (done.returncode, done.stderr) == (0, "")
        heading, *rows = done.lines
        assert heading.split() == [
            "MODEL",
            "COMPLETE",
            "FILES",
            "SIZE",
            "PROGRESS",
            "REVISION",
            "COMMIT",
            "VERIFIED",
            "DIGEST",
        ]
        assert [row.split()[:3] for row in rows[:3]] == [
            ["base", "yes", "3/3"],
            ["wav2vec", "yes", "2/2"],
            ["multitalk", "yes", "1/1"],
        ]
        assert "refs/pr/1" in rows[1]
        assert all("100%" in row for row in rows[:3])
        assert rows[-1].startswith("cache: complete, 3 of 3 models, 2.0 MiB of 2.0 MiB")
        assert hub.requests == []

    def test_the_json_is_the_report(self, spec: dict[str, Any], whole: Path) -> None:
        done = run_command("status", spec, whole, "--json")
        assert done.returncode == 0
        assert len(done.lines) == 1
        check_report(done.report)
        base, wav2vec, multitalk = done.report["models"]
        assert done.report["complete"]
        assert (base["filesTotal"], base["filesPresent"]) == (3, 3)
        assert base["bytesTotal"] == base["bytesPresent"] == (1 << 20) + 3 + 2
        assert wav2vec["chosen"] == {"model.safetensors": "refs/pr/1"}
        assert len(multitalk["commit"]) == 40
        assert all(each["digest"].startswith("sha256:") for each in (base, wav2vec, multitalk))
        assert done.report["bytesTotal"] == sum(each["bytesTotal"] for each in done.report["models"])

    def test_the_report_names_the_manifest_by_the_bytes_of_its_file(
        self, spec: dict[str, Any], whole: Path, hub: LocalHub, tmp_path: Path
    ) -> None:
        path = tmp_path / "manifest.yaml"
        spec["spec"]["models"][0]["displayName"] = "Modèle de base 模型"
        data = b"\xef\xbb\xbf# as an editor left it\r\n" + json.dumps(spec, ensure_ascii=False).encode()
        path.write_bytes(data)
        expected = f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert run_command("status", path, whole, "--json").report["manifest"] == expected
        assert run_sync(path, whole, hub).report["manifest"] == expected
        shutil.rmtree(whole / "base")
        hub.stop()
        assert run_sync(path, whole, hub, "--give-up-after", "1").report["manifest"] == expected

    @pytest.mark.parametrize(
        "arguments", [("status",), ("status", "--json"), ("verify",), ("verify", "--deep")], ids=str
    )
    def test_looking_leaves_no_trace(self, arguments: tuple[str, ...], spec: dict[str, Any], whole: Path) -> None:
        before = footprint(whole)
        verb, *options = arguments
        assert run_command(verb, spec, whole, *options).returncode == 0
        assert footprint(whole) == before

    def test_a_flipped_byte_is_found_by_a_deep_check_alone(self, spec: dict[str, Any], whole: Path) -> None:
        flip(whole / "base" / "weights.safetensors", 5000)
        assert run_command("verify", spec, whole).returncode == 0
        done = run_command("verify", spec, whole, "--deep")
        assert done.returncode == 1
        assert "base/weights.safetensors: ChecksumMismatch" in done.stdout

    @pytest.mark.parametrize("verb", ["status", "verify"])
    def test_what_is_wrong_is_named_below_the_table(self, verb: str, spec: dict[str, Any], whole: Path) -> None:
        (whole / "wav2vec" / "model.safetensors").unlink()
        os.truncate(whole / "base" / "weights.safetensors", 5)
        done = run_command(verb, spec, whole)
        assert done.returncode == 1
        table, below = done.stdout.split("\n\n", 1)
        assert "cache: incomplete, 1 of 3 models" in below.splitlines()[0]
        assert [row.split()[1] for row in table.splitlines()[1:]] == ["no", "no", "yes"]
        assert "base: SizeMismatch: base/weights.safetensors: 5 bytes instead of 1,048,576" in below
        assert "wav2vec: FileMissing: wav2vec/model.safetensors: missing" in below

    def test_each_kind_of_damage_has_its_reason(self, spec: dict[str, Any], whole: Path) -> None:
        (whole / "base" / "index.json").unlink()
        (whole / "wav2vec" / "config.json").write_text("[]\n")
        done = run_command("status", spec, whole, "--json")
        assert done.reasons() == {"base": None, "wav2vec": "ChecksumMismatch", "multitalk": "LinkBroken"}
        assert done.returncode == 1
        assert [each["digest"] is None for each in done.report["models"]] == [False, True, True]
        check_report(done.report)


class TestOfAnIncompleteVolume:
    @pytest.mark.parametrize("verb", ["status", "verify"])
    def test_an_empty_volume_is_incomplete_and_stays_empty(self, verb: str, spec: dict[str, Any], volume: Path) -> None:
        done = run_command(verb, spec, volume)
        assert (done.returncode, done.stderr) == (1, "")
        assert "cache: incomplete, 0 of 3 models, 0 B of 0 B" in done.stdout
        assert done.stdout.count("FileMissing") == 3
        assert list(volume.iterdir()) == []

    def test_the_json_of_an_empty_volume_is_a_report(self, spec: dict[str, Any], volume: Path) -> None:
        done = run_command("status", spec, volume, "--json")
        assert done.returncode == 1
        check_report(done.report)
        assert done.reasons() == dict.fromkeys(("base", "wav2vec", "multitalk"), "FileMissing")

    def test_files_that_nobody_verified_are_said_to_be_that(self, spec: dict[str, Any], volume: Path) -> None:
        (volume / "base").mkdir()
        (volume / "base" / "weights.safetensors").write_bytes(b"half a file")
        done = run_command("verify", spec, volume)
        assert done.returncode == 1
        assert "base: NotVerified" in done.stdout
        assert "  base/weights.safetensors: NotVerified: " in done.stdout, (
            "its own structure tells that it is not whole"
        )

    def test_after_a_sync_that_failed_totals_and_what_is_there_are_known_offline(
        self, spec: dict[str, Any], volume: Path, hub: LocalHub
    ) -> None:
        hub.add_fault(Fault("status", match=("resolve",), file="weights*", status=403, error_code="GatedRepo"))
        assert run_sync(spec, volume, hub, "--give-up-after", "1").returncode == 2
        hub.stop()
        done = run_command("status", spec, volume, "--json")
        base = done.report["models"][0]
        check_report(done.report)
        assert base["reason"] == "FileMissing"
        assert "base/weights.safetensors" in base["message"]
        assert (base["filesTotal"], base["bytesTotal"]) == (3, (1 << 20) + 3 + 2)
        assert len(base["commit"]) == 40

    def test_a_receipt_of_another_manifest_does_not_count(self, spec: dict[str, Any], whole: Path) -> None:
        spec["spec"]["models"][0]["exclude"] = ["index.json"]
        done = run_command("status", spec, whole, "--json")
        assert done.returncode == 1
        assert done.reasons() == {"base": "NotVerified", "wav2vec": None, "multitalk": None}

    def test_pickles_that_the_manifest_refuses_meanwhile_are_named(
        self, spec: dict[str, Any], volume: Path, hub: LocalHub
    ) -> None:
        del spec["spec"]["models"][1]["oneOf"][:2]
        complete(spec, volume, hub)
        spec["spec"]["allowPickles"] = False
        done = run_command("status", spec, volume, "--json")
        assert done.reasons() == {"base": None, "wav2vec": "PickleRefused", "multitalk": None}


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("arguments", [("status",), ("status", "--json"), ("verify",)], ids=str)
def test_a_reader_that_has_seen_enough_is_no_error_worth_a_traceback(
    arguments: tuple[str, ...], unbuffered: str, spec: dict[str, Any], volume: Path
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    verb, *options = arguments
    with os.fdopen(writer) as stdout:
        done = subprocess.run(
            command(verb, spec, volume, *options),
            env=environment(None, {"PYTHONUNBUFFERED": unbuffered}),
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
        )
    assert done.stderr == ""
    assert done.returncode == 1


def test_an_index_that_is_linked_to_its_shards_is_judged_there_and_not_where_it_lies_alone(volume: Path) -> None:
    """MultiTalk's index names the base model's shards; in its own directory none of them is beside it."""
    index = json.dumps({"weight_map": {"a": "shard.safetensors"}}).encode()
    (volume / "addon").mkdir()
    (volume / "addon" / "x.index.json").write_bytes(index)
    addon = model("addon", "owner/addon")
    link = {"file": "x.index.json", "at": "base/x.index.json"}

    alone = run_command("verify", manifest(addon), volume)
    linked = run_command("verify", manifest({**addon, "links": [link]}), volume)

    assert "it names shard.safetensors, which is not there" in alone.stdout
    assert "which is not there" not in linked.stdout
