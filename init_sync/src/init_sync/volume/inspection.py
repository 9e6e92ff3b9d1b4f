"""Comparing a receipt with the volume: one stat for each file, and its hash only where the stat leaves a doubt."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from init_sync.core.reasons import Reason
from init_sync.core.receipt import Receipt, ReceiptFile, ReceiptLink
from init_sync.core.spec import Model
from init_sync.volume.contents import OnBytes, file_matches
from init_sync.volume.layout import Volume, read_json
from init_sync.volume.links import COPY, link_problem
from init_sync.volume.timestamps import is_too_young


class Finding(NamedTuple):
    """One thing that is not as the receipt says."""

    path: str
    reason: Reason
    message: str


class Inspection(NamedTuple):
    """A receipt held against the volume."""

    receipt: Receipt
    """With the present times of files that were touched but are still right."""
    findings: tuple[Finding, ...]
    touched: bool
    """Whether the receipt must be written again: a time differs, or was too young to be trusted."""

    @property
    def whole(self) -> frozenset[str]:
        """Paths of the files that are as they should be."""
        damaged = {finding.path for finding in self.findings}
        return frozenset(file.path for file in self.receipt.files if file.path not in damaged)


def load_receipt(volume: Volume, model: Model) -> Receipt | None:
    """The receipt for exactly this requirement; None when there is none or it cannot be read."""
    receipt = _read_receipt(volume.receipt(model))
    return receipt if receipt and receipt.requirement == model.digest() else None


def verified_files(volume: Volume) -> dict[str, ReceiptFile]:
    """What any receipt on the volume says about files, by path: a changed manifest need not re-hash what it kept."""
    return {
        file.path: file
        for receipt in _receipts(volume)
        for file in receipt.files
        if is_unchanged(volume, file) and not is_too_young(file.mtime_ns, receipt.written_ns)
    }


def linked_places(volume: Volume, except_for: Collection[str]) -> frozenset[str]:
    """Where models of other manifests on this volume keep their links; ``except_for`` names directories to ignore."""
    return frozenset(
        link.at
        for receipt in _receipts(volume)
        if receipt.path not in except_for
        for link in receipt.links
        if link_problem(volume, link) is None
    )


def _receipts(volume: Volume) -> Iterator[Receipt]:
    directory = f"{volume.state}/receipts"
    for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
        if receipt := _read_receipt(f"{directory}/{name}"):
            yield receipt


def _read_receipt(path: str) -> Receipt | None:
    with suppress(OSError, KeyError, TypeError, AttributeError, ValueError):
        return Receipt.from_json(read_json(path))._replace(written_ns=os.stat(path).st_mtime_ns)
    return None


def is_unchanged(volume: Volume, file: ReceiptFile) -> bool:
    try:
        state = os.stat(volume.at(file.path))
    except OSError:
        return False
    return not differs(file, state)


def is_intact(volume: Volume, receipt: Receipt) -> bool:
    """Whether nothing looks different from what the receipt says; by stat alone."""
    return all(is_unchanged(volume, file) for file in receipt.files) and not any(_inspect_links(volume, receipt))


def inspect(
    volume: Volume,
    receipt: Receipt,
    *,
    deep: bool = False,
    on_bytes: OnBytes = None,
    stop: threading.Event | None = None,
) -> Inspection:
    """Look at every file and link of a receipt; ``deep`` re-hashes all files, whatever their stat says."""
    findings: list[Finding] = []
    files: list[ReceiptFile] = []
    young = _too_young(receipt)
    for file in receipt.files:
        found = _inspect_file(volume, file, deep or file.path in young, on_bytes, stop)
        if isinstance(found, Finding):
            findings.append(found)
            files.append(file)
        else:
            files.append(found)
    findings += _inspect_links(volume, receipt)
    copies = [link for link in receipt.links if link.kind == COPY and (deep or link.at in young)]
    findings += _inspect_copies(volume, receipt, copies, on_bytes, stop)
    current = receipt._replace(files=tuple(files))
    return Inspection(current, tuple(findings), touched=bool(young) or current.files != receipt.files)


def _too_young(receipt: Receipt) -> set[str]:
    """Files, and copies that stand for links, that may have changed after the receipt without showing it."""
    times = [(file.path, file.mtime_ns) for file in receipt.files]
    times += [(link.at, link.mtime_ns) for link in receipt.links if link.kind == COPY]
    return {path for path, mtime_ns in times if is_too_young(mtime_ns, receipt.written_ns)}


def as_receipt_file(path: str, content_id: str, state: os.stat_result) -> ReceiptFile:
    return ReceiptFile(path, state.st_size, state.st_mtime_ns, content_id, state.st_blocks)


def _inspect_file(
    volume: Volume,
    file: ReceiptFile,
    deep: bool,
    on_bytes: OnBytes,
    stop: threading.Event | None,
) -> ReceiptFile | Finding:
    place = volume.at(file.path)
    try:
        state = os.stat(place)
        if state.st_size != file.size:
            return Finding(file.path, Reason.SIZE_MISMATCH, f"{state.st_size:,} bytes instead of {file.size:,}")
        if not deep and not differs(file, state):
            return file
        if file_matches(place, file.content_id, file.size, on_bytes, stop):
            return as_receipt_file(file.path, file.content_id, state)
    except FileNotFoundError:
        return Finding(file.path, Reason.FILE_MISSING, "missing")
    except OSError as error:
        return Finding(file.path, Reason.FILE_MISSING, f"cannot be read: {error.strerror}")
    return Finding(file.path, Reason.CHECKSUM_MISMATCH, "its content is not what was verified")


def _inspect_links(volume: Volume, receipt: Receipt) -> Iterable[Finding]:
    for link in receipt.links:
        problem = link_problem(volume, link)
        if problem:
            yield Finding(link.at, Reason.LINK_BROKEN, problem)


def _inspect_copies(
    volume: Volume, receipt: Receipt, copies: list[ReceiptLink], on_bytes: OnBytes, stop: threading.Event | None
) -> Iterable[Finding]:
    files = {file.path: file for file in receipt.files}
    for link in copies:
        target = files.get(link.target)
        try:
            right = target and file_matches(volume.at(link.at), target.content_id, target.size, on_bytes, stop)
        except OSError:
            continue  # it is missing, which was told already
        if not right:
            yield Finding(link.at, Reason.LINK_BROKEN, f"{link.at} has other content than {link.target}")


def differs(file: ReceiptFile, state: os.stat_result) -> bool:
    hollow = state.st_blocks < file.blocks // 2
    return state.st_size != file.size or state.st_mtime_ns != file.mtime_ns or hollow
