"""One of two processes that make a video together, and each alone; ends with 0 if the two are the same."""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist

from inference.engine import load_engine
from inference.engine.dit.parallel import TokenShards
from inference.engine.errors import EngineError
from inference.generation import Sampling
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference_engine.own_numbers import made
from support.checkpoint import tiny_checkpoint

SIZE = (48, 48)
"""27 tokens a window, which do not divide by two."""
TOLERANCE = 1e-3


def main() -> int:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    shards = TokenShards(dist.get_rank(), dist.get_world_size())
    engine = load_engine(tiny_checkpoint(), base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")
    for people, sampling in (
        (1, Sampling(steps=2)),
        (2, Sampling(steps=2)),
        (1, Sampling(steps=7, teacache_threshold=1e9, text_guidance=1.0)),
    ):
        shared = made(engine, people, 12, sampling, SIZE, shards)
        apart = (shared - made(engine, people, 12, sampling, SIZE)).abs().max().item()
        if apart > TOLERANCE:
            print(f"{people} people, {sampling}: {apart} apart")
            return 1
    try:
        shards.check_heads(3)
    except EngineError as refusal:
        print(refusal)
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
