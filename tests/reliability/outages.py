"""What the hub does wrong while volumes are synced, drawn at random within what one kind of outage can be."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from support.hub import Fault
from support.kill_lab import MIB

LARGEST_BYTES = 12 * MIB + 12345
"""Of the files on the lab's hub: what one wrong byte costs at most."""
FETCHES = ("resolve", "blob")


@dataclass(frozen=True, slots=True)
class Outage:
    """What the hub does wrong during a round."""

    kind: str
    faults: tuple[Fault, ...] = ()
    after_s: float = 0.0
    """When it begins, from the start of the first sync on."""
    away_s: float = 0.0
    """How long it refuses connections."""
    costs_bytes: int = 0
    """What must be fetched again because of it, at most; cut connections aside."""
    cuts: int = 0
    """Connections that it ends."""
    final: bool = False
    """Whether the answer says that no retry will help."""


def status(rng: random.Random, code: int, retry_after: int | None = None) -> Outage:
    times = rng.choice((None, 1, 3))
    match = rng.choice((None, FETCHES, ("model_info",), ("tree",), ("blob",)))
    return Outage(f"answers {code}", (Fault("status", match=match, status=code, times=times, retry_after=retry_after),))


def rate_limit(rng: random.Random) -> Outage:
    return status(rng, 429, rng.choice((None, 0, 1, 60)))


def refused(rng: random.Random) -> Outage:
    status = rng.choice((401, 403, 404))
    fault = Fault("status", match=("resolve",), status=status, times=rng.choice((None, 1)))
    return Outage("answers 401, 403 or 404", (fault,), final=True)


def away(rng: random.Random) -> Outage:
    return Outage("refuses connections", away_s=rng.choice((60.0, rng.uniform(0.1, 1.0))))


def cut(rng: random.Random) -> Outage:
    kind, times = rng.choice(("drop_fin", "drop_rst")), rng.randint(1, 4)
    after = rng.choice((0, rng.randint(1, 4 * MIB)))
    return Outage("cuts connections", (Fault(kind, match=FETCHES, after_bytes=after, times=times),), cuts=times)


def dying(rng: random.Random) -> Outage:
    fault = Fault("die_every", match=("blob",), after_bytes=rng.randint(MIB, 4 * MIB))
    # A connection can carry little: each file is fetched over as many as it takes.
    return Outage("resets every connection after some bytes", (fault,), cuts=20)


def stall(rng: random.Random) -> Outage:
    times = rng.randint(1, 2)
    fault = Fault("stall", match=FETCHES, after_bytes=rng.choice((0, rng.randint(1, 4 * MIB))), times=times)
    return Outage("falls silent", (fault,), cuts=times)


def wrong(rng: random.Random) -> Outage:
    times = rng.randint(1, 3)
    fault = Fault("wrong_bytes", match=FETCHES, offset=rng.randint(0, 2 * MIB), times=times)
    return Outage("sends wrong bytes", (fault,), costs_bytes=times * LARGEST_BYTES)


def short(rng: random.Random) -> Outage:
    times = rng.randint(1, 4)
    fault = Fault("truncate", match=FETCHES, after_bytes=rng.choice((0, rng.randint(1, 4 * MIB))), times=times)
    return Outage("sends less than asked for", (fault,), cuts=times)


def short_listing(rng: random.Random) -> Outage:
    fault = Fault(
        "truncate", match=("model_info", "tree"), after_bytes=rng.randint(0, 800), times=rng.choice((None, 1))
    )
    return Outage("cuts its listing short", (fault,))


def no_ranges(rng: random.Random) -> Outage:
    times = rng.choice((1, 3, 8))
    fault = Fault("ignore_range", match=("blob",), times=times)
    # The third whole answer in a row means that the file is read from its beginning; each costs what was in flight.
    return Outage("ignores ranges", (fault,), costs_bytes=2 * LARGEST_BYTES, cuts=times)


def without_ranges(rng: random.Random) -> Outage:
    """A proxy that drops Range and ends answers: a file as large as that can only arrive when it is over."""
    cut = Fault(rng.choice(("drop_fin", "drop_rst")), match=("blob",), after_bytes=rng.randint(1, 4 * MIB))
    faults = (Fault("ignore_range", match=("blob",)), cut)
    # Tried again for as long as a run has patience: some ten answers, of as much as is let through.
    return Outage("knows no ranges and ends answers", faults, costs_bytes=20 * LARGEST_BYTES, cuts=20)


def new_etags(rng: random.Random) -> Outage:
    fault = Fault("change_etag", match=("blob",), times=rng.choice((2, 6)))
    return Outage("gives another ETag each time", (fault,), costs_bytes=2 * LARGEST_BYTES, cuts=6)


def expired(rng: random.Random) -> Outage:
    return Outage("lets signed addresses expire", (Fault("expire"),))


def slow(rng: random.Random) -> Outage:
    fault = Fault("slow", match=FETCHES, bytes_per_second=rng.randint(8 * MIB, 32 * MIB))
    return Outage("is slow", (fault, Fault("extra_delay", seconds=rng.uniform(0.01, 0.1), times=5)))


def omits_files(rng: random.Random) -> Outage:
    """Its short listing leaves files out without a word; the paged one is complete."""
    names = rng.choice(("*", "*.json", "*.safetensors", "diffusion/*", "twin-?.bin"))
    fault = Fault("unlisted", match=("model_info",), names=names, times=rng.choice((None, 1)))
    return Outage("leaves files out of its short listing", (fault,))


OUTAGES: tuple[Callable[[random.Random], Outage], ...] = (
    *(rate_limit, lambda rng: status(rng, rng.choice((500, 502, 503, 504))), refused, away, cut, dying, stall),
    *(wrong, short, short_listing, no_ranges, without_ranges, omits_files, new_etags, expired, slow),
)
