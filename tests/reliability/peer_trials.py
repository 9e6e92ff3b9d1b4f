"""``make reliability-peers``: syncs from peers that fail and lie at random, each trial replayable by its seed.

    make reliability-peers TRIALS=1000           # seeds 1 to 1000
    make reliability-peers TRIALS=1 SEED=123     # this one again

A trial makes one copy from three peers. In three of four trials one is honest; each of the others is struck in one way
(peer_strikes.py). The receiver may be killed and started again, the hub may be down (then there are pins). After each
run every byte on the volume is compared (oracle.py): what is called complete is, nothing that was right is lost, with a
hub or an honest peer the copy is complete, and the honest peer is blamed for nothing. A strike counts where it took
place; one that never does fails the run.
"""

from __future__ import annotations

import argparse
import logging
import random
import re
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from reliability.oracle import Oracle, Violation, Wrong
from reliability.peer_strikes import HUB_DOWN, KINDS, RECEIVER_KILLED, STRIKES, struck
from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.kill_lab import noise
from support.peer import peer
from support.sync import Result, manifest, model, run_command, run_sync

FILES = {
    "config.json": b'{"layers": 2}\n',
    "tokenizer.json": noise("tokenizer", 60_000),
    "weights-1.safetensors": noise("weights-1", 9 << 20),
    "weights-2.safetensors": noise("weights-2", 1 << 20),
}
BYTES = sum(map(len, FILES.values()))
TREE = {f"base/{name}": data for name, data in FILES.items()}
SPEC = manifest(model("base", "owner/base"))
HURRY = ("--stall-timeout", "1", "--give-up-after", "4")
BLAMED = r"peer {} is left out of this run: (?!Stalled)\w+"
"""Only for being slow, as everybody is on a busy machine, may an honest peer be left out."""
CHANGES = 60
"""Of the volume, or somewhat more, by a sync that is not killed."""
ALL_STRIKES_FROM = 500
"""Trials: in fewer, one of the strikes may have had no occasion."""


@dataclass
class Tally:
    """What was done, and what came of it."""

    trials: Counter[bool] = field(default_factory=Counter)
    """By whether one of the peers was honest."""
    hub_bytes: Counter[bool] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def hub_share(self, honest: bool) -> float:
        """Of the bytes of all copies."""
        return self.hub_bytes[honest] / (self.trials[honest] * BYTES) if self.trials[honest] else 0.0

    def failures(self) -> list[str]:
        found = list(self.wrong)
        if self.hub_share(True) > 0.05 or self.hub_share(False) > 1.05:
            found.append("the hub was asked for too much")
        if self.trials.total() >= ALL_STRIKES_FROM:
            found += [f"never struck: {each}" for each in STRIKES if not self.struck[each]]
        return found

    def text(self) -> str:
        lines = [f"| trials, with an honest peer and without | {self.trials[True]:,}, {self.trials[False]:,} |"]
        shares = f"{self.hub_share(True):.3f}x, {self.hub_share(False):.3f}x"
        lines += [f"| bytes of the hub, by those of the copies | {shares} |"]
        lines += [f"| broken promises | {len(self.wrong)} |"]
        lines += [f"| struck: {what} | {self.struck[what]:,} |" for what in STRIKES]
        return "\n".join(["| what | |", "| --- | --- |", *lines, *self.failures()])


class Ground:
    """A hub, and three complete volumes that are served."""

    def __init__(self, hub: LocalHub, nursery: Nursery, folder: Path, volumes: list[Path], pins: Path) -> None:
        self._hub, self._nursery, self._folder, self._volumes, self._pins = hub, nursery, folder, volumes, pins

    def trial(self, seed: int, tally: Tally) -> None:
        chance = random.Random(seed)
        honest = chance.random() < 0.75
        tally.trials[honest] += 1
        self._hub.reset_log()
        volume = self._folder / f"copy-{seed}"
        volume.mkdir()
        oracle = Oracle(volume, TREE)
        oracle.plant()
        oracle.look()
        try:
            self._copy(oracle, chance, honest, tally)
        except Violation as violation:
            tally.wrong.append(f"seed {seed}: {violation}")
            print(tally.wrong[-1], file=sys.stderr, flush=True)
        finally:
            self._hub.start()
        tally.hub_bytes[honest] += self._hub.bytes_sent
        shutil.rmtree(volume)

    def _copy(self, oracle: Oracle, chance: random.Random, has_honest: bool, tally: Tally) -> None:
        with ExitStack() as stack:
            kinds = [chance.choice(KINDS) for _ in self._volumes[has_honest:]]
            honest = stack.enter_context(peer(self._volumes[0])).endpoint if has_honest else ""
            urls = [honest] if honest else []
            for volume, kind in zip(self._volumes[has_honest:], kinds, strict=True):
                urls.append(stack.enter_context(struck(kind, volume, chance, tally.struck)))
            chance.shuffle(urls)
            flags = [*HURRY, *(each for url in urls for each in ("--peer", url))]
            hub_is_up = self._choose_hub(flags, chance, tally)
            if chance.random() < 0.5:
                self._kill(oracle, flags, chance, tally)
            done = run_sync(SPEC, oracle.volume, self._hub, *flags)
            self._judge(oracle, done, may_fail=not (hub_is_up or honest))
            if blamed := honest and re.search(BLAMED.format(re.escape(honest.removeprefix("http://"))), done.stdout):
                raise Violation(Wrong.EXIT, f"an honest peer, {blamed[0]}:\n{done.stdout}")
        self._hub.start()
        self._judge(oracle, run_sync(SPEC, oracle.volume, self._hub, *HURRY), may_fail=False)

    def _choose_hub(self, flags: list[str], chance: random.Random, tally: Tally) -> bool:
        """Returns whether it is up; where it is not, there are pins."""
        if chance.random() < 0.5:
            return True
        flags += ["--pins", str(self._pins)]
        if chance.random() < 0.5:
            return True
        tally.struck[HUB_DOWN] += 1
        self._hub.stop()
        return False

    def _kill(self, oracle: Oracle, flags: list[str], chance: random.Random, tally: Tally) -> None:
        at = chance.randrange(1, CHANGES)
        run = self._nursery.start("sync", SPEC, oracle.volume, *flags, kill_at=at)
        tally.struck[RECEIVER_KILLED] += run.wait() == -signal.SIGKILL
        oracle.judge()
        oracle.look()

    def _judge(self, oracle: Oracle, done: Result, may_fail: bool) -> None:
        found = oracle.judge()
        oracle.look()
        if done.returncode == 0:
            oracle.must_be_complete(found, "a sync", deep=True)
        elif not may_fail:
            raise Violation(Wrong.INCOMPLETE, f"exit code {done.returncode}:\n{done.stdout}{done.stderr}")
        if run_command("verify", SPEC, oracle.volume).returncode == 0:
            oracle.must_be_complete(found, "verify", deep=True)


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    RepoBuilder(folder / "hub", "owner/base").commit(FILES)
    with LocalHub(folder / "hub") as hub, Nursery(hub.endpoint, folder) as nursery:
        volumes = []
        for name in ("a", "b", "c"):
            volumes.append(folder / name)
            volumes[-1].mkdir()
            assert run_sync(SPEC, volumes[-1], hub).returncode == 0
        pins = folder / "pins.json"
        pins.write_text(run_command("status", SPEC, volumes[0], "--json").stdout)
        yield Ground(hub, nursery, folder, volumes, pins)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed (default: 1)")
    options = parser.parse_args()
    logging.disable()  # what peers in this process say about files that were changed on purpose
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="modelcache-peers-") as folder, ground(Path(folder)) as made:
        for seed in range(options.seed, options.seed + options.trials):
            made.trial(seed, tally)
    print(tally.text())
    return 1 if tally.failures() else 0


if __name__ == "__main__":
    sys.exit(main())
