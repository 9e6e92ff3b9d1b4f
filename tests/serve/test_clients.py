"""Real clients: the hub's own, curl, and another init-sync. What they get is compared byte for byte."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serve.conftest import NESTED, Origin
from support.hub import LocalHub, RepoBuilder
from support.peer import Peer, peer
from support.sync import environment, manifest, model, run_sync, tree
from support.waiting import eventually

HF = Path(sys.executable).parent / "hf"
HELD = {name: data for name, data in NESTED.items() if not name.startswith("notes/")}
PATHS = "[f.path for f in HfApi().list_repo_tree('owner/nested', recursive=True)]"


def client(served: Peer, folder: Path, *command: str, **env: str) -> str:
    home = {"HF_HOME": str(folder / "home"), "HF_ENDPOINT": served.endpoint}
    done = subprocess.run(
        command, env=environment(None, {**home, **env}), capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def without_cache(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in tree(folder).items() if not name.startswith(".cache/")}


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--exclude", "notes/*"], list(HELD)),
        (["--include", "*.safetensors", "--include", "*.json"], ["config.json", "unet/weights.safetensors"]),
        (["unet/weights.safetensors"], ["unet/weights.safetensors"]),
    ],
    ids=["all that is held", "patterns", "one file"],
)
def test_hf_download_has_every_byte(arguments: list[str], names: list[str], served: Peer, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    client(served, tmp_path, str(HF), "download", "owner/nested", *arguments, "--local-dir", str(folder), "--quiet")
    assert without_cache(folder) == {name: NESTED[name] for name in names}


def test_hf_download_of_a_whole_repository(served: Peer, tmp_path: Path) -> None:
    client(served, tmp_path, str(HF), "download", "owner/multitalk", "--local-dir", str(tmp_path / "f"), "--quiet")
    assert without_cache(tmp_path / "f") == {"index.json": b'{"more": 1}'}


def test_hf_download_of_what_is_not_held_fails_and_names_it(served: Peer, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"notes/not-held\.md"):
        client(served, tmp_path, str(HF), "download", "owner/nested", "--quiet")


def test_the_library_lists_and_downloads_a_pinned_pull_request(served: Peer, tmp_path: Path) -> None:
    script = (
        "import sys; from huggingface_hub import HfApi, HfFileSystem, snapshot_download\n"
        f"print(sorted({PATHS}))\n"
        "print(HfApi().get_paths_info('owner/nested', ['unet/weights.safetensors'])[0].lfs.size)\n"
        "print(sorted(HfFileSystem().find('owner/nested/unet')))\n"
        "snapshot_download('owner/wav2vec', revision='refs/pr/1', allow_patterns='model*', local_dir=sys.argv[1])\n"
    )
    folder = tmp_path / "folder"
    paths, size, found = client(served, tmp_path, sys.executable, "-c", script, str(folder)).splitlines()
    folders = ["notes", "unet", "unet/deep"]
    assert paths == str(sorted([*NESTED, *folders]))
    assert size == str(len(NESTED["unet/weights.safetensors"]))
    assert found == str([f"owner/nested/{name}" for name in sorted(HELD) if name.startswith("unet/")])
    assert list(without_cache(folder)) == ["model.safetensors"]


def test_the_library_sends_its_token(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("of-the-peer")
    with peer(whole, tmp_path / "token") as served:
        client(served, tmp_path, str(HF), "download", "owner/multitalk", "--quiet", HF_TOKEN="of-the-peer")
        with pytest.raises(AssertionError, match="401"):
            client(served, tmp_path, str(HF), "download", "owner/base", "--quiet", HF_TOKEN="another")


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_continues_a_file(served: Peer, tmp_path: Path) -> None:
    data = NESTED["unet/weights.safetensors"]
    part = tmp_path / "part"
    part.write_bytes(data[:1000])
    url = f"{served.endpoint}/owner/nested/resolve/main/unet/weights.safetensors"
    client(served, tmp_path, "curl", "--fail", "--silent", "--show-error", "-C", "-", "-o", str(part), url)
    assert part.read_bytes() == data


def test_another_init_sync_becomes_complete_with_the_same_commits(origin: Origin, served: Peer, volume: Path) -> None:
    done = run_sync(origin.spec, volume, None, env={"HF_ENDPOINT": served.endpoint})
    assert done.returncode == 0, done.stderr
    assert tree(volume) == tree(origin.volume)
    commits = {each["name"]: each["commit"] for each in done.report["models"]}
    assert commits == {each["repo"].removeprefix("owner/"): each["commit"] for each in pins(origin.volume)}


def pins(volume: Path) -> list[Any]:
    found = [json.loads(path.read_text()) for path in (volume / ".modelcache" / "pins").iterdir()]
    return [each for each in found if each["revision"] == "main"]


def test_another_init_sync_is_told_which_file_is_not_held(served: Peer, volume: Path) -> None:
    spec = manifest(model("notes", "owner/nested", include=["notes/"]))
    done = run_sync(spec, volume, None, env={"HF_ENDPOINT": served.endpoint})
    assert (done.returncode, done.reasons()) == (2, {"notes": "FileNotFound"})
    assert "not held by this peer" in done.stderr


def test_a_sync_beside_the_server_moves_what_it_offers(hub: LocalHub, volume: Path, tmp_path: Path) -> None:
    repo, spec = RepoBuilder(tmp_path / "hub", "owner/moving"), manifest(model("m", "owner/moving"))
    before = repo.commit({"a.txt": b"one"})
    assert run_sync(spec, volume, hub).returncode == 0
    with peer(volume) as served:
        assert served.ask("/owner/moving/resolve/main/a.txt").body == b"one"
        repo.commit({"a.txt": b"two"})
        assert run_sync(spec, volume, hub, "--refresh").returncode == 0
        body = eventually(
            lambda: served.ask("/owner/moving/resolve/main/a.txt"), "200", wanted=lambda got: got.status == 200
        ).body
        assert body == b"two"
        assert served.ask(f"/owner/moving/resolve/{before}/a.txt").headers["x-error-code"] == "RevisionNotFound"
