"""Receipts on a volume, and what one stat says of a file that a receipt names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress

from init_sync.core.content_id import checksum_in
from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.core.receipt import Receipt, ReceiptFile
from init_sync.core.spec import Model
from init_sync.volume.layout import RECEIPT, RECEIPTS, read_json, receipt_path, state_files, write_json
from init_sync.volume.links import link_problem
from init_sync.volume.timestamps import is_too_young
from init_sync.volume.volume import Volume

CURE = "Nobody can tell which files it needs: sync the cache that it belongs to, or remove it"


def load_receipt(volume: Volume, model: Model) -> Receipt | None:
    """The receipt for exactly this requirement; None when there is none or it is not valid."""
    receipt = read_receipt(volume, receipt_path(model))
    return receipt if receipt and receipt.requirement == model.requirement_digest() else None


def store_receipt(volume: Volume, model: Model, receipt: Receipt, *, keeps_time: bool = False) -> None:
    """In the place of the one before: whose that was goes on needing it.

    ``keeps_time``: it says no more of files that it does not change than before, young ones included.
    """
    path = receipt_path(model)
    before = read_receipt(volume, path)
    if (before.cache if before else "") != receipt.cache and volume.exists(path):
        from init_sync.volume.needs import note_need  # rare, and not needed on a warm start

        note_need(volume, receipt.requirement, before.cache if before else "")
    write_json(volume, path, receipt.to_json(), receipt.written_ns if keeps_time else None)


def all_receipts(volume: Volume) -> Iterator[Receipt]:
    """Every valid one, those of other manifests too; none when the directory cannot be read."""
    for path in state_files(volume, RECEIPTS):
        if receipt := read_receipt(volume, path):
            yield receipt


def receipts_by_path(volume: Volume) -> dict[str, Receipt]:
    """All of them, by the path of their own file, for those who must not miss one.

    Raises:
        NeedsChange: there is one that cannot be read, or more than any number of caches would leave.
        OSError: the directory cannot be read.
    """
    paths = [f"{RECEIPTS}/{name}" for name in volume.names(RECEIPTS) if RECEIPT.fullmatch(name)]
    seen = [path for path in state_files(volume, RECEIPTS) if RECEIPT.fullmatch(path)]
    if len(seen) < len(paths):
        raise NeedsChange(Reason.NOT_VERIFIED, f"reading receipts: {volume.at(RECEIPTS)} holds too many. {CURE}")
    found: dict[str, Receipt] = {}
    for path in paths:
        receipt = read_receipt(volume, path)
        if receipt is None:
            raise NeedsChange(Reason.NOT_VERIFIED, f"reading receipts: {volume.at(path)} is none. {CURE}")
        found[path] = receipt
    return found


def unchanged_files(volume: Volume) -> dict[str, ReceiptFile]:
    """By path, what any receipt says of files that a stat shows unchanged: a new manifest hashes none of them again."""
    return {
        file.path: file
        for receipt in all_receipts(volume)
        for file in receipt.files_with_times()
        if is_unchanged(volume, file) and not is_too_young(file.mtime_ns, receipt.written_ns)
    }


def linked_paths(volume: Volume, except_for: Collection[str]) -> frozenset[str]:
    """Where models of other manifests on this volume keep their links; ``except_for`` names directories to ignore."""
    return frozenset(
        link.at
        for receipt in all_receipts(volume)
        if receipt.path not in except_for
        for link in receipt.links
        if link_problem(volume, link) is None
    )


def as_receipt_file(path: str, content_id: str, state: os.stat_result, checksum: str = "") -> ReceiptFile:
    """``checksum``: the plain SHA-256, stored where the content id is another hash."""
    beside = "" if checksum_in(content_id) else checksum
    return ReceiptFile(path, state.st_size, state.st_mtime_ns, content_id, state.st_blocks, beside)


def is_unchanged(volume: Volume, file: ReceiptFile) -> bool:
    try:
        return not differs(file, volume.stat(file.path))
    except OSError:
        return False


def differs(file: ReceiptFile, state: os.stat_result) -> bool:
    """Whether size, time or (for a file that was hollowed out) blocks are not as recorded."""
    hollow = state.st_blocks < file.blocks // 2
    return state.st_size != file.size or state.st_mtime_ns != file.mtime_ns or hollow


def read_receipt(volume: Volume, path: str) -> Receipt | None:
    with suppress(OSError, KeyError, TypeError, AttributeError, ValueError):
        return Receipt.from_json(read_json(volume, path))._replace(written_ns=volume.lstat(path).st_mtime_ns)
    return None
