"""The interface between the HTTP server and a video engine: frozen records, three exceptions and one protocol.

It imports nothing but the standard library, so that either side can be tested without the other.
`inference.engine.load_engine` makes the one real `VideoEngine`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

AudioMode = Literal["add", "para"]
"""How two voices share the track: one after the other, or at the same time."""

Resolution = Literal["multitalk-480", "multitalk-720"]

MAX_SPEAKERS = 2

ApiField = Literal[
    "prompt", "input_reference", "audio", "box", "size", "seconds", "audio_mode",
    "steps", "seed", "text_guidance", "audio_guidance", "shift", "use_apg", "teacache_threshold",
]  # fmt: skip
"""Fields of POST /v1/videos, by the names that clients know."""

FileField = Literal["input_reference", "audio"]
"""Those of them that are files: the picture or clip, and the voices."""


@dataclass(frozen=True, slots=True)
class Box:
    """Where a speaker is, in pixels of the source image, rows first as the official inputs have it."""

    top: float
    left: float
    bottom: float
    right: float

    def inside(self, height: float, width: float) -> bool:
        """Whether it has an area, all of it in a picture of this size."""
        return 0 <= self.top < self.bottom <= height and 0 <= self.left < self.right <= width


@dataclass(frozen=True, slots=True)
class Speaker:
    """One person: a voice, or None for a person who is silent, and optionally where the person is."""

    audio: Path | None
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """The numbers that decide how a video is sampled.

    The metadata are the API's bounds and its documentation: pydantic reads them, `server.fields` applies them.
    """

    steps: int = field(default=40, metadata={"ge": 1, "le": 100, "description": "Sampling steps."})
    seed: int = field(
        default=42,
        metadata={"ge": -1, "le": 2**32 - 1, "description": "The same seed gives the same video; -1 draws one."},
    )
    text_guidance: float = field(
        default=5.0, metadata={"ge": 0, "le": 30, "description": "How strictly the prompt is followed."}
    )
    audio_guidance: float = field(
        default=4.0, metadata={"ge": 0, "le": 30, "description": "How strictly the lips follow the voice."}
    )
    shift: float | None = field(
        default=None, metadata={"ge": 0.1, "le": 30, "description": "Schedule shift; default suits the size."}
    )
    use_apg: bool = field(default=False, metadata={"description": "Adaptive projected guidance: fewer burnt colours."})
    teacache_threshold: float = field(
        default=0.0, metadata={"ge": 0, "le": 1, "description": "0 computes every step; 0.2 is faster."}
    )


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One video to make. `None` leaves the choice to the engine's default for the resolution."""

    prompt: str
    image: Path
    """A picture; or a clip, where the engine takes them."""
    speakers: tuple[Speaker, ...]
    negative_prompt: str | None = None
    audio_mode: AudioMode = "para"
    resolution: Resolution = "multitalk-480"
    seconds: float | None = None
    """Maximum length; None means as long as the voices. Required if nobody speaks."""
    sampling: Sampling = Sampling()


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """What is known of a voice once its file is decoded."""

    seconds: float
    """From where the file begins to the end of its sound, pauses included."""
    start: float = 0.0
    """Where the file begins on its own clock, in seconds; 0 where the format has no clock."""


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """The size of the picture or clip in pixels, upright, and each person's voice; None is a person who is silent."""

    width: int
    height: int
    voices: tuple[VoiceInfo | None, ...]


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """What will be made."""

    width: int
    height: int
    frames: int
    seconds: float
    windows: int = 1
    """In how many pieces it is made, one after the other."""


@dataclass(frozen=True, slots=True)
class LoraFile:
    """A LoRA that is merged at load, and how strongly."""

    path: Path
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class PreparedCopy:
    """The transformer once more, in the type in which it is used."""

    files: tuple[Path, ...] = ()
    """Empty where there is none to take."""
    reason: str = ""
    """Why one that is there is not taken; empty if there is none at all."""


FindCopy = Callable[[str, Sequence[Path]], PreparedCopy]
"""Looks for a copy by the name of the type, and by the files that are read without it."""


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


def one_line(error: BaseException) -> str:
    """The message of an error as one line, or its class if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


class Cancelled(Exception):
    """Raised by `generate` once its `cancelled` callback has returned True."""


class EngineLost(RuntimeError):
    """Raised by `generate` when the engine cannot make any further video; only a restart helps."""


class InvalidInput(ValueError):
    """An input that cannot be used: its field in the API, a sentence for the user, and a stable code for programs."""

    def __init__(self, field: ApiField, message: str, code: str = "invalid_input") -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
        self.code = code


class VideoEngine(Protocol):
    """Makes one video at a time; `generate` is not safe to call from two threads at once, `plan_video` is."""

    @property
    def takes_clips(self) -> bool:
        """Whether the image of a request may be a clip, whose people then say something else."""
        ...

    def plan_video(self, request: GenerationRequest, media: MediaInfo) -> VideoPlan:
        """Say what `generate` would make, without a look at the files; raises `InvalidInput` if it would refuse."""
        ...

    def generate(
        self,
        request: GenerationRequest,
        output: Path,
        *,
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Write a complete MP4 at `output` (temporary file and rename).

        If it raises, `Cancelled` included, what was made until then is a complete MP4 at `output`, or there is no file.
        """
        ...
