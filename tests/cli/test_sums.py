"""``sums``: the SHA256SUMS text of each model, from receipts, which sha256sum can check and turn into the digest."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.hub import LocalHub, RepoBuilder
from support.linked_volume import keeping_mtime, zero
from support.release_0_1_0 import downgrade
from support.sync import command, environment, manifest, model, run_command, run_sync
from support.three_models import footprint

GNU = "cd {model} && sha256sum {files} | LC_ALL=C sort -k2 | sha256sum"
ODD = ("größe [v2].safetensors", " leading", "a b", "a.b", "a/b", "\u202eevil", "#x", "*")


def printed(spec: dict[str, Any], volume: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    line = command("sums", spec, volume, *arguments)
    return subprocess.run(line, env=environment(None, env), capture_output=True, timeout=60)


def digests(spec: dict[str, Any], volume: Path) -> dict[str, str]:
    return {each["name"]: each["digest"] for each in run_command("status", spec, volume, "--json").report["models"]}


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("base", "config.json weights.safetensors"),
        ("wav2vec", "config.json model.safetensors"),
        ("multitalk", "index.json"),
    ],
)
def test_the_documented_command_makes_the_digest(name: str, files: str, spec: dict[str, Any], whole: Path) -> None:
    made = subprocess.check_output(["sh", "-c", GNU.format(model=name, files=files)], cwd=whole, text=True)
    assert digests(spec, whole)[name] == f"sha256:{made.split()[0]}"


@pytest.mark.parametrize("name", ["base", "wav2vec", "multitalk"])
def test_the_text_of_one_model_is_what_the_digest_is_of(name: str, spec: dict[str, Any], whole: Path) -> None:
    done = printed(spec, whole, "--model", name)
    assert (done.returncode, done.stderr) == (0, b"")
    assert digests(spec, whole)[name] == f"sha256:{hashlib.sha256(done.stdout).hexdigest()}"


def test_each_of_several_models_is_headed_by_its_name_and_path(spec: dict[str, Any], whole: Path) -> None:
    blocks = printed(spec, whole).stdout.decode().split("# ")
    assert blocks[0] == ""
    assert [block.splitlines()[0] for block in blocks[1:]] == [
        "base  base",
        "wav2vec  wav2vec",
        "multitalk  multitalk",
    ]
    assert [block.split("\n", 1)[1].encode() for block in blocks[1:]] == [
        printed(spec, whole, "--model", name).stdout for name in ("base", "wav2vec", "multitalk")
    ]


def test_sha256sum_checks_a_block_heading_and_all(spec: dict[str, Any], whole: Path) -> None:
    text = printed(spec, whole).stdout.split(b"# wav2vec")[0]
    done = subprocess.run(["sha256sum", "--check", "--strict"], cwd=whole / "base", input=text, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"config.json: OK\nweights.safetensors: OK\n"


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"}], ids=str)
def test_odd_names_are_printed_byte_for_byte_in_any_locale(
    locale: dict[str, str], volume: Path, hub: LocalHub, tmp_path: Path
) -> None:
    RepoBuilder(tmp_path / "hub", "owner/odd").commit({name: name.encode() for name in ODD})
    spec = manifest(model("odd", "owner/odd"))
    digest = run_sync(spec, volume, hub).report["models"][0]["digest"]
    done = printed(spec, volume, **locale)
    assert done.stderr == b""
    assert digest == f"sha256:{hashlib.sha256(done.stdout).hexdigest()}"
    script = 'cd odd && sha256sum -- "$@" | LC_ALL=C sort -k2'
    assert done.stdout == subprocess.check_output(["sh", "-c", script, "sh", *ODD], cwd=volume)


def test_it_leaves_no_trace(spec: dict[str, Any], whole: Path) -> None:
    before = footprint(whole)
    assert printed(spec, whole).returncode == 0
    assert footprint(whole) == before


def test_it_says_what_was_verified_and_hashes_nothing(spec: dict[str, Any], whole: Path) -> None:
    text = printed(spec, whole).stdout
    keeping_mtime(zero)(whole / "base/weights.safetensors")
    assert printed(spec, whole).stdout == text


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "base/config.json changed"),
        (lambda path: path.write_bytes(b"{\n}"), "base/config.json changed"),
        (os.utime, "base/config.json changed"),
    ],
    ids=["removed", "changed", "only touched"],
)
def test_a_model_that_may_have_changed_is_not_printed(
    damage: Any, words: str, spec: dict[str, Any], whole: Path
) -> None:
    damage(whole / "base/config.json")
    done = printed(spec, whole)
    assert done.returncode == 1
    assert b"# base" not in done.stdout
    assert b"# wav2vec" in done.stdout
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"init-sync: base is not complete: {words}")


def test_a_link_that_is_gone_counts_as_a_change(spec: dict[str, Any], whole: Path) -> None:
    (whole / "base/index.json").unlink()
    done = printed(spec, whole, "--model", "multitalk")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"base/index.json changed" in done.stderr


def test_an_empty_volume_has_none(spec: dict[str, Any], volume: Path) -> None:
    done = printed(spec, volume)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.count(b"it has no receipt. Run sync") == 3


def test_receipts_of_0_1_0_tell_none_until_the_next_sync(spec: dict[str, Any], whole: Path) -> None:
    downgrade(whole)
    done = printed(spec, whole)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.count(b"receipt of version 0.1.0") == 3


def test_a_model_with_another_digest_than_its_anchor_is_printed_and_called_incomplete(
    spec: dict[str, Any], whole: Path
) -> None:
    text = printed(spec, whole, "--model", "base").stdout
    spec["spec"]["models"][0]["digest"] = f"sha256:{'0' * 64}"
    done = printed(spec, whole, "--model", "base")
    assert (done.returncode, done.stdout) == (1, text)
    assert b"base is not complete: DigestMismatch: " in done.stderr


def test_a_model_that_the_manifest_does_not_have_is_refused_with_those_it_has(
    spec: dict[str, Any], whole: Path
) -> None:
    done = printed(spec, whole, "--model", "wave")
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"--model wave: the manifest has no such model. It has base, wav2vec, multitalk" in done.stderr


def test_a_volume_that_is_not_there_is_refused(spec: dict[str, Any], tmp_path: Path) -> None:
    done = printed(spec, tmp_path / "nowhere")
    assert done.returncode == 2
    assert b"does not exist" in done.stderr
