"""Features of voices of any length, computed a stretch at a time when a window first hears it.

Voices up to `STRETCH` are encoded whole, as the original does. Of longer ones the encoder sees a stretch and some
context on either side, so that memory does not grow with the length. What the convolutions before it see is the same in
both cases: their one norm over time uses the whole voice's mean and variance, so a quiet stretch stays quiet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from inference.engine.encoders.wav2vec import ConvLayer, VoiceEncoder, deviation
from inference.engine.scene import FeatureTable, Voices
from inference.engine.video.windows import Window
from inference.multitalk import FPS

STRETCH = 60 * FPS
"""Video frames that are encoded at once."""
CONTEXT = 5 * FPS
"""Video frames on either side that the encoder hears with them."""
ROWS_AT_ONCE = 3_000
"""Rows of convolutional features computed at once, about a minute."""


def voice_features(
    encoder: VoiceEncoder, waves: Sequence[Tensor], frames: int, stretch: int = STRETCH, context: int = CONTEXT
) -> Voices:
    """Features of voices `[samples]` at 16 kHz that last `frames` video frames each."""
    if frames <= stretch:
        return FeatureTable(torch.stack([encoder(wave, frames).float() for wave in waves]))
    return LongVoices([ConvolvedVoice(encoder, wave, frames) for wave in waves], encoder, stretch, context)


class ConvolvedVoice:
    """The convolutional features of a voice, resampled to the frame rate, computed where they are asked for."""

    def __init__(self, encoder: VoiceEncoder, wave: Tensor, frames: int) -> None:
        self._layers = [each for each in encoder.feature_extractor.conv_layers if isinstance(each, ConvLayer)]
        self._wave = wave
        self._shift, self._size = wave.mean(), deviation(wave)
        self.frames = frames
        self._stride = math.prod(layer.conv.stride[0] for layer in self._layers)
        self._reach = 1
        for layer in reversed(self._layers):
            self._reach = (self._reach - 1) * layer.conv.stride[0] + layer.conv.kernel_size[0]
        self._rows = (len(wave) - self._reach) // self._stride + 1
        self._mean, self._scale = self._statistics()

    @torch.inference_mode()
    def rows(self, start: int, stop: int) -> Tensor:
        """Features `[stop - start, channels]` of video frames `start` to `stop`."""
        places = torch.arange(start, stop, device=self._wave.device, dtype=torch.float64)
        places = places * (self._rows - 1) / max(1, self.frames - 1)
        below = places.floor().long().clamp(max=max(0, self._rows - 2))
        share = (places - below).float()[:, None]
        first, last = int(below[0]), min(self._rows, int(below[-1]) + 2)
        found = torch.cat(
            [self._convolved(at, min(last, at + ROWS_AT_ONCE)) for at in range(first, last, ROWS_AT_ONCE)]
        )
        above = (below + 1).clamp(max=self._rows - 1)
        return torch.lerp(found[below - first], found[above - first], share)

    def _normalized(self, start: int, stop: int) -> Tensor:
        """As `wav2vec.normalize` makes it of the whole voice, without a copy of that."""
        return (self._wave[start:stop] - self._shift) / self._size

    def _convolved(self, start: int, stop: int) -> Tensor:
        wave = self._normalized(start * self._stride, (stop - 1) * self._stride + self._reach)
        first = self._layers[0]
        norm = first.layer_norm
        x = first.conv(wave[None, None])
        x = (x - self._mean) * self._scale * norm.weight[:, None] + norm.bias[:, None]
        x = F.gelu(x)
        for layer in self._layers[1:]:
            x = layer(x)
        features: Tensor = x[0].T
        return features

    @torch.inference_mode()
    def _statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and inverse deviation of the first convolution's channels over the whole voice."""
        conv, norm = self._layers[0].conv, self._layers[0].layer_norm
        step, kernel = conv.stride[0], conv.kernel_size[0]
        count = (len(self._wave) - kernel) // step + 1
        chunk = ROWS_AT_ONCE * self._stride // step
        total = squares = torch.zeros(conv.out_channels, dtype=torch.float64, device=self._wave.device)
        for start in range(0, count, chunk):
            stop = min(count, start + chunk)
            x = conv(self._normalized(start * step, (stop - 1) * step + kernel)[None, None])[0].double()
            total, squares = total + x.sum(1), squares + x.square().sum(1)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        return mean.float()[:, None], (variance + norm.eps).rsqrt().float()[:, None]


class LongVoices:
    """Features of long voices; the stretches used last are kept."""

    KEPT = 2

    def __init__(self, people: Sequence[ConvolvedVoice], encoder: VoiceEncoder, stretch: int, context: int) -> None:
        self._people = people
        self._encoder = encoder
        self._stretch, self._context = stretch, context
        self._kept: dict[int, Tensor] = {}

    @property
    def frames(self) -> int:
        """Video frames that the voices last."""
        return self._people[0].frames

    def heard(self, window: Window) -> Tensor:
        """What each frame of a window hears, `[people, frames, 2 * CONTEXT + 1, layers, dim]`."""
        rows = torch.tensor(window.rows)
        first, last = int(rows.min()) // self._stretch, int(rows.max()) // self._stretch
        found = torch.cat([self._features(number) for number in range(first, last + 1)], dim=1)
        self._kept = dict(list(self._kept.items())[-self.KEPT :])
        return found[:, rows - first * self._stretch]

    def _features(self, number: int) -> Tensor:
        if number not in self._kept:
            start, stop = number * self._stretch, min(self.frames, (number + 1) * self._stretch)
            begin, end = max(0, start - self._context), min(self.frames, stop + self._context)
            encoded = [
                self._encoder.encode(voice.rows(begin, end))[start - begin : stop - begin].cpu()
                for voice in self._people
            ]
            self._kept[number] = torch.stack(encoded)
        return self._kept[number]
