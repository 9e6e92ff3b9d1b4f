"""One of several processes that make a video together: `VOLUME LIMIT,...`, limits of each device in bytes, 0 for none.

The first prints for each limit how many blocks are shared and on the host, and for each video how far it is from the
same one made alone, and the hash of its frames.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from hashlib import sha256
from pathlib import Path

import torch

from inference.engine import follow_engine, join, load_engine
from inference.engine.group import Group
from inference.engine.sharing import SharedPredictor
from inference.generation import Sampling
from inference.membership import membership_of
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference.server.exits import leave_at_once
from inference_engine.own_numbers import made

SIZE = (48, 48)
"""27 tokens a window, which divide neither by two nor by four."""
VIDEOS = (
    (1, Sampling(steps=2)),
    (2, Sampling(steps=2)),
    (1, Sampling(steps=7, teacache_threshold=1e9, text_guidance=1.0)),
)


def main() -> None:
    torch.set_num_threads(1)
    group = join(membership_of(os.environ), "cpu")
    volume, limits = Path(sys.argv[1]), sys.argv[2].split(",")
    for limit in limits:
        if group.leads:
            lead(volume, group, int(limit) or None)
            group.tell(None)
        else:
            follow_engine(
                volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu",
                memory_limit_bytes=int(limit) or None, group=group,
            )  # fmt: skip


def lead(volume: Path, group: Group, limit: int | None) -> None:
    load = partial(load_engine, volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")
    engine, alone = load(memory_limit_bytes=limit, group=group), load()
    print(engine.plan.shared_blocks, engine.plan.host_blocks)
    for people, sampling in VIDEOS:
        together = made(engine, people, 12, sampling, SIZE, partial(SharedPredictor, group))
        apart = (together - made(alone, people, 12, sampling, SIZE)).abs().max().item()
        print(apart, sha256(together.numpy().tobytes()).hexdigest())
    print()


if __name__ == "__main__":
    main()
    leave_at_once(0)  # as the server does
