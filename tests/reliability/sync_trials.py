"""``make reliability-sync``: random trials of the real init-sync, each one replayable by its seed.

    make reliability-sync TRIALS=2000            # seeds 1 to 2000
    make reliability-sync TRIALS=1 SEED=1234     # this one again
    make reliability-sync TRIALS=300 RACED=1     # only those beside a racer

A trial kills, ends and freezes syncs at random instants, spoils files of the volume and lets the hub misbehave, and
judges the volume after every step (oracle.py). Beside some, a racer exchanges names of the volume for links
(racer.py). Prints a summary; exits with 1 when a promise was broken.
"""

from __future__ import annotations

import argparse
import atexit
import multiprocessing
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reliability.plan import plan
from reliability.summary import Summary
from reliability.trial import Result, Trial
from support.crash import Nursery
from support.kill_lab import Lab, laboratory

PROCESSES_AT_ONCE = 3
TOLD_EVERY_S = 30.0
ENOUGH_FAILURES = 10


class Bench:
    """A laboratory with enough places to start processes from."""

    def __init__(self, lab: Lab, nurseries: list[Nursery]) -> None:
        self._lab = lab
        self._nurseries = nurseries

    def trial(self, seed: int) -> Result:
        return Trial(self._lab, self._nurseries, plan(seed)).run()


@contextmanager
def bench(folder: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        lab = stack.enter_context(laboratory(folder))
        nurseries = [lab.nursery]
        for number in range(1, PROCESSES_AT_ONCE):
            own = folder / f"place-{number}"
            own.mkdir()
            nurseries.append(stack.enter_context(Nursery(lab.hub.endpoint, own)))
        yield Bench(lab, nurseries)


def run(folder: Path, seeds: Iterable[int], jobs: int) -> Iterator[Result]:
    """In processes of their own, for a hub each takes a part of a core."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _settle_in, (str(folder),)) as pool:
        try:
            yield from pool.map(_trial, seeds)
        finally:
            pool.shutdown(cancel_futures=True)


_here: list[Bench] = []
"""Of this worker process."""


def _settle_in(folder: str) -> None:
    stack = ExitStack()
    _here.append(stack.enter_context(bench(Path(tempfile.mkdtemp(dir=folder)))))
    atexit.register(stack.close)


def _trial(seed: int) -> Result:
    try:
        return _here[0].trial(seed)
    except Exception as error:  # of the harness itself
        error.add_note(f"in the trial with seed {seed}")
        raise


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the workers and what they started end with this process
    summary = Summary()
    began = told = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="modelcache-trials-", dir=options.folder) as folder:
        seeds = (seed for seed in count(options.seed) if plan(seed).race or not options.raced)
        for result in run(Path(folder), islice(seeds, options.trials), options.jobs):
            summary.add(result)
            if result.wrong:
                print(replay(result), flush=True)
            if time.monotonic() - told > TOLD_EVERY_S:
                told = time.monotonic()
                print(f"{summary.trials:,} of {options.trials:,} trials, {summary.failures} failed", file=sys.stderr)
            if summary.failures >= ENOUGH_FAILURES:
                break
    summary.seconds = time.monotonic() - began
    print(summary.markdown())
    if options.json:
        options.json.write_text(summary.json())
    return 1 if summary.failures else 0


def replay(result: Result) -> str:
    """What a person needs to see a failure again."""
    lines = [f"FAILED: seed {result.seed}: {result.what}", "planned:"]
    lines += [f"  {step}" for step in plan(result.seed).steps()]
    lines += ["happened:", *(f"  {each}" for each in result.history)]
    return "\n".join([*lines, f"again: make reliability-sync TRIALS=1 SEED={result.seed}", ""])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed (default: 1)")
    parser.add_argument("--jobs", type=int, default=2, help="at the same time (default: 2)")
    parser.add_argument("--raced", action="store_true", help="only those with another writer that exchanges names")
    parser.add_argument("--folder", type=Path, help="where the volumes are made (default: the temporary folder)")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
