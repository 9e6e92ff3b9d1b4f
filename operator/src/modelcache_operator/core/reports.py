"""Reports of sync containers: untrusted text in, a bounded ``Observation`` or nothing out.

The text is a pod's termination message or what its ``/status`` answered, so anybody who can create a pod chooses it.
Nothing of it is believed to be of the right type, length or range; strings are cut and lose their control characters,
unknown keys are dropped. Whether a well-formed report is believed is decided elsewhere (``proof``).

Text is interned: the pods of a cache, and its status, say the same names, commits and digests.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from sys import intern
from typing import Any

from init_sync.core.reasons import Reason
from init_sync.core.report import ModelReport
from modelcache_operator.core import timestamps
from modelcache_operator.core.observed_pods import Observation, TaskReport

MAX_REPORT_BYTES = 256 * 1024
MAX_MODELS = 100
MAX_CHOSEN = 16
MAX_MESSAGE = 512
MAX_COUNT = 2**53 - 1
"""The largest whole number that every JSON reader keeps."""

NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
COMMIT = re.compile(r"[0-9a-f]{7,64}")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
VOLUME_ID = re.compile(r"[0-9a-f]{32}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+")
"""Marks that turn the direction of writing too: they would make a line on a terminal read as another."""


def parse_report(text: str | bytes) -> Observation | None:
    """None when ``text`` is not a report at all; wrong values inside a report count as absent."""
    data = _mapping(text)
    if data is None or not isinstance(data.get("complete"), bool):
        return None
    listed = data.get("models")
    models = tuple(_models(listed[:MAX_MODELS])) if isinstance(listed, list) else ()
    return Observation(
        complete=data["complete"] and bool(models) and all(model.complete for model in models),
        bytes_total=_count(data.get("bytesTotal")),
        bytes_present=_count(data.get("bytesPresent")),
        bytes_fetched=_count(data.get("bytesFetched")),
        bytes_verified=_count(data.get("bytesVerified")),
        bytes_per_second=_count(data.get("bytesPerSecond")),
        eta_seconds=None if data.get("etaSeconds") is None else _count(data["etaSeconds"]),
        models=models,
        manifest=_matching(DIGEST, data.get("manifest")) or "",
        volume_id=_matching(VOLUME_ID, data.get("volumeId")) or "",
        bytes_unused=None if data.get("bytesUnused") is None else _count(data["bytesUnused"]),
    )


def parse_task_report(text: str | bytes) -> TaskReport | None:
    """Likewise, of a plan or of what was pruned."""
    data = _mapping(text)
    if data is None or not {"bytesToFetch", "bytesFreed"} & data.keys():
        return None
    listed = data.get("models")
    models = [each for each in listed[:MAX_MODELS] if isinstance(each, dict)] if isinstance(listed, list) else []
    commits = {line(each.get("name"), 63): _matching(COMMIT, each.get("commit")) for each in models}
    return TaskReport(
        bytes_total=_count(data.get("bytesTotal")),
        bytes_to_fetch=_count(data.get("bytesToFetch")),
        bytes_freed=_count(data.get("bytesFreed")),
        commits={name: commit for name, commit in commits.items() if name and commit},
        reason=_reason(data.get("reason")),
        message=line(data.get("message")),
    )


def _mapping(text: str | bytes) -> dict[str, Any] | None:
    if len(text) > MAX_REPORT_BYTES:
        return None
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def line(value: object, limit: int = MAX_MESSAGE) -> str:
    """One printable line of at most ``limit`` characters."""
    if not isinstance(value, str):
        return ""
    text = CONTROL.sub(" ", value[: 4 * limit]).strip()
    return intern(text if len(text) <= limit else text[: limit - 1] + "…")


def _models(listed: list[Any]) -> list[ModelReport]:
    found: dict[str, ModelReport] = {}
    for each in listed:
        name = each.get("name") if isinstance(each, dict) else None
        # A manifest that could not be read reports under no name.
        if isinstance(name, str) and name not in found and (NAME.fullmatch(name) or not name):
            found[name] = _model(intern(name), each)
    return list(found.values())


def _model(name: str, data: Mapping[str, Any]) -> ModelReport:
    verified, complete = timestamps.parse(data.get("verifiedAt")), data.get("complete") is True
    return ModelReport(
        name=name,
        complete=complete,
        revision=line(data.get("revision"), 256),
        files_total=_count(data.get("filesTotal")),
        files_present=_count(data.get("filesPresent")),
        bytes_total=_count(data.get("bytesTotal")),
        bytes_present=_count(data.get("bytesPresent")),
        commit=_matching(COMMIT, data.get("commit")),
        chosen=_chosen(data.get("chosen")),
        verified_at=None if verified is None else intern(timestamps.stamp(verified)),
        digest=_matching(DIGEST, data.get("digest")) if complete else None,
        reason=_reason(data.get("reason")),
        message=line(data.get("message")),
    )


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_COUNT:
        return 0
    return int(value)


def _matching(pattern: re.Pattern[str], value: object) -> str | None:
    return intern(value) if isinstance(value, str) and pattern.fullmatch(value) else None


def _chosen(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    pairs = [(line(key, 256), line(each, 256)) for key, each in list(value.items())[:MAX_CHOSEN]]
    return {key: each for key, each in pairs if key and each}


def _reason(value: object) -> Reason | None:
    try:
        return Reason(value) if isinstance(value, str) else None
    except ValueError:
        return None
