"""What the sync Jobs of all caches have in common, as the administrator says with ``--sync-defaults FILE``.

The file has the shape of ``spec.sync.job``, and is read by the same declaration:

    env: [{name: HF_ENDPOINT, value: "http://mirror.example"}]
    resources: {limits: {memory: 2Gi}}

What a cache sets goes before it: variables, volumes and mounts one by one, labels and annotations key by key, all else
as a whole. Limits do not apply to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from init_sync.core.errors import ManifestError, Problem
from init_sync.core.fields import Field, Listing, Texts
from init_sync.core.manifest_job import JOB
from init_sync.core.problems import Problems
from init_sync.core.yamltext import UnreadableText, read_documents

Json = Mapping[str, Any]
NO_DEFAULTS: Json = JOB.check({}, "", Problems())


def read_job_defaults(text: str, source: str) -> Json:
    """Every field of ``spec.sync.job``, as the text says or as the manifest has it.

    Raises:
        ManifestError: with all problems found, each with the name of its field.
    """
    try:
        documents = read_documents(text)
    except UnreadableText as error:
        raise ManifestError(source, (Problem("", str(error)),)) from error
    problems = Problems()
    if len(documents) > 1:
        problems.add("", "holds several documents; keep one")
    found = JOB.check(next(iter(documents), {}), "", problems)
    if problems.found:
        raise ManifestError(source, tuple(problems.found))
    return found


def with_defaults(job: Json, spec: Json, defaults: Json) -> dict[str, Any]:
    """``job``: all of ``spec.sync.job`` as it was read; ``spec``: as it was written, which says what was set."""
    written = (spec.get("sync") or {}).get("job") or {}
    return {
        name: defaults[name] if written.get(name) is None else _over(field, defaults[name], job[name])
        for name, field in JOB.fields.items()
    }


def _over(field: Field, default: Any, value: Any) -> Any:
    if field.of_pod:
        return value
    if isinstance(field, Texts):
        return {**default, **value}
    if isinstance(field, Listing):
        names = {each[field.key] for each in value}
        return [*(each for each in default if each[field.key] not in names), *value]
    return value
