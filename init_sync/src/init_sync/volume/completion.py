"""What receipts of version 0.1.0 lack, added to them: the SHA-256 of each small file, and the digest.

The hub names small files by git's id, so 0.1.0 did not know their SHA-256. They are hashed once, and the receipt is
written again by a process that holds the lock; what is large is not read. A file that is not what the receipt says
leaves the receipt as it is: the next check tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from init_sync.core.model_check import ModelCheck
from init_sync.core.receipt import Receipt, ReceiptFile
from init_sync.core.spec import Model
from init_sync.core.volumepath import REPLACED_SUFFIX
from init_sync.volume.hashing import SILENT, Hooks, file_checksum
from init_sync.volume.offline_check import pinned_requirement
from init_sync.volume.receipts import differs, load_receipt, store_receipt
from init_sync.volume.volume import Volume

if TYPE_CHECKING:
    from init_sync.volume.lock import VolumeLock


def complete_receipts(
    volume: Volume, checks: Iterable[ModelCheck], lock: VolumeLock, hooks: Hooks = SILENT
) -> Iterator[tuple[str, Receipt]]:
    """Add what is lacking to the receipts of complete models, as far as it can be found out; the caller holds the lock.

    Raises:
        LockLost: another process took it over.
        OSError: a receipt cannot be written.
    """
    for model in [check.model for check in checks if check.complete and check.lacks_digest]:
        receipt = load_receipt(volume, model)  # the present one: another process may have written it since the check
        found = receipt and completed(volume, model, receipt, hooks)
        if found:
            lock.check_volume()
            store_receipt(volume, model, found)
            yield model.name, found


def completed(volume: Volume, model: Model, receipt: Receipt, hooks: Hooks = SILENT) -> Receipt | None:
    """The receipt with its digest; None when a file is not what it says. Nothing is written."""
    replaced = _replaced(volume, model, receipt)
    if replaced is None:
        return None
    files = []
    for file in receipt.files:
        found = file if file.checksum else _hashed(volume, file, hooks)
        if found is None:
            return None
        files.append(found)
    complete = receipt._replace(files=tuple(files), replaced=replaced).with_digest()
    return complete if complete.digest else None


def _hashed(volume: Volume, file: ReceiptFile, hooks: Hooks) -> ReceiptFile | None:
    try:
        if differs(file, volume.stat(file.path)):
            return None
        checksum = file_checksum(volume, file.path, file.content_id, file.size, hooks)
    except OSError:
        return None
    return None if checksum is None else file._replace(sha256=checksum)


def _replaced(volume: Volume, model: Model, receipt: Receipt) -> tuple[str, ...] | None:
    """Files whose place a link has. ``x_old`` may also be a file of the repository: the pins tell, or nobody."""
    paths = {file.path for file in receipt.files if file.path.endswith(REPLACED_SUFFIX)}
    if not paths:
        return ()
    requirement = pinned_requirement(volume, model)
    if requirement is None or not paths <= {file.path for file in requirement.files}:
        return None
    return tuple(file.path for file in requirement.files if file.replaced)
