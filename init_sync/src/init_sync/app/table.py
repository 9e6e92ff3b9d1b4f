"""``init-sync status`` and ``verify`` for people: a table of the models, then what is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from init_sync.core.formatting import percent, size
from init_sync.core.report import ModelReport, Report
from init_sync.volume.inspection import Finding

HEADINGS = ("MODEL", "COMPLETE", "FILES", "SIZE", "PROGRESS", "REVISION", "COMMIT", "VERIFIED")
LISTED_FINDINGS = 20


def status_table(report: Report) -> str:
    rows = [HEADINGS, *(_row(model) for model in report.models)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    whole = sum(model.complete for model in report.models)
    verdict = "complete" if report.complete else "incomplete"
    lines.append("")
    lines.append(
        f"{report.cache}: {verdict}, {whole} of {len(report.models)} models, "
        f"{size(report.bytes_present)} of {size(report.bytes_total)}"
    )
    return "\n".join(lines)


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
    return "\n".join(lines)


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
        (model.verified_at or "-"),
    )
