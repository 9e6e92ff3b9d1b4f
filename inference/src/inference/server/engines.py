"""Loads the engine. The only module of the server that imports torch, and only when called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from inference.generation import LoadProgress, VideoEngine
from inference.membership import Membership
from inference.server.config import GIB, ModelSettings, ServerConfig
from inference.server.prepared_copy.hashed_files import Part
from inference.server.prepared_copy.lookup import find_copy
from inference.server.ranks import Ranks
from inference.server.volume import VolumeIncomplete

LoadEngine = Callable[[ServerConfig, Callable[[LoadProgress], None]], VideoEngine]
"""Loads an engine by the settings, and reports its progress."""


def load_multitalk(
    config: ServerConfig, on_progress: Callable[[LoadProgress], None], *, ranks: Ranks | None = None
) -> VideoEngine:
    """Load MultiTalk from the volume onto the device, or with `ranks` onto several. Minutes for the full model."""
    from inference.engine import count_devices, join, load_engine

    ranks = ranks or Ranks()
    if ranks.place.size == 1 and (size := count_devices(config.gpus, config.device)) > 1:
        ranks.start(size)
    group = join(ranks.place, config.device) if ranks.place.size > 1 else None
    return load_engine(
        **_settings(config, ranks.place), on_progress=on_progress, limits=config.media_limits, group=group
    )


def follow_multitalk(config: ServerConfig, place: Membership) -> None:
    """Load this process' part of MultiTalk, and take part in the steps of rank 0 until that has ended."""
    from inference.engine import follow_engine, join

    follow_engine(**_settings(config, place), group=join(place, config.device))


def _settings(config: ServerConfig, place: Membership) -> dict[str, Any]:
    from inference.engine import device_name

    limit = config.memory_limit_gib
    return {
        "volume": config.volume,
        "base": config.base_dir,
        "wav2vec": config.wav2vec_dir,
        "audio": config.audio_dir,
        "device": device_name(config.device, place),
        "dtype": config.dtype,
        "memory_limit_bytes": None if limit is None else int(limit * GIB),
        "loras": config.lora,
        "compile": config.compile,
        "room_for": config.room_for,
        "find_copy": partial(find_copy, config.spec, config.volume),
    }


def open_weights(config: ModelSettings, dtype: str) -> tuple[Sequence[Path], list[Part]]:
    """The files of the transformer, and those of a copy in this type; no part if the copy would not be smaller."""
    from inference import engine

    directories = config.base_dir, config.wav2vec_dir, config.audio_dir
    try:
        files, weights = engine.open_weights(config.volume, *directories, dtype)
    except engine.EngineError as error:
        raise VolumeIncomplete(str(error)) from error
    total = len(weights.shards)

    def content(shard: Any) -> Iterator[memoryview]:
        try:
            yield from weights.content(shard)
        except engine.EngineError as error:
            raise VolumeIncomplete(str(error)) from error

    parts = [
        Part(
            f"transformer-{shard.number:05d}-of-{total:05d}",
            ".safetensors",
            shard.size,
            partial(content, shard),
        )
        for shard in weights.shards
    ]
    return files.transformer, parts if weights.is_smaller else []
