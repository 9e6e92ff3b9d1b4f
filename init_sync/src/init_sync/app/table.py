"""``init-sync status`` and ``verify`` for people: a table of the models, then what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from init_sync.core.model_check import Finding
from init_sync.core.report import ModelReport, Report
from init_sync.shell.formatting import percent, printable, size
from init_sync.sync.plan import Action, SyncPlan

PLAN_HEADINGS = ("MODEL", "COMMIT", "FILES", "SIZE", "TO DOWNLOAD")
LISTED_FILES = 20
HEADINGS = ("MODEL", "COMPLETE", "FILES", "SIZE", "PROGRESS", "REVISION", "COMMIT", "VERIFIED", "DIGEST")
LISTED_FINDINGS = 20
DIGEST_SHOWN = len("sha256:") + 12
"""As many digits as of a commit; --json has all of them."""


def status_table(report: Report) -> str:
    lines = _aligned([HEADINGS, *(_row(model) for model in report.models)])
    complete = sum(model.complete for model in report.models)
    outcome = "complete" if report.complete else "incomplete"
    lines.append("")
    lines.append(
        f"{report.cache}: {outcome}, {complete} of {len(report.models)} models, "
        f"{size(report.bytes_present)} of {size(report.bytes_total)}"
    )
    return _text(lines)


def plan_table(plan: SyncPlan) -> str:
    """A line for each model, the files that are downloaded or linked, and what stands in the way."""
    rows = [PLAN_HEADINGS]
    for model in plan.models:
        counts = Counter(file.action for file in model.files)
        actions = ", ".join(f"{counts[action]} {action}" for action in Action if counts[action])
        sizes = size(model.bytes_total), size(model.bytes_to_fetch)
        rows.append((model.name, (model.commit or "-")[:12], actions or "-", *sizes))
    lines = [*_aligned(rows), ""]
    files = [file for model in plan.models for file in model.files if file.action in (Action.FETCH, Action.LINK)]
    lines += [f"  {file.action:5}  {size(file.size):>10}  {file.path}" for file in files[:LISTED_FILES]]
    if len(files) > LISTED_FILES:
        lines.append(f"  and {len(files) - LISTED_FILES} more (--json lists all)")
    lines += [f"  conflict: {conflict.message}" for conflict in plan.conflicts]
    lines.append(f"{plan.cache}: {size(plan.bytes_to_fetch)} to download in {len(plan.blobs)} files")
    return _text(lines)


def _text(lines: Sequence[str]) -> str:
    """Names come from volumes and hubs: none of them begins a line of its own."""
    return "\n".join(printable(line) for line in lines)


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def findings_text(report: Report, findings: Mapping[str, tuple[Finding, ...]]) -> str:
    lines: list[str] = []
    for model in report.models:
        if model.complete:
            continue
        found = findings.get(model.name, ())
        lines.append(f"{model.name}: {model.reason}: {model.message}")
        lines += [f"  {finding.path}: {finding.reason}: {finding.message}" for finding in found[:LISTED_FINDINGS]]
        if len(found) > LISTED_FINDINGS:
            lines.append(f"  and {len(found) - LISTED_FINDINGS} more")
    return _text(lines)


def _row(model: ModelReport) -> tuple[str, ...]:
    known = model.bytes_total > 0
    return (
        model.name,
        "yes" if model.complete else "no",
        f"{model.files_present}/{model.files_total}" if known else "-",
        size(model.bytes_total) if known else "-",
        f"{percent(model.bytes_present, model.bytes_total)}%" if known else "-",
        ", ".join(dict.fromkeys([model.revision, *model.chosen.values()])),
        (model.commit or "-")[:12],
        model.verified_at or "-",
        (model.digest or "-")[:DIGEST_SHOWN],
    )
