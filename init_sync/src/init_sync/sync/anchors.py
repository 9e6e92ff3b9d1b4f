"""Anchors in a sync: whether what a model needs is what its manifest demands, asked as early as it can be known.

The hub lists the SHA-256 of large files, and receipts have that of small ones. What neither tells is fetched first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from init_sync.core.anchor import anchor_problem, mismatch, refuse
from init_sync.core.content_id import checksum_in
from init_sync.core.digest import digest_of
from init_sync.core.errors import NeedsChange
from init_sync.core.receipt import ReceiptFile
from init_sync.core.requirement import RequiredFile, Requirement


def refuse_required(requirements: Iterable[Requirement], checksums: Mapping[str, str]) -> None:
    """Raises NeedsChange for models that need other content than their anchor demands, as far as that is known.

    Args:
        checksums: SHA-256 by content id, where that is another hash.
    """
    refused: list[NeedsChange] = []
    for requirement in requirements:
        model, digest = requirement.model, _digest(requirement, checksums)
        at = f"commit {requirement.commit[:12]} of {model.repo}"
        if digest and (problem := anchor_problem(model, digest, at)):
            refused.append(mismatch(model, problem))
    refuse(refused)


def unknown_files(requirements: Iterable[Requirement], checksums: Mapping[str, str]) -> list[RequiredFile]:
    """Files of models with an anchor whose SHA-256 only their bytes tell: small ones, each content once."""
    files = (file for each in requirements if each.model.anchor for file in each.files if not file.replaced)
    return list({file.content_id: file for file in files if not _checksum(file, checksums)}.values())


def checksums_by_content(files: Iterable[ReceiptFile]) -> dict[str, str]:
    return {file.content_id: file.checksum for file in files if file.checksum}


def _digest(requirement: Requirement, checksums: Mapping[str, str]) -> str:
    """Empty while a SHA-256 is not known."""
    files = [file for file in requirement.files if not file.replaced]
    found = {file.source: _checksum(file, checksums) for file in files}
    return digest_of(found) if all(found.values()) else ""


def _checksum(file: RequiredFile, checksums: Mapping[str, str]) -> str:
    return checksum_in(file.content_id) or checksums.get(file.content_id, "")
