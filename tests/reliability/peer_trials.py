"""``make reliability-peers``: syncs from peers that fail and lie at random, each trial replayable by its seed.

    make reliability-peers TRIALS=1000           # seeds 1 to 1000
    make reliability-peers TRIALS=1 SEED=123     # this one again

A trial makes one copy from three peers, of which one is honest: the others lie in some of their answers, or stop
serving; the receiver may be killed and started again, the hub may be down
(then there are pins). Judged after each run: exit code 0 means that every byte is right, and in the end all is
complete.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.hub import LocalHub, RepoBuilder
from support.kill_lab import noise
from support.lying_hub import Lie, LyingHub, Said, relisted
from support.peer import peer
from support.sync import manifest, model, run_command, run_sync, start_sync, tree

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


@dataclass
class Tally:
    """What was done, and what came of it."""

    trials: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    hub_bytes: int = 0
    wrong: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [f"| trials | {self.trials:,} |", f"| bytes wanted | {self.trials * BYTES:,} |"]
        lines += [f"| bytes of the hub | {self.hub_bytes:,} |", f"| broken promises | {len(self.wrong)} |"]
        lines += [f"| struck: {what} | {count:,} |" for what, count in sorted(self.struck.items())]
        return "\n".join(["| what | |", "| --- | --- |", *lines, *self.wrong])


def lies(kind: str, chance: random.Random) -> Lie:
    """Some of the answers of a peer, spoiled in one way."""

    def lie(of: str, said: Said) -> Said:
        if of not in ("resolve", "tree", "model_info") or chance.random() < 0.4:
            return said
        body = said.body
        if kind == "wrong bytes" and body:
            at = chance.randrange(len(body))
            return replace(said, body=body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])
        if kind == "cut":
            return replace(said, body=body[: chance.randrange(len(body) + 1)])
        if kind == "status":
            status = chance.choice([b"401", b"403", b"404", b"416", b"429", b"500", b"503"])
            return replace(said, head=said.head.replace(b" 20", b" " + status + b" ", 1))
        if kind == "another listing" and of == "tree":
            return relisted(said, lambda listed: [each for each in listed if chance.random() < 0.7])
        if kind == "another commit" and of != "resolve":
            return replace(said, head=said.head.replace(b"X-Repo-Commit: ", b"X-Repo-Commit: f"))
        return said

    return lie


KINDS = ("wrong bytes", "cut", "status", "another listing", "another commit", "gone", "honest")


class Ground:
    """A hub, and three complete volumes that are served."""

    def __init__(self, hub: LocalHub, folder: Path, volumes: list[Path], pins: Path) -> None:
        self._hub, self._folder, self._volumes, self._pins = hub, folder, volumes, pins

    def trial(self, seed: int, tally: Tally) -> None:
        chance = random.Random(seed)
        tally.trials += 1
        self._hub.reset_log()
        volume = self._folder / f"copy-{seed}"
        volume.mkdir()
        with ExitStack() as stack:
            urls = [self._peer(stack, source, kind, chance, tally) for source, kind in self._cast(chance)]
            chance.shuffle(urls)
            flags = [each for url in urls for each in ("--peer", url)]
            if chance.random() < 0.5:
                flags += ["--pins", str(self._pins)]
                if chance.random() < 0.5:
                    tally.struck["hub down"] += 1
                    self._hub.stop()
            if chance.random() < 0.5:
                self._kill_one(volume, flags, chance, tally)
            self._judge(seed, volume, run_sync(SPEC, volume, self._hub, *HURRY, *flags).returncode, tally)
        self._hub.start()
        if run_sync(SPEC, volume, self._hub, *HURRY).returncode != 0 or tree(volume) != TREE:
            tally.wrong.append(f"seed {seed}: not complete in the end")
        tally.hub_bytes += self._hub.bytes_sent
        shutil.rmtree(volume)

    def _cast(self, chance: random.Random) -> list[tuple[Path, str]]:
        return list(zip(self._volumes, ["honest", chance.choice(KINDS), chance.choice(KINDS)], strict=True))

    def _peer(self, stack: ExitStack, source: Path, kind: str, chance: random.Random, tally: Tally) -> str:
        tally.struck[kind] += 1
        if kind == "gone":
            return "http://127.0.0.1:9"
        served = stack.enter_context(peer(source))
        if kind == "honest":
            return served.endpoint
        between = stack.enter_context(LyingHub(served.endpoint))
        between.lie = lies(kind, chance)
        return between.endpoint

    def _kill_one(self, volume: Path, flags: list[str], chance: random.Random, tally: Tally) -> None:
        tally.struck["receiver killed"] += 1
        process = start_sync(SPEC, volume, self._hub, *HURRY, *flags)
        timer = threading.Timer(chance.uniform(0.2, 1.5), process.kill)
        timer.start()
        process.communicate()
        timer.cancel()

    def _judge(self, seed: int, volume: Path, code: int, tally: Tally) -> None:
        said_complete = run_command("verify", SPEC, volume).returncode == 0
        if (code == 0 or said_complete) and tree(volume) != TREE:
            tally.wrong.append(f"seed {seed}: called complete, and is not")


@contextmanager
def ground(folder: Path) -> Iterator[Ground]:
    RepoBuilder(folder / "hub", "owner/base").commit(FILES)
    with LocalHub(folder / "hub") as hub:
        volumes = []
        for name in ("a", "b", "c"):
            volumes.append(folder / name)
            volumes[-1].mkdir()
            assert run_sync(SPEC, volumes[-1], hub).returncode == 0
        pins = folder / "pins.json"
        pins.write_text(run_command("status", SPEC, volumes[0], "--json").stdout)
        yield Ground(hub, folder, volumes, pins)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000, help="how many (default: 1000)")
    parser.add_argument("--seed", type=int, default=1, help="the first one's seed (default: 1)")
    options = parser.parse_args()
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="modelcache-peers-") as folder, ground(Path(folder)) as made:
        for seed in range(options.seed, options.seed + options.trials):
            made.trial(seed, tally)
    print(tally.text())
    return 1 if tally.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
