"""What a server asks of a video engine, and what it hears back.

This module is the whole interface between the HTTP server and the engine: frozen records, two exceptions and one
protocol. It imports neither torch nor the server, so that either side can be tested without the other.

It does not decode, load or compute anything; `inference.engine.load_engine` makes the one real `VideoEngine`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

AudioMode = Literal["add", "para"]
"""How two voices share the track: one after the other, or at the same time."""

Resolution = Literal["multitalk-480", "multitalk-720"]


@dataclass(frozen=True, slots=True)
class Box:
    """Where a speaker is, in pixels of the source image, rows first as the official inputs have it."""

    top: float
    left: float
    bottom: float
    right: float


@dataclass(frozen=True, slots=True)
class Speaker:
    """One voice, and optionally the place of the person it belongs to."""

    audio: Path
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One video to make. `None` leaves the choice to the engine's default for the resolution."""

    prompt: str
    image: Path
    speakers: tuple[Speaker, ...]
    negative_prompt: str | None = None
    audio_mode: AudioMode = "para"
    resolution: Resolution = "multitalk-480"
    seconds: float | None = None
    """Longest length; None means as long as the audio."""
    steps: int = 40
    seed: int = 42
    text_guidance: float = 5.0
    audio_guidance: float = 4.0
    shift: float | None = None
    use_apg: bool = False
    teacache_threshold: float = 0.0
    """0 computes every step; 0.2 is the official compromise of speed and quality."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a generation is: `step` of `steps` in `window` of `windows`, both counted from 0."""

    stage: str
    window: int
    windows: int
    step: int
    steps: int

    @property
    def fraction(self) -> float:
        """Share of the sampling that is done, 0 to 1."""
        total = self.windows * self.steps
        return min(1.0, (self.window * self.steps + self.step) / total) if total > 0 else 0.0


@dataclass(frozen=True, slots=True)
class LoadProgress:
    """How far the loading of one component is, in bytes as they lie on the volume."""

    component: str
    bytes_done: int
    bytes_total: int


class Cancelled(Exception):
    """Raised by `generate` once its `cancelled` callback has answered True."""


class InvalidInput(ValueError):
    """An input that cannot be used: the field as it is named in the request, and a sentence for the user."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


class VideoEngine(Protocol):
    """Makes one video at a time; not safe to call from two threads at once."""

    def generate(
        self,
        request: GenerationRequest,
        output: Path,
        *,
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Write an MP4 at `output`, whole or not at all (temporary file and rename)."""
        ...
