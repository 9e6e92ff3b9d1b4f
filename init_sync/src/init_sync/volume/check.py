"""What is on the volume of one model: the first of the five steps of a sync, and all of a warm start.

One stat for each file of the receipt, and its hash only where the stat leaves a doubt. ``sync``, ``verify``,
``status`` and the servers of models ask this function. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable

from init_sync.core.anchor import anchor_problem
from init_sync.core.model_check import Finding, ModelCheck
from init_sync.core.reasons import Reason
from init_sync.core.receipt import Receipt, ReceiptFile, ReceiptLink
from init_sync.core.spec import Manifest, Model
from init_sync.core.volumepath import is_pickle
from init_sync.shell.formatting import listed
from init_sync.volume.hashing import SILENT, Hooks, file_checksum, file_matches
from init_sync.volume.links import COPY, link_problem
from init_sync.volume.receipts import as_receipt_file, differs, is_unchanged, load_receipt, store_receipt
from init_sync.volume.timestamps import is_too_young
from init_sync.volume.volume import Volume


def check_all(
    volume: Volume, manifest: Manifest, *, deep: bool = False, hooks: Hooks = SILENT
) -> dict[str, ModelCheck]:
    """Every model of the manifest, by name; ``deep`` hashes all files again, whatever their stat says."""
    return {
        model.name: check_model(volume, model, manifest.allow_pickles, deep=deep, hooks=hooks)
        for model in manifest.models
    }


def check_model(
    volume: Volume, model: Model, allow_pickles: bool, *, deep: bool = False, hooks: Hooks = SILENT
) -> ModelCheck:
    stored = load_receipt(volume, model)
    if stored is None:
        from init_sync.volume.offline_check import check_without_receipt  # not needed on a warm start

        return check_without_receipt(volume, model)
    receipt = _with_known_digest(volume, model, stored, hooks)
    young = _too_young(receipt)
    files = [_check_file(volume, file, deep or file.path in young, hooks) for file in receipt.files]
    findings = [found for found in files if isinstance(found, Finding)]
    findings += _link_findings(volume, receipt, deep, young, hooks)
    damaged = {finding.path for finding in findings}
    sizes = {file.path: file.size for file in receipt.files}
    present = tuple(
        found if isinstance(found, ReceiptFile) else file for found, file in zip(files, receipt.files, strict=True)
    )
    reason, message = find_reason(model, receipt, findings, allow_pickles)
    return ModelCheck(
        model=model,
        reason=reason,
        message=message,
        receipt=receipt._replace(files=present),
        findings=tuple(findings),
        sizes=sizes,
        present={path: size for path, size in sizes.items() if path not in damaged},
        valid=frozenset(sizes.keys() - damaged),
        commit=receipt.commit,
        chosen=receipt.chosen,
        outdated_receipt=bool(young) or present != receipt.files,
        lacks_digest=not stored.digest,
    )


def refresh_receipts(volume: Volume, checks: Iterable[ModelCheck]) -> None:
    """Record present times of complete models, so that nothing is hashed again; not possible on a read-only volume."""
    for check in checks:
        if check.complete and check.receipt and check.outdated_receipt:
            try:
                store_receipt(volume, check.model, check.receipt)
            except OSError:
                return


def looks_complete(volume: Volume, manifest: Manifest) -> bool:
    """Whether receipts and stats show nothing amiss; hashes nothing, for those who ask again and again."""
    receipts = [(model, load_receipt(volume, model)) for model in manifest.models]
    return all(
        receipt and model.anchor in ("", receipt.digest) and not changes(volume, receipt) for model, receipt in receipts
    )


def changes(volume: Volume, receipt: Receipt) -> list[str]:
    """What a stat shows to be other than recorded, files that were only touched included; hashes nothing."""
    files = [file.path for file in receipt.files if not is_unchanged(volume, file)]
    return files + [link.at for link in receipt.links if link_problem(volume, link)]


def summary(findings: Iterable[Finding]) -> str:
    """Findings in one line, the first few by name."""
    return listed([f"{finding.path}: {finding.message}" for finding in findings], most=3)


def _with_known_digest(volume: Volume, model: Model, receipt: Receipt, hooks: Hooks) -> Receipt:
    """An anchor needs the digest, though a receipt of version 0.1.0 has none and may be on a read-only volume."""
    if receipt.digest or not model.anchor:
        return receipt
    from init_sync.volume.completion import completed

    return completed(volume, model, receipt, hooks) or receipt


def find_reason(
    model: Model, receipt: Receipt, findings: list[Finding], allow_pickles: bool
) -> tuple[Reason | None, str]:
    """Why a model with this receipt is not complete; without a reason, the message is a warning.

    A digest that is not the anchor comes first: no repair would change it.
    """
    if receipt.digest and (problem := anchor_problem(model, receipt.digest, f"what is in {model.path}")):
        return Reason.DIGEST_MISMATCH, problem
    if findings:
        return findings[0].reason, summary(findings)
    pickles = [] if allow_pickles else [file.path for file in receipt.files if is_pickle(file.path)]
    if pickles:
        rule = "can run code when loaded and spec.allowPickles is false"
        return Reason.PICKLE_REFUSED, f"{listed(pickles, 3)} {rule}"
    if model.anchor and not receipt.digest:
        return Reason.NOT_VERIFIED, "the manifest demands a digest, and the receipt of version 0.1.0 does not tell it"
    return None, receipt.warning


def _check_file(volume: Volume, file: ReceiptFile, doubtful: bool, hooks: Hooks) -> ReceiptFile | Finding:
    try:
        state = volume.stat(file.path)
        if state.st_size != file.size:
            return Finding(file.path, Reason.SIZE_MISMATCH, f"{state.st_size:,} bytes instead of {file.size:,}")
        if not doubtful and not differs(file, state):
            return file
        if file.damage and not doubtful and file.damage.mtime_ns == state.st_mtime_ns:
            return Finding(file.path, Reason.CHECKSUM_MISMATCH, file.damage.message)
        checksum = file_checksum(volume, file.path, file.content_id, file.size, hooks)
        if checksum is not None and file.checksum in ("", checksum):
            return as_receipt_file(file.path, file.content_id, state, checksum)
    except FileNotFoundError:
        return Finding(file.path, Reason.FILE_MISSING, "missing")
    except OSError as error:
        return Finding(file.path, Reason.FILE_MISSING, f"cannot be read: {error.strerror or error}")
    return Finding(file.path, Reason.CHECKSUM_MISMATCH, "its content is not what was verified")


def _too_young(receipt: Receipt) -> set[str]:
    """Files, and copies that stand for links, that may have changed after the receipt without another time."""
    times = [(file.path, file.mtime_ns) for file in receipt.files]
    times += [(link.at, link.mtime_ns) for link in receipt.links if link.kind == COPY]
    return {path for path, mtime_ns in times if is_too_young(mtime_ns, receipt.written_ns)}


def _link_findings(volume: Volume, receipt: Receipt, deep: bool, young: set[str], hooks: Hooks) -> list[Finding]:
    problems = ((link, link_problem(volume, link)) for link in receipt.links)
    findings = [Finding(link.at, Reason.LINK_BROKEN, problem) for link, problem in problems if problem]
    broken = {finding.path for finding in findings}
    copies = [link for link in receipt.links if link.kind == COPY and (deep or link.at in young)]
    copies = [link for link in copies if link.at not in broken]
    return findings + [found for link in copies if (found := _check_copy(volume, receipt, link, hooks))]


def _check_copy(volume: Volume, receipt: Receipt, link: ReceiptLink, hooks: Hooks) -> Finding | None:
    target = next((file for file in receipt.files if file.path == link.target), None)
    try:
        same = target and file_matches(volume, link.at, target.content_id, target.size, hooks)
    except OSError as error:
        return Finding(link.at, Reason.LINK_BROKEN, f"cannot be read: {error.strerror or error}")
    return None if same else Finding(link.at, Reason.LINK_BROKEN, f"{link.at} has other content than {link.target}")
