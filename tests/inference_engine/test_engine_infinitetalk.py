"""InfiniteTalk's file of audio layers makes the engine continue windows in InfiniteTalk's way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from inference.engine import CheckpointError, MultiTalkEngine, load_engine
from inference.engine.continuation import Opening, continue_infinitetalk, continue_multitalk
from inference.engine.geometry import Geometry
from inference.engine.known_frames import MASK_CHANNELS
from inference.multitalk import AUDIO, BASE, WAV2VEC, Variant
from support.checkpoint import tiny_checkpoint

SINGLE = "InfiniteTalk/single"


@pytest.fixture(scope="module")
def engine() -> MultiTalkEngine:
    return load_engine(tiny_checkpoint(), base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """The tiny checkpoint with InfiniteTalk's name for the audio layers, and no geometry of its own."""
    shutil.copytree(tiny_checkpoint(), tmp_path, dirs_exist_ok=True)
    (tmp_path / SINGLE).mkdir(parents=True)
    (tmp_path / AUDIO / Variant.MULTITALK.audio_file).rename(tmp_path / SINGLE / Variant.INFINITETALK.audio_file)
    return tmp_path


def load(volume: Path, audio: str = SINGLE) -> MultiTalkEngine:
    return load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio=audio, device="cpu")


def set_geometry(volume: Path, geometry: dict[str, object] | None) -> None:
    path = volume / BASE / "config.json"
    settings = json.loads(path.read_text())
    settings.pop("multitalk_geometry")
    path.write_text(json.dumps(settings | ({"multitalk_geometry": geometry} if geometry else {})))


def test_the_name_of_the_file_decides_the_variant(volume: Path, engine: MultiTalkEngine) -> None:
    assert load(volume)._geometry.variant is Variant.INFINITETALK
    assert engine._geometry.variant is Variant.MULTITALK


@pytest.mark.parametrize(
    ("geometry", "frames", "motion"), [(None, 81, 9), ({"frame_num": 13}, 13, 9), ({"motion_frames": 5}, 81, 5)]
)
def test_windows_are_as_published_unless_the_checkpoint_says_otherwise(
    volume: Path, geometry: dict[str, object] | None, frames: int, motion: int
) -> None:
    set_geometry(volume, geometry)
    found = load(volume)._geometry
    assert (found.frame_num, found.motion_frames) == (frames, motion)


def test_a_folder_above_single_and_multi_is_refused_with_the_names_that_were_looked_for(volume: Path) -> None:
    with pytest.raises(CheckpointError, match=r"InfiniteTalk/multitalk.safetensors or InfiniteTalk/infinitetalk"):
        load(volume, "InfiniteTalk")


def frames(*seeds: int) -> Tensor:
    drawn = [torch.rand(3, 1, 32, 48, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(drawn, dim=1) * 2 - 1


def openings(engine: MultiTalkEngine, made: Tensor | None) -> Sequence[Opening]:
    with torch.inference_mode():
        each = (continue_multitalk, continue_infinitetalk)
        return [way(engine._parts.vae, 9, frames(0), made) for way in each]


def test_the_first_windows_differ_in_the_fixed_latent_alone(engine: MultiTalkEngine) -> None:
    multitalk, infinitetalk = openings(engine, None)
    assert torch.equal(multitalk.condition, infinitetalk.condition)
    assert multitalk.known is None
    assert infinitetalk.known is not None
    torch.testing.assert_close(infinitetalk.known, infinitetalk.condition[MASK_CHANNELS:, :1])


def test_a_later_window_shows_the_source_and_fixes_what_was_made(engine: MultiTalkEngine) -> None:
    multitalk, infinitetalk = openings(engine, frames(1, 2, 3, 4, 5))
    assert (multitalk.shown.shape[1], multitalk.noised) == (5, True)
    assert (infinitetalk.shown.shape[1], infinitetalk.noised) == (1, False)
    assert torch.equal(infinitetalk.shown, frames(0))
    assert infinitetalk.known is not None
    assert multitalk.known is not None
    torch.testing.assert_close(infinitetalk.known, multitalk.known, rtol=1e-4, atol=1e-4)
    assert infinitetalk.condition[0].any(-1).any(-1).tolist() == [True, False, False]


def test_the_audio_projectors_norm_rounds_in_half_precision_as_in_float32() -> None:
    """InfiniteTalk's code runs it in float32 and rounds once; so do PyTorch's kernels."""
    x, weight, bias = (
        torch.randn(shape, generator=torch.Generator().manual_seed(1)).bfloat16() for shape in ((64, 48), 48, 48)
    )
    half = torch.nn.functional.layer_norm(x, (48,), weight, bias)
    wide = torch.nn.functional.layer_norm(x.float(), (48,), weight.float(), bias.float())
    assert torch.equal(half, wide.bfloat16())


def test_variants_have_the_published_names() -> None:
    assert [variant.audio_file for variant in Variant] == ["multitalk.safetensors", "infinitetalk.safetensors"]
    assert Geometry.from_settings({}, Variant.INFINITETALK) == Geometry(81, 9, variant=Variant.INFINITETALK)
