"""One of several processes that make the recorded videos together; the first prints each with the official numbers."""

from __future__ import annotations

import os
from functools import partial

import torch

from inference.engine.sharing import SharedPredictor, follow, join
from inference.membership import membership_of
from inference.server.exits import leave_at_once
from inference_engine.parity import infinitetalk, models, sampling
from inference_engine.parity.golden import Case
from inference_engine.parity.test_parity import RUNS, problems
from inference_engine.parity.test_several_devices import WHOLE


def main() -> None:
    torch.set_num_threads(1)
    group = join(membership_of(os.environ), "cpu")
    sampling.PREDICTOR = infinitetalk.PREDICTOR = partial(SharedPredictor, group)
    for case in WHOLE:
        if group.leads:
            check(case)
            group.tell(None)
        else:
            follow(group, models.dit(case), torch.device("cpu"))


def check(case: Case) -> None:
    wrong = problems(case, RUNS[case.kind](case))
    assert not wrong, f"{case.id}: {wrong}"
    print(f"{case.folder.name}-{case.id}", flush=True)


if __name__ == "__main__":
    main()
    leave_at_once(0)  # as the server does
