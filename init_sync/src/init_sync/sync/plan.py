"""What a sync will do, decided from what is required, what is on the volume, and what its file system can do.

Nothing here looks at a volume or a hub: a plan is a value, which ``init-sync plan`` prints and ``sync`` carries out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from init_sync.core.model_check import ModelCheck
from init_sync.core.requirement import Blob, RequiredFile, Requirement
from init_sync.volume.conflicts import Conflict, Placed

SPARE_BYTES = 1 << 20
"""For receipts, journals and directories."""
SPARE_INODES = 16
"""For what is made while a file is on its way."""


class Action(StrEnum):
    """What is done about one file or link."""

    KEEP = "keep"
    """A receipt says that it was verified, and nothing shows that it changed."""
    ADOPT = "adopt"
    """A file of its size is there: it is hashed, and downloaded only if its content is wrong."""
    FETCH = "fetch"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file or link of a model."""

    path: str
    size: int
    action: Action


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model."""

    name: str
    commit: str | None
    chosen: Mapping[str, str]
    files: tuple[PlannedFile, ...]
    bytes_to_fetch: int

    @property
    def bytes_total(self) -> int:
        return sum(file.size for file in self.files)

    def to_json(self, with_files: bool) -> dict[str, Any]:
        files = [{"path": each.path, "size": each.size, "action": each.action.value} for each in self.files]
        return {
            "name": self.name,
            "commit": self.commit,
            "chosen": dict(self.chosen),
            "filesTotal": len(self.files),
            "bytesTotal": self.bytes_total,
            "bytesToFetch": self.bytes_to_fetch,
            **({"files": files} if with_files else {}),
        }


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """A whole cache."""

    cache: str
    models: tuple[ModelPlan, ...]
    blobs: tuple[Blob, ...]
    """In the order in which they are downloaded."""
    bytes_needed: int
    """Free space that the volume must have."""
    inodes_needed: int
    conflicts: tuple[Conflict, ...] = ()

    @property
    def bytes_to_fetch(self) -> int:
        return sum(blob.size - blob.kept for blob in self.blobs)

    def to_json(self, with_files: bool = True) -> dict[str, Any]:
        return {
            "cache": self.cache,
            "bytesTotal": sum(model.bytes_total for model in self.models),
            "bytesToFetch": self.bytes_to_fetch,
            "filesToFetch": len(self.blobs),
            "models": [model.to_json(with_files) for model in self.models],
            "conflicts": [conflict.message for conflict in self.conflicts],
        }


def plan_sync(
    cache: str,
    checks: Mapping[str, ModelCheck],
    requirements: Sequence[Requirement],
    actions: Mapping[str, Action],
    kept: Mapping[str, int],
    *,
    has_links: bool = True,
    conflicts: Sequence[Conflict] = (),
) -> SyncPlan:
    """The plan for the models in ``requirements``; those that are complete are kept as their ``checks`` say.

    Args:
        actions: KEEP or ADOPT by path; what is not named is fetched, or linked.
        kept: bytes of partial downloads by content id.
        has_links: whether the file system has links; elsewhere each costs a copy.
    """
    required = {requirement.model.name: requirement for requirement in requirements}
    blobs = _blobs(requirements, actions, kept)
    models = tuple(
        _model_plan(required[name], actions, kept) if name in required else _complete(check)
        for name, check in checks.items()
    )
    copies = 0 if has_links else sum(_size_of_links(each, actions) for each in requirements)
    links = [link for each in requirements for link in each.model.links if link.at not in actions]
    return SyncPlan(
        cache,
        models,
        blobs,
        bytes_needed=sum(blob.size * len(blob.paths) - blob.kept for blob in blobs) + copies,
        inodes_needed=_inodes(blobs, len(links)),
        conflicts=tuple(conflicts),
    )


def places(checks: Mapping[str, ModelCheck], requirements: Iterable[Requirement]) -> list[Placed]:
    """Every file and link that belongs on the volume, of complete models too."""
    found: list[Placed] = []
    planned = set()
    for requirement in requirements:
        name = requirement.model.name
        planned.add(name)
        found += [Placed(file.path, name) for file in requirement.files]
        found += [Placed(link.at, name) for link in requirement.model.links]
    for name, check in checks.items():
        if name not in planned and check.receipt:
            found += [Placed(file.path, name) for file in check.receipt.files]
            found += [Placed(link.at, name) for link in check.receipt.links]
    return found


def _blobs(
    requirements: Iterable[Requirement], actions: Mapping[str, Action], kept: Mapping[str, int]
) -> tuple[Blob, ...]:
    """Each content once; the smallest file of each repository first, so that a refusal shows before a large file."""
    files: dict[tuple[str, int], list[RequiredFile]] = {}
    for requirement in requirements:
        for file in requirement.files:
            if file.path not in actions:
                files.setdefault((file.content_id, file.size), []).append(file)
    blobs = [
        Blob(content_id, size, tuple(file.path for file in of_it), of_it[0], kept.get(content_id, 0))
        for (content_id, size), of_it in files.items()
    ]
    smallest: dict[str, Blob] = {}
    for blob in blobs:
        if blob.size < smallest.setdefault(blob.source.repo, blob).size:
            smallest[blob.source.repo] = blob
    first = {id(blob) for blob in smallest.values()}
    return tuple(sorted(blobs, key=lambda blob: id(blob) not in first))


def _model_plan(requirement: Requirement, actions: Mapping[str, Action], kept: Mapping[str, int]) -> ModelPlan:
    files = [PlannedFile(each.path, each.size, actions.get(each.path, Action.FETCH)) for each in requirement.files]
    links = [PlannedFile(link.at, 0, actions.get(link.at, Action.LINK)) for link in requirement.model.links]
    to_fetch = {each.content_id: each.size for each in requirement.files if each.path not in actions}
    left = sum(size - kept.get(content_id, 0) for content_id, size in to_fetch.items())
    return ModelPlan(requirement.model.name, requirement.commit, requirement.chosen, (*files, *links), left)


def _complete(check: ModelCheck) -> ModelPlan:
    files = [PlannedFile(path, size, Action.KEEP) for path, size in check.sizes.items()]
    links = [PlannedFile(link.at, 0, Action.KEEP) for link in (check.receipt.links if check.receipt else ())]
    return ModelPlan(check.model.name, check.commit, check.chosen, (*files, *links), 0)


def _size_of_links(requirement: Requirement, actions: Mapping[str, Action]) -> int:
    sizes = {file.source: file.size for file in requirement.files}
    return sum(sizes[link.file] for link in requirement.model.links if link.at not in actions)


def _inodes(blobs: Sequence[Blob], links: int) -> int:
    paths = [path for blob in blobs for path in blob.paths]
    directories = {path.rpartition("/")[0] for path in paths}
    return len(paths) + links + len(directories)
