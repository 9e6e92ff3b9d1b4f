"""Decoding of voices: a sound file, or the sound of a video file, at the times that its timestamps state.

The network hears a voice as mono at `SAMPLE_RATE`; the video gets the sound as it was sent. Both begin where a player
would begin the file: with its first sound, or with its picture if that comes first. Pauses are silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.stream import Disposition

from inference.generation import InvalidInput, VoiceInfo
from inference.media.kinds import kind_of
from inference.media.limits import (
    INVALID,
    MOST_STREAMS,
    SOUND_CODECS,
    SOUND_CONTAINERS,
    SOUND_FORMATS_TEXT,
    SOUND_RATES,
    TOO_LONG,
    MediaLimits,
)
from inference.media.voice_clock import CLOCKED, TOLERANCE_S, VoiceClock
from inference.media.voice_track import SoundForm, VoiceTrack, Wave
from inference.multitalk import SAMPLE_RATE

HEARD = SoundForm(SAMPLE_RATE, 1)
"""What the network hears."""

OPEN_OPTIONS = {
    "format_whitelist": ",".join(name for names in SOUND_CONTAINERS.values() for name in names),
    "codec_whitelist": ",".join(SOUND_CODECS),
    "protocol_whitelist": "file",
    "max_streams": str(MOST_STREAMS),
}


@dataclass(frozen=True, slots=True)
class Voice:
    """A decoded voice: what is known of it, how its file holds it, and what the network hears."""

    info: VoiceInfo
    form: SoundForm
    wave: Wave


def decode_audio(path: Path, limits: MediaLimits) -> Voice:
    """Decode the first audio stream."""
    decoding = Decoding(path, limits)
    samples = bytearray()  # grows in place
    for piece in decoding.waves(lambda _: HEARD):
        samples += piece.tobytes()
    assert decoding.form
    wave = np.frombuffer(samples, np.float32)
    return Voice(decoding.info, decoding.form, wave[: round(decoding.info.seconds * SAMPLE_RATE)])


def measure_audio(path: Path, limits: MediaLimits) -> VoiceInfo:
    """Decode the first audio stream in the same way, but only measure: constant memory."""
    decoding = Decoding(path, limits)
    for _ in decoding.waves(lambda _: HEARD):
        pass
    return decoding.info


class Decoding:
    """One pass through the first audio stream of a file. What it found is known once all waves are taken."""

    def __init__(self, path: Path, limits: MediaLimits) -> None:
        self._path = path
        self._limits = limits
        self._begin = 0.0
        self._end = 0.0
        self._clocked = False
        self.form: SoundForm | None = None
        """How the file holds it; more than two channels are two here."""

    @property
    def info(self) -> VoiceInfo:
        return VoiceInfo(round(self._end - self._begin, 9), round(self._begin, 9) if self._clocked else 0.0)

    def waves(self, choose: Callable[[SoundForm], SoundForm]) -> Iterator[Wave]:
        """The sound in pieces `[channels, samples]`, in the form that is chosen by that of the file; at least one."""
        track: VoiceTrack | None = None
        silent = True
        try:
            with av.open(str(self._path), options=OPEN_OPTIONS, metadata_errors="ignore") as container:
                for frame, at in self._placed(container):
                    if track is None:
                        self.form = SoundForm(frame.sample_rate, min(2, frame.layout.nb_channels))
                        track = VoiceTrack(choose(self.form))
                    for wave in track.add(frame, at - self._begin):
                        silent = False
                        yield _finite(wave)
                for wave in track.finish() if track else ():
                    silent = False
                    yield _finite(wave)
        except InvalidInput:
            raise
        except (av.FFmpegError, OSError, ValueError) as e:
            raise _refused(_not_decoded(self._path)) from e
        if silent:
            raise _refused("holds no sound.")

    def _placed(self, container: InputContainer) -> Iterator[tuple[AudioFrame, float]]:
        """Frames and when they begin. Each is bounded before the resampler sees it: a sample at 4 kHz becomes four."""
        _check_streams(container)
        stream = container.streams.audio[0]
        self._clocked = not CLOCKED.isdisjoint(container.format.name.split(","))
        clock: VoiceClock | None = None
        slowest, fastest = SOUND_RATES
        seconds = 0.0
        for frame, primes in _frames(container):
            if not slowest <= frame.sample_rate <= fastest:
                raise _refused(f"has a sample rate of {frame.sample_rate} Hz, not {slowest} to {fastest}.")
            seconds = frame.samples / frame.sample_rate
            if primes:
                clock = VoiceClock(shift=-seconds)
                continue
            stated = frame.time if self._clocked else None
            clock = clock or VoiceClock()
            first = clock.end is None
            at = clock.place(stated, seconds)
            if first:
                self._begin = self._end = _begin(container, at) if self._clocked else at
            self._end = max(self._end, at + seconds)
            if not self._limits.allow(self._end - self._begin):
                raise _refused(f"is longer than {self._limits.seconds:g} s; shorten it.", TOO_LONG)
            yield frame, at
        if self._clocked and stream.duration is not None and stream.time_base is not None:
            stated_end = self._begin + float(stream.duration * stream.time_base)
            if self._end - seconds < stated_end < self._end:  # codecs fill their last frame; MP4 says how long it is
                self._end = stated_end


def _frames(container: InputContainer) -> Iterator[tuple[AudioFrame, bool]]:
    """The frames, and whether one only primes the decoder.

    The first frame of AAC is half a window and not sound yet. Most files say so, and FFmpeg drops it: the first
    timestamp is then behind that of the first packet. Fragmented MP4 and raw AAC cannot say it.
    """
    stream = container.streams.audio[0]
    packet_time: float | None = None
    first = True
    for packet in container.demux(stream):
        if packet_time is None and packet.pts is not None:
            packet_time = float(packet.pts * packet.time_base)
        for frame in packet.decode():
            dropped = packet_time is not None and frame.time is not None and frame.time > packet_time
            yield frame, first and stream.codec_context.name == "aac" and not dropped
            first = False


def _begin(container: InputContainer, sound: float) -> float:
    """Where a player begins: a phone's video can show the picture before there is sound."""
    pictures = [
        float(stream.start_time * stream.time_base)
        for stream in container.streams.video
        if stream.start_time is not None
        and stream.time_base is not None
        and not stream.disposition & Disposition.attached_pic
    ]
    picture = min(pictures, default=sound)
    return picture if picture < sound - TOLERANCE_S else sound


def _check_streams(container: InputContainer) -> None:
    if not container.streams.audio:
        raise _refused("holds no sound.")
    if len(container.streams) >= MOST_STREAMS:
        raise _refused(f"has {MOST_STREAMS} streams or more; send its sound alone.")
    codec = container.streams.audio[0].codec_context.name
    if codec not in SOUND_CODECS:  # FFmpeg's list applies only to what it opens while it examines the file
        raise _refused(f"holds sound in the format {codec}, which is not decoded here.")


def _finite(wave: Wave) -> Wave:
    if not np.isfinite(wave).all():
        raise _refused("holds values that are not numbers.")
    return wave


def _not_decoded(path: Path) -> str:
    kind = kind_of(path)
    found = f"is {kind}, in which no sound can be decoded" if kind else "is not audio that can be decoded"
    return f"{found}; send {SOUND_FORMATS_TEXT}."


def _refused(message: str, code: str = INVALID["audio"]) -> InvalidInput:
    return InvalidInput("audio", message, code)
