"""Pictures and voices for the tests, and a look into the videos that come back."""

from __future__ import annotations

import io
import math
import struct
import wave
from dataclasses import dataclass

import av
import numpy as np
from PIL import Image


def png(width: int = 64, height: int = 48) -> bytes:
    """A gradient, so that a frame drawn from it can be recognised."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def wav(seconds: float = 0.4, *, hertz: float = 220.0, rate: int = 16_000) -> bytes:
    """A tone."""
    samples = (int(12_000 * math.sin(2 * math.pi * hertz * n / rate)) for n in range(round(seconds * rate)))
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as track:
        track.setnchannels(1)
        track.setsampwidth(2)
        track.setframerate(rate)
        track.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Decoded:
    """What a downloaded MP4 holds once every frame of it is decoded."""

    width: int
    height: int
    frames: int
    audio_seconds: float
    loudness: float


def decode(mp4: bytes) -> Decoded:
    with av.open(io.BytesIO(mp4), "r") as container:
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    with av.open(io.BytesIO(mp4), "r") as container:
        sound = list(container.decode(audio=0))
    height, width = frames[0].shape
    return Decoded(
        width=width,
        height=height,
        frames=len(frames),
        audio_seconds=sum(frame.samples / frame.sample_rate for frame in sound),
        loudness=max(float(np.abs(frame.to_ndarray()).max()) for frame in sound),
    )
