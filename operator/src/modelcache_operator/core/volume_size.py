"""The size of a claim with ``spec.volume.create.size: auto``: what the models need and the headroom, in whole GiB."""

from __future__ import annotations

from dataclasses import replace

from modelcache_operator.core.spec import VolumeSpec
from modelcache_operator.core.task_status import SizeStatus

GIB = 1 << 30


def requested(size_bytes: int, headroom: int) -> str:
    return f"{max(1, -(-size_bytes * (100 + headroom) // (100 * GIB)))}Gi"


def sized(volume: VolumeSpec, known: SizeStatus | None, content: str) -> VolumeSpec:
    """With the size that is known of this content; a size that the manifest gives stays."""
    if volume.headroom is None:
        return volume
    of_this = known is not None and known.content == content and known.bytes > 0
    return replace(volume, size=requested(known.bytes, volume.headroom) if known and of_this else "")
