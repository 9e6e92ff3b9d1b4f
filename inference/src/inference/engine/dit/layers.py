"""The small layers that every part of the transformer shares.

Norms compute in float32 and return the input's type; attention goes through `scaled_dot_product_attention`, which
picks the fastest kernel of the device. Tensors between layers are `[batch, tokens, channels]`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Root-mean-square norm over all channels, before they are split into heads."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Scale every token to unit mean square, then by the weight."""
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)).to(x.dtype) * self.weight


class WideLayerNorm(nn.LayerNorm):
    """Layer norm that computes in float32 whatever the type of its input and weight."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise every token."""
        weight = None if self.weight is None else self.weight.float()
        bias = None if self.bias is None else self.bias.float()
        return F.layer_norm(x.float(), self.normalized_shape, weight, bias, self.eps).to(x.dtype)


def wide_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a linear layer in float32, although its weight may be stored in less."""
    assert isinstance(layer, nn.Linear)
    return F.linear(x.float(), layer.weight.float(), layer.bias.float())


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention over `[batch, tokens, heads, head_dim]`; returns `[batch, tokens, channels]`."""
    out = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return out.transpose(1, 2).flatten(2)


def gate(x: Tensor, change: Tensor, by: Tensor) -> Tensor:
    """Add `change * by` to the residual stream, in float32."""
    return (x.float() + change.float() * by).to(x.dtype)


def modulate(x: Tensor, norm: nn.Module, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise, then scale and shift by the time's modulation, in float32."""
    normed: Tensor = norm(x.float())
    return (normed * (1 + scale) + shift).to(x.dtype)
