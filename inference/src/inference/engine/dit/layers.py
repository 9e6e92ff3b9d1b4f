"""The small layers that every part of the transformer shares.

Norms compute in float32 and return the input's type, as PyTorch's kernels do for half precision. Attention goes through
`scaled_dot_product_attention`, which picks the fastest kernel of the device. Tensors between layers are
`[batch, tokens, channels]`.
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
        return F.rms_norm(x, self.weight.shape, self.weight, self.eps)


def wide_linear(layer: nn.Module, x: Tensor) -> Tensor:
    """Apply a linear layer in float32, although its weight may be stored in less."""
    assert isinstance(layer, nn.Linear)
    return F.linear(x.float(), layer.weight.float(), layer.bias.float())


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attention over `[batch, tokens, heads, head_dim]`; returns `[batch, tokens, channels]`."""
    out = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
    return out.transpose(1, 2).flatten(2)


def gate(x: Tensor, change: Tensor, by: Tensor) -> Tensor:
    """Add `change * by` to the residual stream; `by` is float32, and so is the sum until it is rounded once."""
    # One pass over memory. With x.float() and the like there are five, which at full size is a tenth of a step.
    return torch.addcmul(x, change, by, out=torch.empty_like(x, memory_format=torch.contiguous_format))


def modulate(x: Tensor, norm: nn.LayerNorm, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise, then scale and shift by the time's modulation `[1, 1, channels]`, in float32."""
    shape = norm.normalized_shape
    # The modulation takes the place of the norm's own weight and bias, which it does not have.
    normed = F.layer_norm(x.float(), shape, (1 + scale).view(shape), shift.view(shape), norm.eps)
    return normed.to(x.dtype)
