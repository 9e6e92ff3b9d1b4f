"""Voice features of long voices: computed in stretches, the same numbers, memory that does not grow."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from inference.engine import MultiTalkEngine, load_engine, voice_features
from inference.engine.encoders.wav2vec import VoiceEncoder, normalize
from inference.engine.scene import FeatureTable
from inference.engine.video.windows import plan_windows
from inference.engine.voice_features import ConvolvedVoice, LongVoices
from inference.multitalk import AUDIO, BASE, SAMPLES_PER_FRAME, WAV2VEC
from support.checkpoint import tiny_checkpoint


@pytest.fixture(scope="module")
def encoder() -> VoiceEncoder:
    engine: MultiTalkEngine = load_engine(tiny_checkpoint(), base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")
    return engine._parts.voice


def wave(frames: int, seed: int = 1) -> Tensor:
    """Noise that is loud in its second quarter only."""
    sound = torch.randn(frames * SAMPLES_PER_FRAME, generator=torch.Generator().manual_seed(seed))
    sound[len(sound) // 4 : len(sound) // 2] *= 30
    return sound


def convolved_at_once(encoder: VoiceEncoder, sound: Tensor, frames: int) -> Tensor:
    with torch.inference_mode():
        features = encoder.feature_extractor(normalize(sound)[None])
        return F.interpolate(features, size=frames, mode="linear", align_corners=True)[0].T


@pytest.mark.parametrize("rows_at_once", [7, 50, 3000])
@pytest.mark.parametrize(("start", "stop"), [(0, 60), (0, 1), (59, 60), (13, 41)])
def test_convolutions_in_pieces_give_what_they_give_at_once(
    encoder: VoiceEncoder, monkeypatch: pytest.MonkeyPatch, rows_at_once: int, start: int, stop: int
) -> None:
    monkeypatch.setattr("inference.engine.voice_features.ROWS_AT_ONCE", rows_at_once)
    sound = wave(60)
    expected = convolved_at_once(encoder, sound, 60)[start:stop]
    torch.testing.assert_close(ConvolvedVoice(encoder, sound, 60).rows(start, stop), expected, rtol=1e-3, atol=1e-4)


def test_a_voice_of_one_stretch_is_encoded_whole(encoder: VoiceEncoder) -> None:
    sound = wave(60)
    voices = voice_features.voice_features(encoder, [sound], 60, stretch=60)
    assert isinstance(voices, FeatureTable)
    assert torch.equal(voices.features[0], encoder(sound, 60))


def test_stretches_that_hear_everything_give_the_whole(encoder: VoiceEncoder) -> None:
    sounds = [wave(60), wave(60, seed=2)]
    whole = FeatureTable(torch.stack([encoder(sound, 60) for sound in sounds]))
    voices = voice_features.voice_features(encoder, sounds, 60, stretch=25, context=60)
    assert voices.frames == 60
    for window in plan_windows(60, 9, 5).windows:
        torch.testing.assert_close(voices.heard(window), whole.heard(window), rtol=1e-3, atol=1e-3)


def test_no_more_than_two_stretches_are_kept(encoder: VoiceEncoder) -> None:
    voices = voice_features.voice_features(encoder, [wave(120)], 120, stretch=12, context=4)
    assert isinstance(voices, LongVoices)
    kept = []
    for window in plan_windows(120, 9, 5).windows:
        voices.heard(window)
        kept.append(len(voices._kept))
    assert max(kept) == LongVoices.KEPT


def test_a_window_over_the_border_of_two_stretches_encodes_each_once(
    encoder: VoiceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = encoder.encode

    def counted(features: Tensor) -> Tensor:
        encoded.append(len(features))
        return encode(features)

    voices = voice_features.voice_features(encoder, [wave(60)], 60, stretch=20, context=5)
    monkeypatch.setattr(encoder, "encode", counted)
    for window in plan_windows(60, 9, 5).windows:
        voices.heard(window)
    assert encoded == [25, 30, 25]
