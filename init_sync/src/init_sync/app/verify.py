"""``init-sync verify`` and ``status``: what is on a volume, without the network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from init_sync.app.examination import examine_all, volume_problem
from init_sync.app.specfile import read_manifest
from init_sync.app.tracker import Tracker
from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.core.report import Report
from init_sync.core.spec import Manifest, Model
from init_sync.volume.identity import read_volume_id
from init_sync.volume.inspection import Finding, Inspection
from init_sync.volume.layout import Volume
from init_sync.volume.structure import structure_problem

STRUCTURED = (".safetensors", ".index.json", ".pth", ".pt", ".bin")


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


def verify(manifest: Manifest, volume: Volume, *, deep: bool = False) -> Verification:
    """Examine every model; say of damaged and unknown files what their own structure tells."""
    if problem := volume_problem(volume):
        raise NeedsChange(Reason.FILE_MISSING, f"opening the volume: {problem}")
    tracker = Tracker(manifest)
    tracker.volume_id = read_volume_id(volume)
    inspections = examine_all(volume, tracker, deep=deep)
    findings = {
        name: _explained(volume, inspections.get(name), state.model)
        for name, state in tracker.states.items()
        if not state.complete
    }
    return Verification(tracker.report(), findings)


def _explained(volume: Volume, inspection: Inspection | None, model: Model) -> tuple[Finding, ...]:
    if inspection is None:
        return tuple(_structural_findings(volume, model))
    explained = []
    for finding in inspection.findings:
        problem = None
        if finding.reason in (Reason.SIZE_MISMATCH, Reason.CHECKSUM_MISMATCH):
            problem = structure_problem(volume.at(finding.path))
        explained.append(Finding(finding.path, finding.reason, f"{finding.message}; {problem}") if problem else finding)
    return tuple(explained)


def _structural_findings(volume: Volume, model: Model) -> list[Finding]:
    """Files of a model that nobody has verified, but that cannot be whole.

    A file that is linked to another place is judged there: an index lies beside the shards it names only then.
    """
    findings = []
    linked = {f"{model.path}/{link.file}" for link in model.links}
    for directory, _, names in sorted(os.walk(volume.at(model.path))):
        for name in sorted(names):
            if not name.endswith(STRUCTURED):
                continue
            path = os.path.relpath(os.path.join(directory, name), volume.root)
            problem = None if path in linked else structure_problem(volume.at(path))
            if problem:
                findings.append(Finding(path, Reason.NOT_VERIFIED, problem))
    return findings
