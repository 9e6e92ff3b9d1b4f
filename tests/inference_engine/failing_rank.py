"""One of two processes, of which the second is `absent` (hears its calls and takes no part) or `broken` (fails in the
middle of a step). The first says how that ends for it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import timedelta
from functools import partial

import torch
from torch import nn

from inference.engine import group as group_module
from inference.engine import join, load_engine
from inference.engine.sharing import SharedPredictor, follow
from inference.generation import EngineLost, Sampling
from inference.membership import membership_of
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference.server.exits import leave_at_once
from inference_engine.own_numbers import made
from support.checkpoint import tiny_checkpoint


class Broken(nn.Module):
    """A block."""

    def forward(self, *_: object) -> None:
        raise ZeroDivisionError


def main() -> None:
    torch.set_num_threads(1)
    group = join(membership_of(os.environ), "cpu")
    if not group.leads and sys.argv[1] == "absent":
        while group.hear() is not None:
            pass
        return
    engine = load_engine(tiny_checkpoint(), base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")
    if not group.leads:
        engine._parts.dit.blocks[1] = Broken()
        with suppress(ZeroDivisionError):
            follow(group, engine._parts.dit, torch.device("cpu"))
        return
    try:
        made(engine, 1, 9, Sampling(steps=1), predictor=partial(SharedPredictor, group))
    except EngineLost as error:
        print(error)


if __name__ == "__main__":
    if sys.argv[1] == "absent":
        group_module.EXCHANGE_LIMIT = timedelta(seconds=2)
    main()
    leave_at_once(0)
