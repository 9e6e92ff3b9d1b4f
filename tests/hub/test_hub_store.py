"""The folder behind the hub: commits, refs, hashes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from support.hub import RepoBuilder, RevisionNotFoundError
from support.hub.builder import git_blob_id
from support.hub.store import Snapshot, Store


def listed(root: Path, revision: str = "main", name: str = "owner/model") -> Snapshot:
    repository = Store(root).repository(name)
    assert repository is not None
    return repository.snapshot(revision)


def test_a_small_file_is_known_by_its_git_blob_id(root: Path) -> None:
    RepoBuilder(root, "owner/model").commit({"a.txt": b"hello\n"})
    entry = listed(root).entries["a.txt"]
    assert (entry.blob_id, entry.sha256) == ("ce013625030ba8dba906f756967f9e9ca394464a", None)


def test_a_large_file_is_known_by_its_sha256_and_its_pointer(root: Path) -> None:
    RepoBuilder(root, "owner/model").commit({"a.bin": b"weights"})
    entry = listed(root).entries["a.bin"]
    sha256 = hashlib.sha256(b"weights").hexdigest()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 7\n".encode()
    assert (entry.sha256, entry.blob_id) == (sha256, git_blob_id(pointer))


@pytest.mark.parametrize(
    ("path", "size", "in_lfs"),
    [("a.txt", 10 << 20, False), ("a.txt", (10 << 20) + 1, True), ("x/b.tok", 1, True), ("b.token", 1, False)],
    ids=["small", "large", "named", "not named"],
)
def test_size_and_name_decide_what_is_in_lfs(root: Path, path: str, size: int, in_lfs: bool) -> None:
    builder = RepoBuilder(root, "owner/model").configure(lfs_globs=("*.tok",))
    builder.commit({path: bytes(size)})
    assert (listed(root).entries[path].sha256 is not None) == in_lfs


def test_the_same_content_makes_the_same_commit(root: Path, tmp_path: Path) -> None:
    files = {"a.txt": b"a", "b/c.bin": b"c"}
    first = RepoBuilder(root, "owner/model").commit(files)
    assert RepoBuilder(tmp_path / "other", "somebody/else").commit(dict(reversed(files.items()))) == first
    assert RepoBuilder(root, "owner/model").commit({**files, "a.txt": b"b"}) != first


def test_a_branch_moves_and_the_old_commit_stays(root: Path) -> None:
    builder = RepoBuilder(root, "owner/model")
    old = builder.commit({"a.txt": b"1", "b.txt": b"kept", "c.txt": b"kept too"})
    new = builder.commit({"a.txt": b"2"}, base="main")
    assert listed(root).commit == new
    assert sorted(listed(root, new).entries) == ["a.txt", "b.txt", "c.txt"]
    assert (listed(root, old).folder / "a.txt").read_bytes() == b"1"
    assert (listed(root, old).folder / "b.txt").samefile(listed(root, new).folder / "b.txt")


def test_a_deleted_commit_is_gone_with_its_refs(root: Path) -> None:
    builder = RepoBuilder(root, "owner/model")
    old = builder.commit({"a.txt": b"1"})
    builder.commit({"a.txt": b"1"}, ref="refs/tags/v1")
    new = builder.commit({"a.txt": b"2"})
    builder.delete_commit(old)
    assert listed(root).commit == new
    for revision in (old, "v1"):
        with pytest.raises(RevisionNotFoundError):
            listed(root, revision)


def test_a_commit_copies_the_file_it_is_given(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(b"first")
    builder = RepoBuilder(root, "owner/model")
    commit = builder.commit({"a.bin": source})
    source.write_bytes(b"later")
    assert (listed(root, commit).folder / "a.bin").read_bytes() == b"first"


def test_a_file_system_without_hard_links_gets_copies(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    builder = RepoBuilder(root, "owner/model")
    builder.commit({"a.txt": b"kept"})
    new = builder.commit({"b.txt": b""}, base="main")
    assert (listed(root, new).folder / "a.txt").read_bytes() == b"kept"


@pytest.mark.parametrize("path", ["../a", "/a", "a/../../b", ""])
def test_a_commit_refuses_paths_that_leave_the_repository(root: Path, path: str) -> None:
    with pytest.raises(ValueError, match="stay inside the repository"):
        RepoBuilder(root, "owner/model").commit({path: b""})


@pytest.mark.parametrize("name", ["model", "a/b/c", "../x", "owner/.hidden"])
def test_a_repository_name_has_an_owner_and_a_name(root: Path, name: str) -> None:
    with pytest.raises(ValueError, match="must be owner/name"):
        RepoBuilder(root, name)


def test_a_sparse_file_takes_no_space_and_has_the_hash_of_zeros(root: Path) -> None:
    size = 3 * 1024 * 1024 + 17
    RepoBuilder(root, "owner/model").sparse("big.bin", size)
    snapshot = listed(root)
    entry = snapshot.entries["big.bin"]
    assert entry.sha256 == hashlib.sha256(bytes(size)).hexdigest()
    assert entry.size == size
    assert (snapshot.folder / "big.bin").stat().st_blocks * 512 < 64 * 1024


def test_a_sparse_file_joins_what_the_branch_has(root: Path) -> None:
    builder = RepoBuilder(root, "owner/model")
    builder.commit({"a.txt": b"a"})
    builder.sparse("b.bin", 10)
    assert sorted(listed(root).entries) == ["a.txt", "b.bin"]


def test_a_huge_sparse_file_with_a_given_hash_is_never_read(root: Path) -> None:
    builder = RepoBuilder(root, "owner/model")
    builder.sparse_files({f"{number}.bin": 1 << 40 for number in range(3)}, sha256="ab" * 32)
    assert {entry.sha256 for entry in listed(root).entries.values()} == {"ab" * 32}
