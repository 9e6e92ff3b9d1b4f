"""Voice features: wav2vec 2.0's encoder at video rate, every layer's output.

The convolutional features (about 50 a second) are resampled to the frame rate before the encoder sees them, so that
there is one row per video frame. Native, because the library's model hides both places that this needs. Parameter
names are the checkpoint's without their `wav2vec2.` prefix.

Only the BASE architecture is built: group norm on the first convolution, norm after each layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from inference.engine.encoders.wav2vec_keys import Wav2VecConfig

WAVE_EPS = 1e-7


class ConvLayer(nn.Module):
    """Convolution without padding, group norm on the first, GELU."""

    conv: nn.Conv1d
    layer_norm: nn.GroupNorm
    """On the first layer alone."""

    def __init__(self, sizes: tuple[int, int, int, int], bias: bool, normed: bool) -> None:
        super().__init__()
        inputs, outputs, kernel, stride = sizes
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, bias=bias)
        if normed:
            self.layer_norm = nn.GroupNorm(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, channels, time]`."""
        x = self.conv(x)
        return F.gelu(self.layer_norm(x) if hasattr(self, "layer_norm") else x)


class ConvFeatures(nn.Module):
    """The stack of convolutions over the wave."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.conv_layers = nn.Sequential(
            *(ConvLayer(sizes, config.conv_bias, number == 0) for number, sizes in enumerate(config.convolutions))
        )

    def forward(self, wave: Tensor) -> Tensor:
        """Map `[batch, samples]` to `[batch, channels, time]`."""
        out: Tensor = self.conv_layers(wave[:, None])
        return out


class FeatureProjection(nn.Module):
    """Norm and projection from the convolutions' channels to the encoder's width."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        channels = config.convolutions[-1][1]
        self.layer_norm = nn.LayerNorm(channels, config.eps)
        self.projection = nn.Linear(channels, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, time, channels]`."""
        out: Tensor = self.projection(self.layer_norm(x))
        return out


class WeightNormConv(nn.Module):
    """The parameters of the position convolution: direction `weight_v`, length `weight_g` per kernel tap."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.groups = config.position_groups
        self.weight_g = nn.Parameter(torch.empty(1, 1, config.position_kernel))
        self.weight_v = nn.Parameter(torch.empty(config.dim, config.dim // self.groups, config.position_kernel))
        self.bias = nn.Parameter(torch.empty(config.dim))

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `[batch, channels, time]`; the same length comes out."""
        length = self.weight_v.square().sum((0, 1), keepdim=True).sqrt()
        kernel = self.weight_v.shape[-1]
        out = F.conv1d(x, self.weight_v * (self.weight_g / length), self.bias, padding=kernel // 2, groups=self.groups)
        return out[..., : x.shape[-1]]


class PositionConv(nn.Module):
    """Relative positions by convolution."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.conv = WeightNormConv(config)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, time, dim]`."""
        return F.gelu(self.conv(x.transpose(1, 2))).transpose(1, 2)


class VoiceAttention(nn.Module):
    """Self-attention over all frames."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.k_proj, self.v_proj, self.q_proj, self.out_proj = (nn.Linear(config.dim, config.dim) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Attend over `[batch, time, dim]`."""
        query, key, value = (
            torch.unflatten(layer(x), -1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        out: Tensor = self.out_proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))
        return out


class VoiceFeedForward(nn.Module):
    """Two linear layers with exact GELU."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.intermediate_dense = nn.Linear(config.dim, config.ffn_dim)
        self.output_dense = nn.Linear(config.ffn_dim, config.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, time, dim]`."""
        out: Tensor = self.output_dense(F.gelu(self.intermediate_dense(x)))
        return out


class VoiceLayer(nn.Module):
    """One encoder layer, norms after the residual sums."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.attention = VoiceAttention(config)
        self.layer_norm = nn.LayerNorm(config.dim, config.eps)
        self.feed_forward = VoiceFeedForward(config)
        self.final_layer_norm = nn.LayerNorm(config.dim, config.eps)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, time, dim]`."""
        x = self.layer_norm(x + self.attention(x))
        out: Tensor = self.final_layer_norm(x + self.feed_forward(x))
        return out


class VoiceLayers(nn.Module):
    """Positions, norm, and all layers, each layer's output kept."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.pos_conv_embed = PositionConv(config)
        self.layer_norm = nn.LayerNorm(config.dim, config.eps)
        self.layers = nn.ModuleList(VoiceLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, time, dim]` to `[batch, time, layers, dim]`."""
        x = self.layer_norm(x + self.pos_conv_embed(x))
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
        return torch.stack(outputs, dim=2)


class VoiceEncoder(nn.Module):
    """A mono wave at 16 kHz to features per video frame."""

    def __init__(self, config: Wav2VecConfig) -> None:
        super().__init__()
        self.config = config
        self.feature_extractor = ConvFeatures(config)
        self.feature_projection = FeatureProjection(config)
        self.encoder = VoiceLayers(config)

    @torch.inference_mode()
    def forward(self, wave: Tensor, frames: int) -> Tensor:
        """Encode `[samples]` to `[frames, layers, dim]`, whatever the number of samples."""
        features = self.feature_extractor(normalize(wave)[None])
        return self.encode(F.interpolate(features, size=frames, mode="linear", align_corners=True)[0].T)

    @torch.inference_mode()
    def encode(self, features: Tensor) -> Tensor:
        """Encode convolutional features at the frame rate, `[frames, channels]` to `[frames, layers, dim]`."""
        out: Tensor = self.encoder(self.feature_projection(features[None]))[0]
        return out.float()


def normalize(wave: Tensor) -> Tensor:
    """Bring a wave to zero mean and unit variance."""
    return (wave - wave.mean()) / deviation(wave)


def deviation(wave: Tensor) -> Tensor:
    """Of a wave's samples, never 0."""
    return (wave.var(correction=0) + WAVE_EPS).sqrt()
