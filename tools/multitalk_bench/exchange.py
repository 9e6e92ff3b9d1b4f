"""What several devices exchange in a step, and what a step would take: computed from shapes, not measured.

    {"devices": 4, "people": 1, "passes": 3, "tokens": 33600, "sentBytes": 46467993600, "gigabytesPerSecond": 50.0,
     "computedSecondsPerStep": 3.5}

The time is that of one device, divided, plus that of the bytes that each device sends. Nothing is taken to overlap, and
no exchange to wait for a slower device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from inference.engine.dit.config import DitConfig

SELF_ATTENTION = 4
"""Exchanges of a part of the tokens: queries, keys, values, and back."""
AUDIO_ATTENTION = 2
"""Queries, and back; every device has all voices."""
REGIONS = 3
FLOAT32 = 4


@dataclass(frozen=True, slots=True)
class Exchange:
    """A step that several devices make together."""

    devices: int
    tokens: int
    passes: int = 3
    people: int = 1
    element_bytes: int = 2
    shared_block_bytes: int = 0
    """Bytes of all blocks of which each device has a share."""

    def sent_bytes(self, config: DitConfig) -> int:
        """Bytes that each device sends in a step, its own part left out."""
        part = math.ceil(self.tokens / self.devices)
        others = self.devices - 1
        exchanges = (SELF_ATTENTION + AUDIO_ATTENTION) * self.passes
        exchanged = exchanges * part * config.dim * self.element_bytes * others // self.devices
        with_voices = min(2, self.passes - 1) if self.people == 2 else 0
        # A sum over all devices sends each number twice, but for the own part.
        mapped = 2 * with_voices * REGIONS * self.tokens * FLOAT32 * others // self.devices
        patches = self.passes * part * math.prod(config.patch) * config.out_channels * FLOAT32 * others
        weights = self.shared_block_bytes // self.devices * others
        return config.num_layers * (exchanged + mapped) + patches + weights

    def seconds(self, config: DitConfig, alone_s: float, gigabytes_per_second: float) -> float:
        """What a step takes that takes `alone_s` on one device."""
        return alone_s / self.devices + self.sent_bytes(config) / gigabytes_per_second / 1e9

    def describe(self, config: DitConfig, alone_s: float, gigabytes_per_second: float) -> dict[str, object]:
        """As the command prints it."""
        return {
            "devices": self.devices,
            "people": self.people,
            "passes": self.passes,
            "tokens": self.tokens,
            "sentBytes": self.sent_bytes(config),
            "gigabytesPerSecond": gigabytes_per_second,
            "computedSecondsPerStep": round(self.seconds(config, alone_s, gigabytes_per_second), 2),
        }
