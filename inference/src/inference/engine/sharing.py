"""A step of the transformer, made by several processes.

The first process makes the video: it reads the inputs, encodes, guides and decodes. Only the transformer's steps are
shared. For each window the first process tells the others what the window is made from, and for each step its number
and the latent; then all compute the step together. Between two steps the others only wait, so a video that is cancelled
or fails in the first process needs no word to them.

Within a step all are needed. A process that fails there ends, and the group cannot go on: `EngineLost`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from inference.engine.device import choose_device
from inference.engine.dit.model import MultiTalkDiT, TimeConditioning
from inference.engine.group import Group, device_name
from inference.engine.known_frames import MASK_CHANNELS
from inference.engine.memory import MemoryPlan, WorkBytes
from inference.engine.predictor import Prompts, WindowInputs, WindowPredictor
from inference.engine.sampling.guidance import Pass
from inference.engine.sampling.teacache import StepEstimate
from inference.generation import EngineLost, one_line
from inference.membership import Membership


@dataclass(frozen=True, slots=True)
class WindowCall:
    """All that a window's steps are made from, but for the latent."""

    inputs: WindowInputs
    prompts: Prompts
    passes: tuple[Pass, ...]
    time: TimeConditioning
    plan: tuple[StepEstimate, ...] | None
    batch_passes: bool

    def predictor(self, dit: MultiTalkDiT, group: Group) -> WindowPredictor:
        """Fill in the transformer."""
        return WindowPredictor(
            dit, self.inputs, self.prompts, self.passes, self.time, self.plan,
            batch_passes=self.batch_passes, shards=group.shards,
        )  # fmt: skip

    def latent(self) -> Tensor:
        """Room for the window's latent."""
        return torch.empty_like(self.inputs.condition[MASK_CHANNELS:])


@dataclass(frozen=True, slots=True)
class StepCall:
    """One step of the window that was told last."""

    number: int


TOLD = (
    MemoryPlan, WorkBytes, WindowCall, StepCall, WindowInputs, Prompts, Pass, TimeConditioning, StepEstimate,
)  # fmt: skip


T = TypeVar("T")


def join(place: Membership, device: str) -> Group:
    """Meet the other processes; `device` is what all of them were started with."""
    return Group(place, choose_device(device_name(device, place)), TOLD)


class SharedPredictor:
    """A window's predictor in the first process: each step is computed by all."""

    def __init__(
        self,
        group: Group,
        dit: MultiTalkDiT,
        inputs: WindowInputs,
        prompts: Prompts,
        passes: Sequence[Pass],
        time: TimeConditioning,
        plan: Sequence[StepEstimate] | None,
        *,
        batch_passes: bool,
    ) -> None:
        call = WindowCall(inputs, prompts, tuple(passes), time, None if plan is None else tuple(plan), batch_passes)
        self._group = group
        self._own = call.predictor(dit, group)
        _lost_unless_done(lambda: group.tell(call))

    @torch.inference_mode()
    def velocities(self, latent: Tensor, step: int) -> list[Tensor]:
        """Return one velocity per pass."""

        def together() -> list[Tensor]:
            self._group.tell(StepCall(step))
            return self._own.velocities(self._group.send(latent), step)

        return _lost_unless_done(together)


def follow(group: Group, dit: MultiTalkDiT, device: torch.device) -> None:
    """Take part in every step, until the first process has ended."""
    predictor, latent = None, torch.empty(0)
    while (call := group.hear(device)) is not None:
        if isinstance(call, WindowCall):
            predictor = None  # frees what it holds, before the next one takes as much
            predictor, latent = call.predictor(dit, group), call.latent()
        else:
            assert predictor is not None
            with torch.inference_mode():
                predictor.velocities(group.send(latent), call.number)


def _lost_unless_done(work: Callable[[], T]) -> T:
    try:
        return work()
    except Exception as e:
        raise EngineLost(f"making a step with all devices: {one_line(e)}") from e
