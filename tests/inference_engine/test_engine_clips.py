"""A clip is dubbed: each window is shown the picture of the clip at the time of its first frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from torch import Tensor

from inference.engine import MultiTalkEngine, load_engine
from inference.engine.continuation import Opening
from inference.engine.video.frames import to_uint8
from inference.generation import GenerationRequest, InvalidInput, Sampling, Speaker
from inference.multitalk import AUDIO, BASE, FPS, WAV2VEC, Variant
from inference_engine.sounds import MakeVoice
from inference_media.clips import Film, number_of, steady

RATES = {
    "24 a second": Film(times=steady(24, 24), rate=Fraction(24)),
    "29.97 a second": Film(times=steady(Fraction(30_000, 1001), 30), rate=Fraction(30_000, 1001)),
    "60 a second": Film(times=steady(60, 60), rate=Fraction(60)),
    "shorter than the voice": Film(times=steady(25, 6)),
}


@pytest.fixture
def infinitetalk(volume: Path) -> MultiTalkEngine:
    folder = volume / "InfiniteTalk/single"
    folder.mkdir(parents=True)
    (volume / AUDIO / Variant.MULTITALK.audio_file).rename(folder / Variant.INFINITETALK.audio_file)
    return load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio="InfiniteTalk/single", device="cpu")


def request_for(clip: Path, voice: Path) -> GenerationRequest:
    return GenerationRequest("a person talks", clip, (Speaker(voice),), sampling=Sampling(steps=1, text_guidance=1))


def generate(engine: MultiTalkEngine, request: GenerationRequest, output: Path) -> None:
    engine.generate(request, output, on_progress=lambda _: None, cancelled=lambda: False)


class Shown:
    """The numbers of the pictures that windows are shown."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def __call__(self, real: Any) -> Any:
        def open_window(vae: Any, frame_num: int, source: Tensor, made: Tensor | None) -> Opening:
            (picture,) = to_uint8(source)
            self.numbers.append(number_of(Image.fromarray(picture)))
            opening: Opening = real(vae, frame_num, source, made)
            return opening

        return open_window


@pytest.mark.parametrize("name", RATES)
def test_each_window_is_shown_the_picture_at_its_time(
    infinitetalk: MultiTalkEngine, tmp_path: Path, make_voice: MakeVoice, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    from inference.engine import continuation

    film, shown = RATES[name], Shown()
    ways = continuation.CONTINUATIONS
    monkeypatch.setitem(ways, Variant.INFINITETALK, shown(ways[Variant.INFINITETALK]))
    (tmp_path / "clip").write_bytes(film.content())
    generate(infinitetalk, request_for(tmp_path / "clip", make_voice(0.8)), tmp_path / "video.mp4")
    geometry = infinitetalk._geometry
    starts = range(0, 20 - geometry.motion_frames, geometry.frame_num - geometry.motion_frames)
    passed = [sum(at <= Fraction(start, FPS) + Fraction(1, 1000) for at in film.times) for start in starts]
    assert shown.numbers == [count - 1 for count in passed]
    assert len(shown.numbers) > 2


def test_multitalks_weights_refuse_a_clip_before_any_work(
    engine: MultiTalkEngine, tmp_path: Path, make_voice: MakeVoice
) -> None:
    (tmp_path / "clip").write_bytes(Film().content())
    with pytest.raises(InvalidInput, match=r"input_reference: .*--audio-dir InfiniteTalk/single"):
        generate(engine, request_for(tmp_path / "clip", make_voice(0.2)), tmp_path / "video.mp4")
    assert not engine.takes_clips
