"""A small, real engine: it decodes the picture and the voices and draws an MP4, step by step.

Same request, same file. A `StepGate` holds it before each step, so that a test can look at a generation in the middle.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from PIL.Image import Image

from inference.generation import Cancelled, GenerationRequest, InvalidInput, MediaInfo, Progress, VideoPlan
from inference.media.audio_file import decode_audio
from inference.media.clip_file import Clip
from inference.media.limits import DEFAULT_LIMITS, MediaLimits
from inference.media.reference import open_reference
from inference.media.timing import time_voices
from inference.multitalk import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

WIDTH = 64


class StepGate(Protocol):
    """Lets steps pass."""

    def wait(self, cancelled: Callable[[], bool]) -> None:
        """Return when the next step may be done, or once `cancelled` answers True."""


class ThreadGate:
    """For an engine in the same process: `allow(n)` lets n steps pass, `open()` all of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._allowed = 0.0
        self.arrived = 0

    def allow(self, steps: float) -> None:
        with self._changed:
            self._allowed += steps
            self._changed.notify_all()

    def open(self) -> None:
        self.allow(float("inf"))

    def wait(self, cancelled: Callable[[], bool]) -> None:
        with self._changed:
            self.arrived += 1
            self._changed.notify_all()
            while not self._allowed and not cancelled():
                self._changed.wait(0.02)
            self._allowed = max(0.0, self._allowed - 1)

    def wait_for_arrival(self, count: int, timeout_s: float = 10.0) -> None:
        """Block until the engine has asked `count` times."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.arrived >= count, timeout_s), f"only {self.arrived} steps begun"


class PipeGate:
    """For an engine in another process: each byte in the pipe lets one step pass, its closed end all of them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def wait(self, cancelled: Callable[[], bool]) -> None:
        while not cancelled():
            if select.select([self._descriptor], [], [], 0.02)[0]:
                os.read(self._descriptor, 1)
                return


class DrawingEngine:
    """Draws the picture, or the first of a clip, brighter where the voices are louder."""

    def __init__(
        self, gate: StepGate | None = None, limits: MediaLimits = DEFAULT_LIMITS, *, clips: bool = False
    ) -> None:
        self.takes_clips = clips
        self._gate = gate
        self._limits = limits
        self.requests: list[GenerationRequest] = []

    def plan_video(self, request: GenerationRequest, media: MediaInfo) -> VideoPlan:
        timing = time_voices(media.voices, request.audio_mode, request.seconds, self._limits)
        for speaker in request.speakers:
            if speaker.box and not speaker.box.inside(media.height, media.width):
                raise InvalidInput("box", "is not inside the picture", "box_outside_image")
        return VideoPlan(WIDTH, drawn_height(media.width, media.height), timing.frames, timing.seconds)

    def generate(
        self,
        request: GenerationRequest,
        output: Path,
        *,
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self.requests.append(request)
        steps = request.sampling.steps
        for step in range(steps):
            on_progress(Progress("sampling", 0, 1, step, steps))
            if self._gate is not None:
                self._gate.wait(cancelled)
            if cancelled():
                raise Cancelled
        on_progress(Progress("decoding", 0, 1, steps, steps))
        voices = [decode_audio(each.audio, self._limits).wave for each in request.speakers if each.audio]
        sound = mix(voices or [np.zeros(round((request.seconds or 0) * SAMPLE_RATE), np.float32)], request.audio_mode)
        if request.seconds is not None:
            sound = sound[: round(request.seconds * SAMPLE_RATE)]
        partial = output.with_suffix(".partial")
        with open_reference(request.image, self._limits, clips=self.takes_clips) as reference:
            picture = reference.at(Fraction(0)) if isinstance(reference, Clip) else reference
            draw(picture, sound, partial)
        partial.replace(output)


def mix(voices: list[np.ndarray], mode: str) -> np.ndarray:
    if mode == "add":
        return np.concatenate(voices)
    together = np.zeros(max(map(len, voices)), dtype=np.float32)
    for voice in voices:
        together[: len(voice)] += voice
    return together


def drawn_height(width: int, height: int) -> int:
    return max(2, round(WIDTH * height / width / 2) * 2)


def draw(source: Image, sound: np.ndarray, output: Path) -> None:
    height = drawn_height(*source.size)
    still = np.asarray(source.resize((WIDTH, height)), dtype=np.float32)
    with av.open(str(output), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = WIDTH, height, "yuv420p"
        audio = container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
        for number in range(max(1, round(len(sound) / SAMPLES_PER_FRAME))):
            heard = sound[number * SAMPLES_PER_FRAME : (number + 1) * SAMPLES_PER_FRAME]
            level = float(np.abs(heard).mean()) if len(heard) else 0.0
            frame = av.VideoFrame.from_ndarray(np.clip(still * (0.5 + level), 0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
        heard_all = av.AudioFrame.from_ndarray(sound[np.newaxis].astype(np.float32), format="fltp", layout="mono")
        heard_all.sample_rate, heard_all.pts, heard_all.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
        container.mux(audio.encode(heard_all))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
