"""The real client against the hub: whatever the hub serves, ``hf download`` fetches, byte for byte."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from support.checkpoint import tiny_checkpoint
from support.hub import Fault, LocalHub, RepoBuilder
from support.hub.models import BASE, WAV2VEC, build_multitalk
from support.hub.store import Store

from .sample import CONFIG, REPO, WEIGHTS

Download = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def download(tmp_path: Path) -> Download:
    """Run ``hf download`` with a home of its own."""

    def run(hub: LocalHub, *arguments: str, token: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            **({"HF_TOKEN": token} if token else {}),
        }
        command = [str(Path(sys.executable).with_name("hf")), "download", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run


def fetch(hub: LocalHub, target: Path, repo: str = REPO, revision: str = "main", token: str | None = None) -> None:
    cache = target.with_name("cache")
    snapshot_download(
        repo, revision=revision, local_dir=target, cache_dir=cache, endpoint=hub.endpoint, token=token or False
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Files by name, without the client's own bookkeeping."""
    files = (path for path in folder.rglob("*") if path.is_file() and ".cache" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(("name", "ref"), [(BASE, "main"), (WAV2VEC, "refs/pr/1")])
def test_hf_download_fetches_a_whole_repository(
    root: Path, tmp_path: Path, download: Download, name: str, ref: str
) -> None:
    build_multitalk(root, tiny_checkpoint())
    repository = Store(root).repository(name)
    assert repository is not None
    snapshot = repository.snapshot(ref)
    with LocalHub(root, page_size=5) as hub:
        result = download(hub, name, "--revision", ref, "--local-dir", str(tmp_path / "fetched"))
        assert result.returncode == 0, result.stderr
        assert not hub.leaked_authorization
    assert contents(tmp_path / "fetched") == {path: (snapshot.folder / path).read_bytes() for path in snapshot.entries}


def test_hf_download_sends_its_token_to_the_first_origin_only(
    hub: LocalHub, repo: RepoBuilder, tmp_path: Path, download: Download
) -> None:
    repo.gate("hf_good")
    result = download(hub, REPO, "--local-dir", str(tmp_path / "fetched"), token="hf_good")
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "fetched") == {"config.json": CONFIG, "weights.safetensors": WEIGHTS}
    assert hub.count("blob") == 1
    assert not hub.leaked_authorization


def test_snapshot_download_takes_a_pull_request(hub: LocalHub, repo: RepoBuilder, tmp_path: Path) -> None:
    repo.commit({"model.safetensors": b"from the pull request"}, ref="refs/pr/1", base="main")
    fetch(hub, tmp_path / "fetched", revision="refs/pr/1")
    assert contents(tmp_path / "fetched")["model.safetensors"] == b"from the pull request"


def test_snapshot_download_takes_an_old_commit_and_a_tag(hub: LocalHub, repo: RepoBuilder, tmp_path: Path) -> None:
    old = repo.commit({"a.txt": b"old"}, ref="refs/tags/v1")
    repo.commit({"a.txt": b"new"})
    for revision in (old, "v1"):
        fetch(hub, tmp_path / revision, revision=revision)
        assert contents(tmp_path / revision) == {"a.txt": b"old"}


def test_the_client_follows_the_pages_of_a_tree(root: Path) -> None:
    names = [f"{number:03}.txt" for number in range(120)]
    RepoBuilder(root, REPO).commit(dict.fromkeys(names, b""))
    with LocalHub(root, page_size=25) as hub:
        found = HfApi(hub.endpoint, token=False).list_repo_tree(REPO, recursive=True)
        assert [entry.path for entry in found] == names
        assert hub.count("tree") == 5


def test_a_gated_repository_raises_the_clients_own_error(hub: LocalHub, repo: RepoBuilder, tmp_path: Path) -> None:
    repo.gate("hf_good")
    with pytest.raises(GatedRepoError):
        fetch(hub, tmp_path / "fetched")


def test_a_token_without_access_raises_the_clients_own_error(
    hub: LocalHub, repo: RepoBuilder, root: Path, tmp_path: Path
) -> None:
    repo.gate("hf_good")
    RepoBuilder(root, "other/model").gate("hf_other")
    with pytest.raises(GatedRepoError):
        fetch(hub, tmp_path / "fetched", token="hf_other")


@pytest.mark.parametrize(
    ("repo_name", "revision", "error"),
    [("owner/missing", "main", RepositoryNotFoundError), (REPO, "nowhere", RevisionNotFoundError)],
)
def test_what_is_missing_raises_the_clients_own_error(
    hub: LocalHub, tmp_path: Path, repo_name: str, revision: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        fetch(hub, tmp_path / "fetched", repo_name, revision)


def test_a_missing_file_raises_the_clients_own_error(hub: LocalHub, tmp_path: Path) -> None:
    with pytest.raises(EntryNotFoundError):
        HfApi(hub.endpoint, token=False).hf_hub_download(REPO, "nowhere.txt", local_dir=tmp_path / "fetched")


def test_hf_download_continues_after_a_dropped_body(hub: LocalHub, tmp_path: Path, download: Download) -> None:
    hub.add_fault(Fault("drop_fin", match=("blob",), after_bytes=100_000, times=1))
    result = download(hub, REPO, "--local-dir", str(tmp_path / "fetched"))
    assert result.returncode == 0, result.stderr
    assert contents(tmp_path / "fetched")["weights.safetensors"] == WEIGHTS
    assert hub.count("blob") == 2
