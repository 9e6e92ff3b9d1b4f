"""The sound of the result: what was sent, at its own rate and level, as long as the picture."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from inference.generation import VoiceInfo
from inference.media.audio_file import decode_audio
from inference.media.limits import DEFAULT_LIMITS
from inference.media.mp4 import Mp4Writer
from inference.media.soundtrack import RATES, Soundtrack, Upload, mix
from inference.media.timing import time_voices
from inference.media.voice_track import SoundForm
from inference.multitalk import FPS
from inference_engine.sounds import write_sound
from inference_media.recordings import Recording, beeps_in
from inference_server.hostile_media import wav_head


def upload(path: Path, content: bytes, start_s: float = 0.0) -> Upload:
    path.write_bytes(content)
    return Upload(path, decode_audio(path, DEFAULT_LIMITS).form, start_s)


def whole(track: Soundtrack, frames: int) -> np.ndarray:
    """The track of a video."""
    return np.concatenate(list(islice(track.pieces(), frames)), axis=1)


@pytest.mark.parametrize(
    ("sent", "channels", "rate"),
    [
        ([("wav", "pcm_s16le", 48_000, "stereo")], 2, 48_000),
        ([("wav", "pcm_s16le", 44_100, "mono")], 1, 44_100),
        ([("wav", "pcm_mulaw", 8_000, "mono")], 1, 8_000),
        ([("wav", "pcm_s16le", 37_800, "mono")], 1, 44_100),
        ([("wav", "pcm_s24le", 96_000, "stereo")], 2, 48_000),
        ([("wav", "pcm_s16le", 48_000, "5.1")], 2, 48_000),
        ([("wav", "pcm_mulaw", 8_000, "mono"), ("ipod", "aac", 44_100, "stereo")], 2, 44_100),
        ([], 1, 16_000),
    ],
    ids=["stereo", "CD", "telephone", "odd rate", "studio", "surround", "telephone and CD", "silence"],
)
def test_the_track_has_the_best_form_that_was_sent(
    tmp_path: Path, sent: list[tuple[str, str, int, str]], channels: int, rate: int
) -> None:
    uploads = [upload(tmp_path / str(n), Recording(*form).content()) for n, form in enumerate(sent)]
    track = mix(uploads, 20, DEFAULT_LIMITS)
    assert track.form == SoundForm(rate, channels)
    for side in whole(track, 20) if uploads else ():
        assert beeps_in(side, rate) == pytest.approx([0.2, 0.6], abs=0.003)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_the_level_of_each_voice_stays(tmp_path: Path, rate: int) -> None:
    loud = upload(tmp_path / "loud", Recording("wav", "pcm_s16le", rate, "stereo", beeps=(0.1,)).content())
    quiet = upload(tmp_path / "quiet", wav_head(rate, 1, (np.ones(rate) * 327).astype("<i2").tobytes()))
    track = mix([loud, quiet], 20, DEFAULT_LIMITS)
    wave = whole(track, 20)
    assert np.abs(wave).max() == pytest.approx(0.51, abs=0.01)
    assert wave[:, rate // 2] == pytest.approx([0.01, 0.01], abs=1e-3)


def test_what_would_be_cut_off_is_scaled_down(tmp_path: Path) -> None:
    full = wav_head(16_000, 1, (np.ones(16_000) * 32_000).astype("<i2").tobytes())
    track = mix([upload(tmp_path / "1", full), upload(tmp_path / "2", full)], 25, DEFAULT_LIMITS)
    wave = whole(track, 25)
    assert wave.max() == 1.0
    assert wave.min() == 1.0


def test_a_voice_that_begins_later_sounds_later_and_ends_with_the_video(tmp_path: Path) -> None:
    one = upload(tmp_path / "1", Recording("wav", "pcm_s16le", beeps=(0.1,)).content())
    two = upload(tmp_path / "2", Recording("wav", "pcm_s16le", beeps=(0.1, 0.7)).content(), start_s=0.4)
    track = mix([one, two], 25, DEFAULT_LIMITS)
    assert beeps_in(whole(track, 25)[0], 48_000) == pytest.approx([0.1, 0.5], abs=0.003)


CALL = (VoiceInfo(1.2, start=100.0), VoiceInfo(0.6, start=100.6))


@pytest.mark.parametrize(
    ("voices", "mode", "maximum", "starts", "frames"),
    [
        (CALL, "para", None, (0.0, 0.6), 30),
        (CALL[::-1], "para", None, (0.6, 0.0), 30),
        (CALL, "add", None, (0.0, 1.2), 45),
        (CALL, "para", 0.5, (0.0, 0.6), 12),
        ((VoiceInfo(0.5, start=7.0),), "para", None, (0.0,), 13),
        ((None, VoiceInfo(0.5, start=7.0)), "para", None, (0.0, 0.0), 13),
        ((None,), "para", 0.4, (0.0,), 10),
        ((VoiceInfo(5760 / 16_000),), "para", None, (0.0,), 9),
        ((VoiceInfo(5761 / 16_000),), "para", None, (0.0,), 10),
        ((VoiceInfo(1 / 768_000),), "para", None, (0.0,), 1),
        ((VoiceInfo(0.36),), "para", 0.36, (0.0,), 9),
    ],
)
def test_voices_keep_the_distance_of_their_clocks(
    voices: tuple[VoiceInfo | None, ...], mode: str, maximum: float | None, starts: tuple[float, ...], frames: int
) -> None:
    assert mode in ("add", "para")
    timing = time_voices(voices, "add" if mode == "add" else "para", maximum, DEFAULT_LIMITS)
    assert timing.starts == pytest.approx(starts)
    assert timing.frames == frames


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_a_film_has_sound_as_long_as_its_picture_at_every_rate(tmp_path: Path, rate: int, channels: int) -> None:
    frames = 23
    wave = np.zeros((channels, frames * rate // FPS), np.float32)
    wave[-1, rate // 5 : rate // 4] = 0.5 * np.sin(np.arange(rate // 4 - rate // 5) * 2 * np.pi * 500 / rate)
    path = tmp_path / "film.mp4"
    track = mix(
        [Upload(write_sound(tmp_path / "voice.wav", wave.T, rate), SoundForm(rate, channels), 0.0)],
        frames,
        DEFAULT_LIMITS,
    )
    with Mp4Writer(path, 32, 32, track) as film:
        film.add(np.zeros((frames, 32, 32, 3), np.uint8))
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert (stream.rate, stream.codec_context.layout.nb_channels) == (rate, channels)
        assert stream.duration is not None
        assert stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(frames / FPS, abs=1e-3)
        picture = container.streams.video[0]
        assert picture.duration is not None
        assert picture.time_base is not None
        assert float(picture.duration * picture.time_base) == pytest.approx(frames / FPS, abs=1e-3)
    heard = decode_audio(path, DEFAULT_LIMITS)
    assert heard.form == SoundForm(rate, channels)
    assert heard.info.seconds == pytest.approx(frames / FPS, abs=1e-3)
    assert beeps_in(heard.wave, 16_000)[0] == pytest.approx(0.2, abs=0.01)
