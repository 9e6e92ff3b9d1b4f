"""Receipts and pins as they are read back: what no sync writes is no receipt."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from init_sync.core.listing import Listing, RemoteFile
from init_sync.core.receipt import Receipt, ReceiptFile, ReceiptLink

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
    ],
)
def test_a_field_that_no_sync_writes_makes_it_no_receipt(where: tuple[str | int, ...], value: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        Receipt.from_json(changed(RECEIPT.to_json(), *where, value=value))


@pytest.mark.parametrize(
    ("field", "value"), [("path", ""), ("path", 3), ("size", -1), ("size", "1"), ("id", "sha256:"), ("id", "md5:00")]
)
def test_a_pin_with_a_file_that_no_hub_lists_is_no_pin(field: str, value: Any) -> None:
    assert Listing.from_json(LISTING.to_json()) == LISTING
    with pytest.raises((ValueError, TypeError)):
        Listing.from_json(changed(LISTING.to_json(), "files", 0, field, value=value))
