"""One of several processes that make the recorded videos together; prints each case that has the official numbers."""

from __future__ import annotations

import torch
import torch.distributed as dist

from inference.engine.dit.parallel import TokenShards
from inference_engine.parity import infinitetalk, sampling
from inference_engine.parity.golden import Case
from inference_engine.parity.test_parity import RUNS, problems
from inference_engine.parity.test_several_devices import WHOLE


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    shards = TokenShards(dist.get_rank(), dist.get_world_size())
    sampling.SHARDS = infinitetalk.SHARDS = shards
    for case in WHOLE:
        check(case)
    dist.destroy_process_group()


def check(case: Case) -> None:
    wrong = problems(case, RUNS[case.kind](case))
    assert not wrong, f"{case.id}: {wrong}"
    print(f"{case.folder.name}-{case.id}", flush=True)


if __name__ == "__main__":
    main()
