"""`--max-megapixels` and `--max-seconds`: every layer accepts up to what they say, and nothing beyond."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from inference.generation import AudioMode, InvalidInput, VoiceInfo
from inference.media.audio_file import decode_audio
from inference.media.limits import DEFAULT_LIMITS, MediaLimits
from inference.media.timing import time_voices
from inference.server.config import ServerConfig
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer, config_for, error_of, running
from inference_server.hostile_media import saved, wav_head
from inference_server.media import wav

RAISED = {"max_megapixels": 80.0, "max_seconds": 900.0, "max_upload_mib": 16.0, "queue": 0}


def picture(width: int, height: int) -> bytes:
    return saved(Image.new("1", (width, height)), "PNG")


def voice(seconds: float, rate: int = 4_000) -> bytes:
    """Silence: 8-bit samples, so that a quarter of an hour is a few megabytes."""
    return wav_head(rate, 1, b"\x80" * round(seconds * rate), bits=8)


@pytest.fixture
def raised(tmp_path: Path) -> Iterator[RunningServer]:
    config = config_for(tmp_path, **RAISED)
    with running(config, DrawingEngine(limits=config.media_limits)) as server:
        yield server


@pytest.mark.parametrize(
    "fields",
    [
        {"image": picture(10_000, 7_000)},
        {"image": picture(10_000, 8_000)},
        {"voices": (voice(700),)},
        {"voices": (voice(900),)},
        {"voices": (voice(900, 11_025),)},
    ],
    ids=["70 megapixels", "80 megapixels", "700 s", "900 s", "900 s at a rate that is resampled"],
)
def test_what_the_flags_allow_becomes_a_video(raised: RunningServer, fields: dict[str, Any]) -> None:
    video_id = raised.create(**fields, seconds="0.2")
    assert raised.wait_status(video_id, "completed", "failed")["error"] is None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"image": picture(10_000, 8_001)}, "invalid_image"),
        ({"voices": (voice(900.1),)}, "too_long"),
        ({"voices": (voice(900.1),), "seconds": "1"}, "too_long"),
        ({"voices": (voice(500), voice(401)), "audio_mode": "add"}, "too_long"),
        ({"voices": (), "seconds": "900.1"}, "too_long"),
    ],
    ids=["picture", "voice", "voice that seconds would cut", "two voices together", "silence"],
)
def test_what_is_beyond_the_flags_is_refused(raised: RunningServer, fields: dict[str, Any], code: str) -> None:
    answer = raised.post(**fields)
    assert (answer.status_code, error_of(answer)["code"]) == (400, code)


@pytest.mark.parametrize("seconds", [0.5, 40.0])
def test_a_voice_of_exactly_the_limit_is_accepted_without_seconds(tmp_path: Path, seconds: float) -> None:
    config = config_for(tmp_path, max_seconds=seconds, max_upload_mib=4.0)
    with running(config, DrawingEngine()) as server:
        assert server.post(voices=(wav(seconds, rate=22_050),)).status_code == 200
        assert error_of(server.post(voices=(wav(seconds + 0.01, rate=22_050),)))["code"] == "too_long"


@pytest.mark.parametrize("megapixels", [0.1, 8.2, 70.1])
def test_a_limit_in_megapixels_loses_no_pixel(tmp_path: Path, megapixels: float) -> None:
    assert config_for(tmp_path, max_megapixels=megapixels).media_limits.pixels == round(megapixels * 10) * 100_000


def test_the_defaults_of_the_flags_and_of_the_engine_are_the_same() -> None:
    config = ServerConfig(spec=Path("m.yaml"), volume=Path("/models"))
    assert config.media_limits == DEFAULT_LIMITS


def test_voices_are_read_up_to_the_limit_and_not_beyond(tmp_path: Path) -> None:
    path = tmp_path / "voice"
    path.write_bytes(voice(700))
    for seconds in (900.0, 700.0):
        read = decode_audio(path, MediaLimits(seconds=seconds))
        assert (len(read.wave), read.info) == (700 * 16_000, VoiceInfo(700.0))
    with pytest.raises(InvalidInput, match="audio: is longer than 699 s"):
        decode_audio(path, MediaLimits(seconds=699))


SIX = VoiceInfo(6.0)


@pytest.mark.parametrize(
    ("voices", "mode", "seconds", "field"),
    [
        ((SIX, SIX), "add", None, "audio"),
        ((None,), "para", 11.0, "seconds"),
        ((SIX, SIX), "add", 11.0, "seconds"),
        ((SIX, VoiceInfo(6.0, start=5.0)), "para", None, "audio"),
        ((SIX, VoiceInfo(6.0, start=11.0)), "para", 4.0, "audio"),
    ],
    ids=["voices together", "silence", "voices cut to too much", "voices apart", "a voice that begins too late"],
)
def test_no_video_is_made_beyond_the_limit(
    voices: tuple[VoiceInfo | None, ...], mode: AudioMode, seconds: float | None, field: str
) -> None:
    with pytest.raises(InvalidInput, match=r"longer than the 10 s|begins 11 s after") as caught:
        time_voices(voices, mode, seconds, MediaLimits(seconds=10))
    assert caught.value.field == field
