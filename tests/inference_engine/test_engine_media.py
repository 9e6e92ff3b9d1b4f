"""Sound, pictures and sizes on their way in and out."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pyloudnorm  # type: ignore[import-untyped]
import pytest
import torch
from PIL import Image

from inference.engine.audio_tracks import TARGET_LUFS, level, measure_lufs, normalize_loudness, on_time_line
from inference.engine.geometry import Geometry
from inference.engine.video.buckets import SIZES, nearest_size
from inference.engine.video.colour import match_colours
from inference.engine.video.frames import resize_crop, to_pixels, to_uint8
from inference.engine.video.regions import default_boxes, latent_masks
from inference.generation import Box, InvalidInput
from inference.media.audio_file import decode_audio
from inference.media.image_file import decode_image
from inference.media.limits import DEFAULT_LIMITS
from inference.media.mp4 import Mp4Writer
from inference.media.soundtrack import Upload, mix
from inference.media.voice_track import SoundForm
from inference_engine.sounds import write_sound


def tone(seconds: float, level: float = 0.1) -> np.ndarray:
    wave: np.ndarray = level * np.sin(np.arange(round(seconds * 16_000)) * 0.2)
    return wave.astype(np.float32)


@pytest.mark.parametrize("level", [0.001, 0.1, 0.9])
def test_voices_are_brought_to_one_loudness(level: float) -> None:
    assert measure_lufs(normalize_loudness(tone(2, level))) == pytest.approx(TARGET_LUFS, abs=0.01)


@pytest.mark.parametrize("seconds", [60, 60.05, 121.27])
def test_a_long_voice_is_measured_in_stretches_as_it_would_be_at_once(seconds: float) -> None:
    time = np.arange(round(seconds * 16_000)) / 16_000
    pauses = np.sin(time * 0.9) > 0
    wave = (np.random.default_rng(0).normal(0, 0.1, len(time)) * pauses * (1 + np.sin(time / 20))).astype(np.float32)
    assert measure_lufs(wave) == pytest.approx(pyloudnorm.Meter(16_000).integrated_loudness(wave), abs=1e-6)


@pytest.mark.parametrize(
    "wave",
    [np.zeros(16_000, np.float32), np.zeros(1_000_000, np.float32), tone(0.1)],
    ids=["silence", "a minute of it", "shorter than the meter"],
)
def test_what_cannot_be_measured_stays_as_it_is(wave: np.ndarray) -> None:
    assert np.array_equal(normalize_loudness(wave), wave)


def test_one_gain_for_all_voices_of_a_conversation() -> None:
    loud, quiet = level([tone(2, 0.3), tone(2, 0.1)])
    assert loud is not None
    assert quiet is not None
    assert measure_lufs(loud) == pytest.approx(TARGET_LUFS, abs=0.01)
    assert np.abs(loud).max() / np.abs(quiet).max() == pytest.approx(3, rel=1e-3)


@pytest.mark.parametrize("below_db", [30, 43, 60, 90])
def test_a_microphone_that_hears_only_the_room_is_silence(below_db: float) -> None:
    room = np.random.default_rng(0).standard_normal(32_000).astype(np.float32) * 0.2 * 10 ** (-below_db / 20)
    talk, silent = level([tone(2, 0.3), room.astype(np.float32)])
    assert talk is not None
    assert silent is None


def test_a_voice_too_short_to_be_measured_is_no_background() -> None:
    assert level([tone(2, 0.3), tone(0.2, 0.01)])[1] is not None
    assert level([None, tone(0.2)])[0] is None


def test_one_voice_alone_is_brought_to_one_loudness_however_quiet() -> None:
    (alone,) = level([tone(2, 0.001)])
    assert alone is not None
    assert measure_lufs(alone) == pytest.approx(TARGET_LUFS, abs=0.01)


def test_a_voice_is_put_where_it_begins_and_cut_where_the_video_ends() -> None:
    assert on_time_line(np.ones(3, np.float32), 2, 8).tolist() == [0, 0, 1, 1, 1, 0, 0, 0]
    assert on_time_line(np.ones(3, np.float32), 2, 4).tolist() == [0, 0, 1, 1]
    assert on_time_line(np.ones(3, np.float32), 9, 4).tolist() == [0, 0, 0, 0]
    assert not on_time_line(None, 0, 4).any()


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_any_sound_file_becomes_mono_at_16_khz(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"voice.{suffix}"
    stereo = np.stack((tone(1), tone(1)), axis=1).repeat(3, axis=0)
    write_sound(path, stereo, 48_000)
    wave = decode_audio(path, DEFAULT_LIMITS).wave
    assert abs(len(wave) - 16_000) < 200
    assert wave.dtype == np.float32
    assert 0.05 < np.abs(wave).max() < 0.2


def test_the_sound_of_a_film_is_a_voice(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    voice = write_sound(tmp_path / "voice.wav", tone(1), 16_000)
    with Mp4Writer(path, 64, 64, mix([Upload(voice, SoundForm(16_000, 1), 0.0)], 25, DEFAULT_LIMITS)) as film:
        film.add(np.zeros((25, 64, 64, 3), np.uint8))
    assert abs(len(decode_audio(path, DEFAULT_LIMITS).wave) - 16_000) <= 1024


def test_a_film_without_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        container.mux(stream.encode(None))
    with pytest.raises(InvalidInput, match="no sound"):
        decode_audio(path, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    "script",
    [
        "ffconcat version 1.0\nfile voice.wav\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nvoice.wav\n#EXT-X-ENDLIST\n",
    ],
    ids=["concat", "hls"],
)
def test_a_script_that_names_other_files_is_refused(tmp_path: Path, script: str) -> None:
    write_sound(tmp_path / "voice.wav", tone(1), 16_000)
    (tmp_path / "list.wav").write_text(script)
    with pytest.raises(InvalidInput, match=r"not audio|playlist"):
        decode_audio(tmp_path / "list.wav", DEFAULT_LIMITS)


def test_a_format_whose_decoder_starts_a_program_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "picture.eps")
    with pytest.raises(InvalidInput, match="PostScript"):
        decode_image(tmp_path / "picture.eps", DEFAULT_LIMITS)


def test_an_empty_voice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    write_sound(path, np.zeros(0, np.float32), 16_000)
    with pytest.raises(InvalidInput, match="audio: "):
        decode_audio(path, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("size", "word"),
    [((31, 64), "few"), ((8_000, 7_000), "megapixels"), ((14_000, 14_000), "megapixels")],
)
def test_sizes_out_of_range_are_refused(tmp_path: Path, size: tuple[int, int], word: str) -> None:
    path = tmp_path / "picture.png"
    Image.new("1", size).save(path)
    with pytest.raises(InvalidInput, match=word):
        decode_image(path, DEFAULT_LIMITS)


def test_a_cut_picture_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((128, 128), 50).save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue()[:2000])
    with pytest.raises(InvalidInput, match="cannot be decoded"):
        decode_image(tmp_path / "cut.png", DEFAULT_LIMITS)


@pytest.mark.parametrize("resolution", SIZES)
def test_every_size_is_its_own_nearest(resolution: str) -> None:
    for size in SIZES[resolution]:
        assert nearest_size(*size, resolution) == size
        assert size[0] % 16 == size[1] % 16 == 0


@pytest.mark.parametrize("source", [(53, 77), (2000, 300), (64, 64), (33, 900)])
def test_a_crop_has_exactly_the_wanted_size(source: tuple[int, int]) -> None:
    image = Image.new("RGB", (source[1], source[0]), (10, 20, 30))
    crop = resize_crop(image, 64, 96)
    assert crop.shape == (64, 96, 3)
    assert (crop == (10, 20, 30)).all()


def test_pixels_survive_the_way_to_a_tensor_and_back() -> None:
    image = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    assert np.abs(to_uint8(to_pixels(image))[0].astype(int) - image).max() <= 1


def test_the_tiny_geometry_keeps_whole_tokens() -> None:
    tiny = Geometry(9, 5, 0.1)
    for resolution, sizes in SIZES.items():
        for size in sizes:
            rows, columns = tiny.output_size(*size, resolution)
            assert rows % 16 == columns % 16 == 0
            assert min(rows, columns) >= 32


def test_matching_gives_a_frame_the_statistics_of_the_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    reference = torch.rand(3, 1, 32, 32, generator=generator) * 0.3
    video = torch.rand(3, 2, 32, 32, generator=generator) * 0.5 - 0.4
    matched = match_colours(video, reference, 1.0)
    assert torch.allclose(matched.mean((2, 3)), reference.mean((2, 3)).expand(-1, 2), atol=0.02)
    assert torch.equal(match_colours(video, reference, 0.0), video)
    half = match_colours(video, reference, 0.5)
    assert torch.allclose(half, (video + matched) / 2, atol=1e-6)


def test_two_people_without_boxes_own_the_halves() -> None:
    left, right = default_boxes(100, 200)
    assert (left, right) == (Box(5, 5, 95, 95), Box(5, 105, 95, 195))
    masks = latent_masks((100, 200), (64, 128), (8, 16), None)
    assert bool(masks[0, 4, 2])
    assert bool(masks[1, 4, 13])
    assert torch.equal(masks.sum(0), torch.ones(8, 16))


@pytest.mark.parametrize(("frames", "left"), [(0, []), (3, ["film.mp4"])])
def test_a_film_that_fails_leaves_what_was_added(tmp_path: Path, frames: int, left: list[str]) -> None:
    def fail() -> None:
        with Mp4Writer(tmp_path / "film.mp4", 64, 64, mix([], 9, DEFAULT_LIMITS)) as film:
            film.add(np.zeros((frames, 64, 64, 3), np.uint8))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == left
