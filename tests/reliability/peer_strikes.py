"""What befalls a peer in a trial: lies in its answers, an end of its server, a file that changes while it is sent."""

from __future__ import annotations

import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from support.linked_volume import zero
from support.lying_hub import Lie, LyingHub, Said, relisted
from support.peer import Peer, peer, peer_process
from support.relay import Relay

GONE = "no server"
STALL = "stall"
KILLED, ENDED = "server killed while it sends", "server told to end while it sends"
OVERWRITTEN, SHORTER, REPLACED = (f"file {how} while it is sent" for how in ("overwritten", "cut short", "replaced"))
HUB_DOWN, RECEIVER_KILLED, CUT = "hub down", "receiver killed", "answer cut by the server: the file changed"
STATUSES = (b"401", b"403", b"404", b"416", b"429", b"500", b"503")


def wrong_bytes(of: str, said: Said, chance: random.Random) -> Said:
    at = chance.randrange(len(said.body)) if said.body else 0
    return replace(said, body=said.body[:at] + bytes(each ^ 1 for each in said.body[at : at + 1]) + said.body[at + 1 :])


def truncation(of: str, said: Said, chance: random.Random) -> Said:
    return replace(said, body=said.body[: chance.randrange(len(said.body) + 1)])


def refusal(of: str, said: Said, chance: random.Random) -> Said:
    return replace(said, head=said.head.replace(b" 20", b" " + chance.choice(STATUSES) + b" ", 1))


def short_listing(of: str, said: Said, chance: random.Random) -> Said:
    return relisted(said, lambda listed: [each for each in listed if chance.random() < 0.7]) if of == "tree" else said


def another_commit(of: str, said: Said, chance: random.Random) -> Said:
    return replace(said, head=said.head.replace(b"X-Repo-Commit: ", b"X-Repo-Commit: f")) if of != "resolve" else said


LIES = {
    "wrong bytes": wrong_bytes,
    "truncation": truncation,
    "refusal": refusal,
    "short listing": short_listing,
    "another commit": another_commit,
}
CHANGES: dict[str, Callable[[Path, float], None]] = {
    OVERWRITTEN: lambda path, at: zero(path),
    SHORTER: lambda path, at: os.truncate(path, int(at * path.stat().st_size)),
    REPLACED: lambda path, at: rename_over(path),
}
KINDS = (*LIES, *CHANGES, STALL, KILLED, ENDED, GONE)
STRIKES = (*KINDS, CUT, RECEIVER_KILLED, HUB_DOWN)


def rename_over(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(bytes(path.stat().st_size))
    other.replace(path)


@contextmanager
def struck(kind: str, volume: Path, chance: random.Random, counts: Counter[str]) -> Iterator[str]:
    """The address of a peer with this volume, to which ``kind`` happens; ``counts`` gets each time that it did."""
    if kind == GONE:
        counts[kind] += 1
        yield "http://127.0.0.1:9"
    elif kind in LIES:
        with peer(volume) as served, LyingHub(served.endpoint) as liar:
            liar.lie = some_answers(kind, chance, counts)
            yield liar.endpoint
    elif kind in (KILLED, ENDED):
        number = signal.SIGKILL if kind == KILLED else signal.SIGTERM
        with peer_process(volume) as (served, process, _), relay(served, kind, chance, counts) as between:
            between.strike = lambda: process.send_signal(number)
            yield between.endpoint
    elif kind == STALL:
        with peer(volume) as served, relay(served, kind, chance, counts) as between:
            between.strike = between.keep_silent
            yield between.endpoint
    else:
        with changing(kind, volume, chance, counts) as endpoint:
            yield endpoint


def some_answers(kind: str, chance: random.Random, counts: Counter[str]) -> Lie:
    def lie(of: str, said: Said) -> Said:
        if of not in ("resolve", "tree", "model_info") or chance.random() < 0.4:
            return said
        told = LIES[kind](of, said, chance)
        counts[kind] += told != said
        return told

    return lie


@contextmanager
def relay(served: Peer, kind: str, chance: random.Random, counts: Counter[str]) -> Iterator[Relay]:
    """It strikes early as often as late."""
    with Relay(f"127.0.0.1:{served.port}", after_bytes=int(10 ** chance.uniform(2, 6.8))) as between:
        yield between
    counts[kind] += between.has_struck


@contextmanager
def changing(kind: str, volume: Path, chance: random.Random, counts: Counter[str]) -> Iterator[str]:
    """It is a copy that changes."""
    at = chance.random()
    with TemporaryDirectory(dir=volume.parent) as folder:
        copy = shutil.copytree(volume, Path(folder) / volume.name)
        with peer(copy) as served, relay(served, kind, chance, counts) as between:

            def change() -> None:
                for path in sorted(copy.glob("base/*.safetensors")):
                    CHANGES[kind](path, at)

            between.strike = change
            yield between.endpoint
            counts[CUT] += int(served.samples()["modelcache_serve_cut_responses_total", "changed"])
