"""Loads the engine. The only module of the server that imports torch, and only when called."""

from __future__ import annotations

from collections.abc import Callable

from inference.generation import LoadProgress, VideoEngine
from inference.server.config import GIB, ServerConfig

LoadEngine = Callable[[ServerConfig, Callable[[LoadProgress], None]], VideoEngine]
"""Loads an engine by the settings, and reports its progress."""


def load_multitalk(config: ServerConfig, on_progress: Callable[[LoadProgress], None]) -> VideoEngine:
    """Load MultiTalk from the volume onto the device. Minutes for the full model."""
    from inference.engine import load_engine

    limit = config.memory_limit_gib
    return load_engine(
        config.volume,
        base=config.base_dir,
        wav2vec=config.wav2vec_dir,
        audio=config.audio_dir,
        device=config.device,
        dtype=config.dtype,
        memory_limit_bytes=None if limit is None else int(limit * GIB),
        loras=config.lora,
        compile=config.compile,
        on_progress=on_progress,
        room_for=config.room_for,
        limits=config.media_limits,
    )
