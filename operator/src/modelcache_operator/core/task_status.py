"""The parts of the status that tell of tasks: Jobs of a cache that are no syncs. See ``status``, and ``tasks``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import with_config

from modelcache_operator.core.status_fields import CAMEL, Time, Word


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class TaskRecord:
    """The Jobs of one task."""

    about: str = ""
    """Digest of what the task is about. For other content, or another claim, it begins again."""
    done: bool = False
    """Whether a Job has done it for what it is about."""
    attempt: int = 0
    """Number of the newest Job."""
    settled_attempt: int = 0
    """Number of the newest Job whose end was taken into account."""
    failures: int = 0
    """Jobs that failed, one after the other."""
    failed_at: Time = ""
    """When the last of these failed."""
    reason: Word = ""
    """Why it is not done now, in one word."""
    message: str = ""
    """Why it is not done now, in a sentence."""
    stalled: bool = False
    """Whether only a person can cure it."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class SizeStatus:
    """How large the models are, and the claim therefore."""

    bytes: int = 0
    """Bytes that the models need, as the hub lists them."""
    requested: str = ""
    """Size of the claim that follows: these bytes and the headroom, in whole GiB."""
    checked_at: Time = ""
    """When the hub was asked."""
    content: str = ""
    """Digest of the content that this is about."""
    job: TaskRecord = field(default_factory=TaskRecord)
    """The Jobs that ask."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class ScrubStatus:
    """When the files were read again."""

    started_at: Time = ""
    """When the present reading began, or the last one."""
    finished_at: Time = ""
    """When the last one was finished."""
    next_at: Time = ""
    """When the next one is due."""
    node: str = ""
    """With spec.volume.perNode, the node that the present one has come to: it goes by their names."""
    job: TaskRecord = field(default_factory=TaskRecord)
    """The Jobs that read."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class UpdatesStatus:
    """What the hub has that is newer than what is on the volume."""

    checked_at: Time = ""
    """When the hub was asked."""
    next_at: Time = ""
    """When it is asked next."""
    commits: Mapping[str, str] = field(default_factory=dict)
    """By model, the commit to which its branch or tag has moved; only of those that have."""
    bytes: int = 0
    """Bytes that a resync would fetch."""
    job: TaskRecord = field(default_factory=TaskRecord)
    """The Jobs that ask."""


@with_config(CAMEL)
@dataclass(frozen=True, slots=True)
class PruneStatus:
    """Files of this cache that nothing needs any more."""

    finished_at: Time = ""
    """When such files were last removed."""
    bytes_freed: int = 0
    """Bytes that this freed; with spec.volume.perNode on the last node."""
    bytes_unused: int | None = None
    """Bytes of such files, as the newest report says; absent where none does."""
    waiting_for_pods: int = 0
    """Pods that use the content before the present one: nothing is removed until they are gone."""
    node: str = ""
    """With spec.volume.perNode, the node that it has come to: it goes by their names."""
    job: TaskRecord = field(default_factory=TaskRecord)
    """The Jobs that remove them."""
