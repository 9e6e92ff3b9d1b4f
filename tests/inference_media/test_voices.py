"""Voices of all containers and codecs: as long as they are, with everything where it was said."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.generation import InvalidInput
from inference.media.audio_file import decode_audio, measure_audio
from inference.media.limits import DEFAULT_LIMITS
from inference.media.voice_clock import VoiceClock
from inference_media.recordings import Recording, heard

FRAGMENTED = {"movflags": "frag_keyframe+empty_moov"}
LIVE = {"live": "1"}
FILES = {
    "WAV": Recording("wav", "pcm_s16le", 44_100, "stereo"),
    "WAV of a telephone": Recording("wav", "pcm_mulaw", 8_000),
    "WAV in float": Recording("wav", "pcm_f32le"),
    "WAV of six channels": Recording("wav", "pcm_s16le", layout="5.1"),
    "WAV of 96 kHz": Recording("wav", "pcm_s24le", 96_000),
    "W64": Recording("w64", "pcm_s16le"),
    "AIFF": Recording("aiff", "pcm_s16be", 44_100),
    "CAF": Recording("caf", "pcm_s16be", 44_100),
    "CAF with Apple's ADPCM": Recording("caf", "adpcm_ima_qt", 44_100),
    "FLAC": Recording("flac", "flac", 44_100),
    "MP3": Recording("mp3", "libmp3lame", 44_100),
    "M4A": Recording("ipod", "aac", 44_100, "stereo"),
    "MP4, fragmented": Recording("mp4", "aac", 44_100, options=FRAGMENTED),
    "MOV with ALAC": Recording("mov", "alac", 44_100),
    "3GP": Recording("3gp", "aac", 16_000),
    "raw AAC": Recording("adts", "aac", 44_100),
    "MP4 with Opus": Recording("mp4", "libopus"),
    "OGG with Opus": Recording("ogg", "libopus"),
    "OGG with FLAC": Recording("ogg", "flac", 44_100),
    "WebM": Recording("webm", "libopus"),
    "WebM of a browser": Recording("webm", "libopus", options=LIVE),
    "Matroska with AAC": Recording("matroska", "aac", 44_100),
    "Matroska with PCM": Recording("matroska", "pcm_s16le", 44_100),
    "Matroska with MP3": Recording("matroska", "libmp3lame", 44_100),
    "a video": Recording("mp4", "aac", 44_100, picture_from=0.0),
}


@pytest.mark.parametrize("recording", FILES.values(), ids=FILES.keys())
def test_every_format_keeps_length_and_places(tmp_path: Path, recording: Recording) -> None:
    seconds, beeps = heard(tmp_path / "voice", recording.content())
    assert seconds == pytest.approx(0.8, abs=0.024)  # a last frame of the codec may be filled up
    assert beeps == pytest.approx([0.2, 0.6], abs=0.003)


CLOCKED = [
    *(("webm", "libopus", 48_000, {}), ("webm", "libopus", 48_000, LIVE)),
    ("ogg", "libopus", 48_000, {"page_duration": "20000"}),
    *(("matroska", "pcm_s16le", 44_100, {}), ("matroska", "aac", 44_100, {}), ("mp4", "aac", 44_100, {})),
    *(("mp4", "libopus", 48_000, {}), ("mp4", "aac", 48_000, FRAGMENTED), ("mov", "alac", 44_100, {})),
]


@pytest.mark.parametrize(("form", "codec", "rate", "options"), CLOCKED)
def test_a_pause_that_is_only_in_the_timestamps_is_heard(
    tmp_path: Path, form: str, codec: str, rate: int, options: dict[str, str]
) -> None:
    talk = ((0.0, 0.4), (1.0, 0.4), (1.6, 0.2))
    recording = Recording(form, codec, rate, options=options, talk=talk, beeps=(0.1, 1.2, 1.65))
    seconds, beeps = heard(tmp_path / "voice", recording.content())
    assert seconds == pytest.approx(1.8, abs=0.045)
    assert beeps == pytest.approx([0.1, 1.2, 1.65], abs=0.025)


@pytest.mark.parametrize("jitter_s", [0.001, 0.01, 0.03])
def test_timestamps_that_jitter_tear_no_hole(jitter_s: float) -> None:
    clock = VoiceClock()
    placed = [clock.place(0.02 * n + (jitter_s if n % 2 else 0.0), 0.02) for n in range(50)]
    assert placed == pytest.approx([0.02 * n for n in range(50)])


def test_a_clock_that_drifts_is_followed() -> None:
    clock = VoiceClock()
    for n in range(30_000):
        at = clock.place(n * 0.02 * 1.0002, 0.02)
    assert at == pytest.approx(29_999 * 0.02 * 1.0002, abs=0.041)


def test_a_clock_that_begins_again_goes_on() -> None:
    clock = VoiceClock()
    assert [clock.place(at, 1.0) for at in (0.0, 1.0, 0.0, 1.0, 5.0)] == [0.0, 1.0, 2.0, 3.0, 7.0]


def test_without_timestamps_samples_are_counted() -> None:
    clock = VoiceClock()
    assert [clock.place(None, 0.5) for _ in range(3)] == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(("picture_from", "begin", "start"), [(0.0, 0.4, 0.0), (0.4, 0.0, 0.0), (None, 0.4, 0.4)])
def test_a_voice_begins_where_a_player_begins_the_file(
    tmp_path: Path, picture_from: float | None, begin: float, start: float
) -> None:
    options = {"avoid_negative_ts": "disabled"}
    recording = Recording(
        "matroska", "pcm_s16le", options=options, talk=((begin, 0.8),), beeps=(begin + 0.2,), picture_from=picture_from
    )
    path = tmp_path / "voice"
    lead = begin - start
    seconds, beeps = heard(path, recording.content())
    assert seconds == pytest.approx(lead + 0.8)
    assert beeps == pytest.approx([lead + 0.2], abs=0.003)
    assert measure_audio(path, DEFAULT_LIMITS).start == pytest.approx(start)


def test_a_pause_beyond_the_limit_is_refused_before_it_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "voice"
    path.write_bytes(Recording("matroska", "pcm_s16le", 8_000, talk=((0.0, 0.2), (3_600.0, 0.01)), beeps=()).content())
    with pytest.raises(InvalidInput, match="longer than 40 s"):
        decode_audio(path, DEFAULT_LIMITS)


def test_a_note_of_a_telephone_is_a_voice(tmp_path: Path) -> None:
    assert heard(tmp_path / "voice", b"#!AMR\n" + (b"\x3c" + bytes(31)) * 40) == (0.8, [])


NAMED = {
    "MPEG-TS": (Recording("mpegts", "aac", 44_100).content, "MPEG-TS"),
    "AU": (Recording("au", "pcm_s16be").content, "an AU file"),
    "WMA": (lambda: bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(50), "WMA"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(50), "a PNG picture"),
    "a HEIC picture": (lambda: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "HEIC"),
    "a web page": (lambda: b"<!DOCTYPE html><html>not found", "a web page"),
    "nothing": (lambda: b"", "an empty file"),
    "a codec that is not decoded": (Recording("matroska", "wavpack", 44_100).content, "wavpack"),
}


@pytest.mark.parametrize(("content", "name"), NAMED.values(), ids=NAMED.keys())
def test_what_is_no_voice_is_named(tmp_path: Path, content: object, name: str) -> None:
    assert callable(content)
    (tmp_path / "voice").write_bytes(content())
    with pytest.raises(InvalidInput, match=name):
        decode_audio(tmp_path / "voice", DEFAULT_LIMITS)
