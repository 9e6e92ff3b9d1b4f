"""Clips that are not what they seem: refused with the reason, or decoded within the stated bounds."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from inference.generation import InvalidInput, MediaInfo
from inference.media.clip_file import Clip
from inference.media.limits import DEFAULT_LIMITS, MediaLimits
from inference.server.prober import MediaFiles, Prober
from inference_media.clips import Film, number_of, steady
from inference_server.hostile_clips import REFUSED, changing, damaged
from inference_server.test_hostile_media import peak_mib


def probe(folder: Path, content: bytes, limits: MediaLimits = DEFAULT_LIMITS) -> MediaInfo:
    path = folder / "clip"
    path.write_bytes(content)
    return asyncio.run(Prober(limits).probe(MediaFiles(path, ()), clips=True))


@pytest.mark.parametrize("name", REFUSED)
def test_a_clip_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    make, code, words = REFUSED[name]
    with pytest.raises(InvalidInput) as caught:
        probe(tmp_path, make())
    assert (caught.value.field, caught.value.code) == ("input_reference", code)
    assert words in caught.value.message


def test_a_clip_of_exactly_the_limits_is_accepted(tmp_path: Path) -> None:
    tight = MediaLimits(pixels=128 * 64, seconds=2.0)
    assert probe(tmp_path, Film(times=steady(25, 51)).content(), tight) == MediaInfo(128, 64, ())
    with pytest.raises(InvalidInput, match=r"longer than 1.9 s"):
        probe(tmp_path, Film(times=steady(25, 51)).content(), replace(tight, seconds=1.9))


def test_a_damaged_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        probe(tmp_path, damaged(Film("mov", "mjpeg", steady(25, 50), pixels="yuvj420p").content()))
    assert caught.value.code == "invalid_video"


def test_a_clip_whose_pictures_change_their_size_and_not_their_shape_is_shown_at_the_first_size(
    tmp_path: Path,
) -> None:
    path = tmp_path / "clip"
    path.write_bytes(changing(((128, 64), (256, 128), (64, 32))))
    with Clip(path, DEFAULT_LIMITS) as clip:
        seen = [clip.at(Fraction(number, 25)) for number in range(3)]
        assert [each.size for each in seen] == [(128, 64)] * 3
        assert [number_of(each) for each in seen] == [0, 1, 2]


def test_memory_does_not_grow_with_the_length_of_a_clip(tmp_path: Path) -> None:
    call = "from fractions import Fraction\n    from inference.media.clip_file import Clip\n    "
    call += "Clip(path, DEFAULT_LIMITS).at(Fraction(30))"
    peaks = [
        peak_mib(call, Film(times=steady(5, count), width=640, height=480, rate=Fraction(5)).content(), tmp_path)
        for count in (10, 190)
    ]
    assert peaks[1] - peaks[0] < 8


def test_weights_that_take_no_clips_say_what_to_send_and_which_take_them(tmp_path: Path) -> None:
    path = tmp_path / "clip"
    path.write_bytes(Film().content())
    with pytest.raises(InvalidInput, match=r"is an MP4 or MOV file, .*--audio-dir InfiniteTalk/single") as caught:
        asyncio.run(Prober(DEFAULT_LIMITS).probe(MediaFiles(path, ())))
    assert caught.value.code == "invalid_image"
