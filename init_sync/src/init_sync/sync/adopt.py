"""Files that are on the volume already, from an earlier manifest or by hand: verified once and not downloaded again."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from init_sync.core.receipt import ReceiptFile
from init_sync.core.requirement import RequiredFile, Requirement
from init_sync.core.volumepath import REPLACED_SUFFIX
from init_sync.shell.formatting import size
from init_sync.sync.plan import Action
from init_sync.volume.hashing import Hooks, file_checksum, file_matches
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.receipts import as_receipt_file, is_unchanged
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)

WORTH_A_LINE_BYTES = 64 << 20


def survey(volume: Volume, requirements: Iterable[Requirement], known: Mapping[str, ReceiptFile]) -> dict[str, Action]:
    """By path, the files that need not be downloaded, or only if their content is wrong."""
    actions: dict[str, Action] = {}
    for requirement in requirements:
        for file in requirement.files:
            if is_known(volume, file, known):
                actions[file.path] = Action.KEEP
            elif _has_size(volume, file.path, file.size):
                actions[file.path] = Action.ADOPT
    return actions


def is_known(volume: Volume, file: RequiredFile, known: Mapping[str, ReceiptFile]) -> bool:
    """Whether a receipt vouches for just this content, and nothing shows that it changed.

    One of version 0.1.0 does not have the SHA-256 of small files: those are hashed once more.
    """
    found = known.get(file.path)
    if found is None or found.content_id != file.content_id or not found.checksum:
        return False
    return is_unchanged(volume, found)


def move_to_their_paths(volume: Volume, requirements: Iterable[Requirement], owned: OwnedFiles, hooks: Hooks) -> None:
    """Rename files whose content is required under another name: what a link took the place of, or will take.

    ``index.json`` lies where a link belongs: if it is the very original that is required, it becomes ``_old``. A file
    that was moved by hand to where the link to it belongs moves back, instead of being downloaded again.
    """
    for requirement in requirements:
        moves = {f"{requirement.model.path}/{link.file}": link.at for link in requirement.model.links}
        for file in requirement.files:
            other = file.path.removesuffix(REPLACED_SUFFIX) if file.path.endswith(REPLACED_SUFFIX) else None
            source = other or moves.get(file.path)
            if source and not volume.exists(file.path) and _is_content(volume, source, file, hooks):
                volume.make_directory(file.path.rpartition("/")[0])
                owned.moved(source, file.path)
                volume.rename(source, file.path)


def adopt(
    volume: Volume,
    files: Iterable[RequiredFile],
    actions: Mapping[str, Action],
    known: Mapping[str, ReceiptFile],
    threads: int,
    hooks: Hooks,
) -> dict[str, ReceiptFile]:
    """The files with the right content, by path: known from a receipt, or hashed now."""
    found: dict[str, ReceiptFile] = {}
    to_hash: list[RequiredFile] = []
    for file in files:
        if actions.get(file.path) is Action.KEEP:
            found[file.path] = known[file.path]
        elif actions.get(file.path) is Action.ADOPT:
            to_hash.append(file)
    total = sum(file.size for file in to_hash)
    if total >= WORTH_A_LINE_BYTES:
        log.info("Verifying %s in %d files that are on the volume already", size(total), len(to_hash))
    with ThreadPoolExecutor(threads, thread_name_prefix="verify") as pool:
        for file, verified in zip(to_hash, pool.map(lambda each: _hash(volume, each, hooks), to_hash), strict=True):
            if verified:
                found[file.path] = verified
    return found


def _hash(volume: Volume, file: RequiredFile, hooks: Hooks) -> ReceiptFile | None:
    try:
        state = volume.stat(file.path)
        checksum = file_checksum(volume, file.path, file.content_id, file.size, hooks)
        if checksum is not None:
            return as_receipt_file(file.path, file.content_id, state, checksum)
    except OSError as error:
        log.warning("%s: cannot be read (%s); downloading it again", file.path, error.strerror or error)
        return None
    log.info("%s: its content differs from what the hub lists; downloading it again", file.path)
    return None


def _has_size(volume: Volume, path: str, count: int) -> bool:
    try:
        state = volume.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(state.st_mode) and state.st_size == count


def _is_content(volume: Volume, path: str, file: RequiredFile, hooks: Hooks) -> bool:
    try:
        if not stat.S_ISREG(volume.lstat(path).st_mode):
            return False
        return file_matches(volume, path, file.content_id, file.size, hooks)
    except OSError:
        return False
