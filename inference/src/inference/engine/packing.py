"""A block's weights in one piece of bytes, so that one copy or one exchange brings all of them.

The whole piece is on the host, or each of several devices has an equal share of it, in its own memory or on its host.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from inference.engine.group import Group

ALIGNMENT = 256
"""Bytes at which a packed tensor may begin; what a GPU's own allocations keep to."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Where each weight of a module is in one piece of bytes, of which `size` devices hold equal shares."""

    places: Mapping[str, tuple[int, torch.Size, torch.dtype]]
    share: int
    """Bytes of each device."""
    size: int = 1

    @classmethod
    def of(cls, module: nn.Module, dtype: torch.dtype | None = None, size: int = 1) -> Packing:
        """Pack a module, all of it in `dtype` if one is given."""
        places = {}
        end = 0
        for name, parameter in module.named_parameters():
            start = _up(end, ALIGNMENT)
            kind = dtype or parameter.dtype
            places[name] = (start, parameter.shape, kind)
            end = start + parameter.numel() * kind.itemsize
        return cls(places, _up(-(-end // size), ALIGNMENT), size)

    def views(self, packed: Tensor) -> dict[str, Tensor]:
        """Find the weights in their bytes."""
        return {
            name: packed[start : start + shape.numel() * dtype.itemsize].view(dtype).view(shape)
            for name, (start, shape, dtype) in self.places.items()
        }

    def part(self, name: str, rank: int, weight: Tensor) -> Tensor:
        """Those bytes of a weight that are in the share of `rank`."""
        start = self.places[name][0]
        low = min(max(rank * self.share - start, 0), weight.nbytes)
        high = min(max((rank + 1) * self.share - start, 0), weight.nbytes)
        return weight.reshape(-1).view(torch.uint8)[low:high]


class Weights(Protocol):
    """Weights of a block that are not on the device as they are needed there."""

    def fetch(self, device: torch.device) -> tuple[Tensor, dict[str, Tensor]]:
        """Begin to bring them to the device; all their bytes, and the weights in them by name."""
        ...


class PackedWeights:
    """A module's weights in one piece of host memory: one copy brings them all, and page-locking wastes little.

    The allocator of page-locked memory rounds every piece up to a power of two.
    """

    def __init__(self, module: nn.Module, *, page_locked: bool) -> None:
        self._packing = Packing.of(module)
        self._bytes = torch.empty(self._packing.share, dtype=torch.uint8, pin_memory=page_locked)
        views = self._packing.views(self._bytes)
        for name, parameter in module.named_parameters():
            parameter.data = views[name].copy_(parameter.data)

    def fetch(self, device: torch.device) -> tuple[Tensor, dict[str, Tensor]]:
        """Begin to copy everything to the device."""
        arrived = self._bytes.to(device, non_blocking=True)
        return arrived, self._packing.views(arrived)


class SharedWeights:
    """A module's weights of which this device's share is here, on the device or on the host; the others have the rest.

    The module has been filled with the parts of its weights that `Packing.part` has cut.
    """

    def __init__(self, module: nn.Module, packing: Packing, group: Group, *, page_locked: bool) -> None:
        self._packing, self._group = packing, group
        home = next(module.parameters()).device
        page_locked = page_locked and home.type == "cpu"
        self._bytes = torch.empty(packing.share, dtype=torch.uint8, pin_memory=page_locked, device=home)
        for name, part in module.named_parameters():
            start = max(packing.places[name][0] - group.shards.rank * packing.share, 0)
            self._bytes[start : start + part.numel()] = part.data
            part.data = part.data.new_empty(0)

    def fetch(self, device: torch.device) -> tuple[Tensor, dict[str, Tensor]]:
        """Begin to gather the shares of all devices."""
        share = self._bytes.to(device, non_blocking=True)
        arrived = share.new_empty(self._packing.share * self._packing.size)
        self._group.gather_weights(arrived, share)
        return arrived, self._packing.views(arrived)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
