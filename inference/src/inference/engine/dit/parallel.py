"""One video on several devices: each holds a part of the tokens, and during attention a part of the heads.

This is the scheme of DeepSpeed-Ulysses: before an attention an all-to-all exchange turns "some tokens, all heads" into
"all tokens, some heads", and another one turns the result back. Everything else works token by token. The numbers are
those of one device but for the order of sums over heads. Tokens that do not divide are filled up, and the filling is
dropped wherever all tokens are together, so no attention ever sees it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from inference.engine.errors import EngineError


@dataclass(frozen=True, slots=True)
class TokenShards:
    """This process' part in a group of `size`; a group of one changes nothing and exchanges nothing."""

    rank: int = 0
    size: int = 1

    def check_heads(self, heads: int) -> None:
        """Refuse a number of devices that the heads cannot be dealt to."""
        if heads % self.size:
            fitting = [n for n in range(2, heads + 1) if heads % n == 0]
            raise EngineError(
                f"joining {self.size} devices: the {heads} attention heads cannot be dealt to them evenly. Use one of "
                f"{', '.join(map(str, fitting))}"
            )

    def split(self, tokens: Tensor) -> Tensor:
        """Keep this process' part of `[batch, tokens, dim]`."""
        if self.size == 1:
            return tokens
        part = self._part(tokens.shape[1])
        filled = _fill(tokens, part * self.size)
        return filled[:, self.rank * part : (self.rank + 1) * part].contiguous()

    def join(self, part: Tensor, tokens: int) -> Tensor:
        """Bring the parts of all processes together again, `[batch, tokens, dim]`."""
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(parts, part.contiguous())
        return torch.cat(parts, dim=1)[:, :tokens]

    def to_heads(self, part: Tensor, tokens: int) -> Tensor:
        """From `[batch, part of the tokens, heads, head_dim]` to `[batch, tokens, part of the heads, head_dim]`."""
        if self.size == 1:
            return part
        return torch.cat(_exchange(part.chunk(self.size, dim=2)), dim=1)[:, :tokens]

    def to_tokens(self, heads: Tensor) -> Tensor:
        """Back from `[batch, tokens, channels of some heads]` to `[batch, part of the tokens, channels]`."""
        if self.size == 1:
            return heads
        part = self._part(heads.shape[1])
        return torch.cat(_exchange(_fill(heads, part * self.size).chunk(self.size, dim=1)), dim=2)

    def own_heads(self, x: Tensor) -> Tensor:
        """This process' heads of `[batch, tokens, heads, head_dim]` that every process has whole."""
        return x if self.size == 1 else x.chunk(self.size, dim=2)[self.rank]

    def total(self, x: Tensor) -> Tensor:
        """Sum over all processes."""
        if self.size > 1:
            dist.all_reduce(x)
        return x

    def _part(self, tokens: int) -> int:
        return -(-tokens // self.size)


ALONE = TokenShards()


def _fill(x: Tensor, tokens: int) -> Tensor:
    return F.pad(x, (0, 0, 0, tokens - x.shape[1]))


def _exchange(sent: Sequence[Tensor]) -> tuple[Tensor, ...]:
    outgoing = torch.stack(tuple(sent))
    received = torch.empty_like(outgoing)
    dist.all_to_all_single(received, outgoing)
    return received.unbind()
