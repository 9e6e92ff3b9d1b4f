"""``init-sync verify`` and ``status``: what is on a volume, without the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from init_sync.app.specfile import read_manifest
from init_sync.core.errors import NeedsChange
from init_sync.core.model_check import Finding, ModelCheck
from init_sync.core.reasons import Reason
from init_sync.core.report import Report
from init_sync.core.spec import Manifest, Model
from init_sync.sync.progress import Progress
from init_sync.volume.check import check_all, refresh_receipts
from init_sync.volume.identity import read_volume_id
from init_sync.volume.structure import structure_problem
from init_sync.volume.unused import unused_bytes
from init_sync.volume.volume import Volume, volume_problem

STRUCTURED = (".safetensors", ".index.json", ".pth", ".pt", ".bin")
MAX_DEPTH = 32


@dataclass(frozen=True, slots=True)
class Verification:
    """The report, and everything found that is not as it should be, by model name."""

    report: Report
    findings: Mapping[str, tuple[Finding, ...]]


def verify_volume(spec_path: str, volume_path: str, *, deep: bool = False) -> Report:
    """Whether every model of the manifest is complete on the volume; no network, nothing is changed but touched times.

    Raises:
        NeedsChange: the manifest or the volume cannot be used at all.
    """
    return verify(read_manifest(spec_path), Volume(volume_path), deep=deep).report


def verify(manifest: Manifest, volume: Volume, *, deep: bool = False, counts_unused: bool = False) -> Verification:
    """Check every model; say of damaged and unknown files what their own structure tells.

    ``counts_unused``: the report has ``bytesUnused`` too, as far as it can be told.
    """
    if problem := volume_problem(volume):
        raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}")
    checks = check_all(volume, manifest, deep=deep)
    refresh_receipts(volume, checks.values())
    progress = Progress(manifest)
    progress.volume_id = read_volume_id(volume)
    progress.checked(checks)
    if counts_unused:
        progress.bytes_unused = unused_bytes(volume, manifest)
    findings = {name: tuple(_findings(volume, check)) for name, check in checks.items() if not check.complete}
    return Verification(progress.report(), findings)


def _findings(volume: Volume, check: ModelCheck) -> Iterator[Finding]:
    if check.receipt is None:
        yield from _structural_findings(volume, check.model)
    for finding in check.findings:
        problem = None
        if finding.reason in (Reason.SIZE_MISMATCH, Reason.CHECKSUM_MISMATCH):
            problem = structure_problem(volume, finding.path)
        yield finding._replace(message=f"{finding.message}; {problem}") if problem else finding


def _structural_findings(volume: Volume, model: Model) -> Iterator[Finding]:
    """Files of a model that nobody has verified, but that cannot be complete.

    A file that is linked to another path is judged there: an index lies beside the shards it names only then.
    """
    linked = {f"{model.path}/{link.file}" for link in model.links}
    for path in _files_below(volume, model.path, MAX_DEPTH):
        problem = structure_problem(volume, path) if path.endswith(STRUCTURED) and path not in linked else None
        if problem:
            yield Finding(path, Reason.NOT_VERIFIED, problem)


def _files_below(volume: Volume, directory: str, depth: int) -> Iterator[str]:
    try:
        names = volume.names(directory)
    except OSError:  # it cannot be read, or leads out of the volume, which the model's own message says
        return
    for name in names:
        path = f"{directory}/{name}"
        if depth and volume.is_directory(path):
            yield from _files_below(volume, path, depth - 1)
        else:
            yield path
