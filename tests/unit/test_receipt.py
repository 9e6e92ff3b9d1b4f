"""Receipts and pins as they are read back: what no sync writes is no receipt."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from init_sync.core.digest import digest_of
from init_sync.core.listing import Listing, RemoteFile
from init_sync.core.receipt import DAMAGED_NS, Damage, Receipt, ReceiptFile, ReceiptLink

RECEIPT = Receipt(
    model="wav2vec",
    path="chinese-wav2vec2-base",
    repo="TencentGameMate/chinese-wav2vec2-base",
    revision="main",
    requirement="ab" * 32,
    commits={"main": "39" * 20, "refs/pr/1": "77" * 20},
    chosen={"größe\u00a0[v2].safetensors": "refs/pr/1"},
    files=(ReceiptFile("w/größe\u00a0[v2].safetensors", 5, 1, f"sha256:{'0' * 64}", 8),),
    links=(ReceiptLink("x/a", "w/a", "symlink", 0, "../w/a"),),
    verified_at="2026-11-23T01:02:03Z",
    warning="a.index.json names b.safetensors, which the model does not take",
)
CHECKSUM = "ab" * 32
COMPLETE = RECEIPT._replace(
    path="w",
    files=(
        ReceiptFile("w/a.json", 5, 1, f"git-sha1:{'0' * 40}", 8, CHECKSUM),
        ReceiptFile("w/a.json_old", 5, 1, f"git-sha1:{'1' * 40}", 8, "cd" * 32),
        ReceiptFile("w/b.safetensors", 5, 1, f"sha256:{'0' * 64}", 8),
    ),
    replaced=("w/a.json_old",),
).with_digest()
LISTING = Listing("o/r", "main", "c1", (RemoteFile("a", 1, f"git-sha1:{'0' * 40}"),))


def changed(data: dict[str, Any], *path: str | int, value: Any) -> dict[str, Any]:
    made = copy.deepcopy(data)
    place: Any = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return made


def test_a_receipt_is_read_back_as_it_was_written_whatever_names_a_manifest_allows() -> None:
    assert Receipt.from_json(RECEIPT.to_json()) == RECEIPT


def test_a_receipt_of_the_first_version_has_no_warning() -> None:
    data = RECEIPT._replace(warning="").to_json()
    assert "warning" not in data
    assert Receipt.from_json(data).warning == ""


@pytest.mark.parametrize(
    "value", ["../../etc/passwd", "/etc/passwd", "a//b", ".modelcache/x", "a\nb", "", 7, None, "a\\b"]
)
@pytest.mark.parametrize("where", [("path",), ("files", 0, "path"), ("links", 0, "at"), ("links", 0, "target")])
def test_a_path_that_no_manifest_may_have_makes_it_no_receipt(where: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Receipt.from_json(changed(RECEIPT.to_json(), *where, value=value))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("files", 0, "size"), -1),
        (("files", 0, "size"), "5"),
        (("files", 0, "size"), True),
        (("files", 0, "blocks"), -1),
        (("files", 0, "id"), "md5:00"),
        (("files", 0, "id"), "sha256:"),
        (("files", 0, "id"), "sha256:../x"),
        (("commits", "main"), "\x1b[2J"),
        (("verifiedAt",), "2026\nAll models complete"),
        (("repo",), "x" * 5000),
        (("revision",), "unknown"),
        (("files",), []),
        (("format",), 2),
        (("cache",), "two\nlines"),
        (("cache",), ["a"]),
        (("files", 0, "verifiedAt"), 7),
        (("files", 0, "damage"), {"kind": "worn", "mtimeNs": 1}),
        (("files", 0, "damage"), {"kind": "content"}),
        (("files", 0, "damage"), "content"),
    ],
)
def test_a_field_that_no_sync_writes_makes_it_no_receipt(where: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Receipt.from_json(changed(RECEIPT.to_json(), *where, value=value))


def test_times_and_damage_of_files_are_read_back_and_the_oldest_time_is_that_of_the_receipt() -> None:
    small, beside, large = COMPLETE.files
    damaged = large._replace(mtime_ns=DAMAGED_NS, damage=Damage("unreadable", 1), verified_at="2026-11-20T00:00:00Z")
    later = small._replace(verified_at="2026-11-25T00:00:00Z")
    receipt = COMPLETE._replace(files=(later, beside, damaged), cache="multitalk").with_oldest_time()
    assert receipt.verified_at == "2026-11-20T00:00:00Z"
    assert [file.verified_at for file in receipt.files] == [later.verified_at, COMPLETE.verified_at, ""]
    assert Receipt.from_json(receipt.to_json()) == receipt
    assert receipt.with_digest().digest == COMPLETE.digest, "what was verified is the same"


def test_a_receipt_with_a_digest_is_read_back_as_it_was_written() -> None:
    assert COMPLETE.digest.startswith("sha256:")
    assert Receipt.from_json(COMPLETE.to_json()) == COMPLETE


def test_the_digest_is_of_files_that_are_not_beside_a_link_by_their_paths_in_the_model() -> None:
    assert COMPLETE.checksums() == {"a.json": CHECKSUM, "b.safetensors": "0" * 64}
    assert COMPLETE.digest == digest_of({"a.json": CHECKSUM, "b.safetensors": "0" * 64})


def test_only_files_that_the_hub_names_otherwise_have_their_sha256_beside_it() -> None:
    assert [each.get("sha256") for each in COMPLETE.to_json()["files"]] == [CHECKSUM, "cd" * 32, None]


@pytest.mark.parametrize(
    "files",
    [
        (COMPLETE.files[0]._replace(sha256=""),),
        (ReceiptFile("w/a", 5, 1, "sha256:00", 8),),
        (ReceiptFile("w/a", 5, 1, f"sha256:{'AB' * 32}", 8),),
        (ReceiptFile("elsewhere/a", 5, 1, f"sha256:{'0' * 64}", 8),),
    ],
    ids=["not known", "too short", "upper case", "a file outside of the model"],
)
def test_without_the_sha256_of_every_file_of_the_model_there_is_no_digest(files: tuple[ReceiptFile, ...]) -> None:
    assert COMPLETE._replace(files=files, replaced=()).with_digest().digest == ""


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("digest",), f"sha256:{'0' * 64}"),
        (("digest",), COMPLETE.digest.upper()),
        (("digest",), 7),
        (("digest",), None),
        (("digest",), "x" * 5000),
        (("files", 0, "sha256"), "0" * 64),
        (("files", 0, "sha256"), "AB" * 32),
        (("files", 0, "sha256"), "ab"),
        (("files", 0, "sha256"), f"{CHECKSUM[:-1]}\n"),
        (("files", 0, "sha256"), None),
        (("files", 0, "sha256"), ["ab" * 32]),
        (("files", 0, "path"), "w/renamed.json"),
        (("files", 2, "id"), f"sha256:{'1' * 64}"),
        (("replaced",), []),
        (("replaced",), ["w/a.json"]),
        (("replaced",), ["../x"]),
        (("replaced",), 7),
    ],
)
def test_a_digest_that_is_not_that_of_the_files_makes_it_no_receipt(where: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Receipt.from_json(changed(COMPLETE.to_json(), *where, value=value))


@pytest.mark.parametrize("value", ["x", "AB" * 32, 7, None, {}])
def test_a_sha256_that_no_sync_writes_makes_it_no_receipt_without_a_digest_too(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        Receipt.from_json(changed(RECEIPT.to_json(), "files", 0, "sha256", value=value))


@pytest.mark.parametrize(
    ("field", "value"), [("path", ""), ("path", 3), ("size", -1), ("size", "1"), ("id", "sha256:"), ("id", "md5:00")]
)
def test_a_pin_with_a_file_that_no_hub_lists_is_no_pin(field: str, value: Any) -> None:
    assert Listing.from_json(LISTING.to_json()) == LISTING
    with pytest.raises((ValueError, TypeError)):
        Listing.from_json(changed(LISTING.to_json(), "files", 0, field, value=value))
