"""What happens in one trial of the sync, decided before it begins: a function of the seed alone.

A trial starts from a volume in some state and goes through rounds. In each, files are spoiled while nobody works, then
one to three processes sync the volume, some of them are struck by a signal, and the hub misbehaves. What the plan
cannot fix is how the processes are scheduled: a signal after 80 ms hits another instruction each time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

from reliability.outages import OUTAGES, Outage
from reliability.racer import Race, draw_race
from reliability.spoiling import CHANGES, LINK_CHANGES, Spoil, Target

PATIENT_EXPIRY_S = 20.0
"""With this expiry no lock is taken over from the living: even a busy machine lets them show that they are."""


class Start(StrEnum):
    """The volume at the beginning."""

    EMPTY = "an empty volume"
    WHOLE = "a complete volume"
    OLDER = "a complete volume of an older commit"
    BY_HAND = "files put there by hand"


class Ground(StrEnum):
    """What the volume is made of."""

    DISK = "a local disk"
    NO_CASE = "a volume without letter case"
    COPIES = "a volume on which a rename is a copy"
    LINKED = "a model directory that is a link to elsewhere"
    MERGED = "a model directory that is a link into another model's"


GROUNDS = {Ground.DISK: 50, Ground.NO_CASE: 14, Ground.COPIES: 14, Ground.LINKED: 14, Ground.MERGED: 8}
"""How often each is drawn."""
RACED = (Ground.DISK, Ground.LINKED, Ground.MERGED)
"""Names can be exchanged there."""


class Blow(StrEnum):
    """What is done to a process."""

    KILL = "SIGKILL"
    TERM = "SIGTERM"
    FREEZE = "SIGSTOP, later SIGCONT"
    FREEZE_KILL = "SIGSTOP, later SIGKILL"


class Moment(StrEnum):
    """What ``Strike.value`` counts."""

    CHANGE = "before a change of the volume"
    BYTES = "at a share of the bytes"
    TIME = "after seconds"


@dataclass(frozen=True, slots=True)
class Strike:
    blow: Blow
    moment: Moment
    value: float
    frozen_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Process:
    """One sync."""

    after_s: float
    """How long after the first one it starts."""
    deep: bool
    strike: Strike | None


@dataclass(frozen=True, slots=True)
class Upkeep:
    """A prune or a scrub before the syncs of a round, which may be killed before one of its changes."""

    verb: str
    kill_at: int | None


@dataclass(frozen=True, slots=True)
class Round:
    spoils: tuple[Spoil, ...]
    processes: tuple[Process, ...]
    outage: Outage | None
    deep_verify: bool
    """How the volume is judged afterwards."""


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    start: Start
    connections: int
    rounds: tuple[Round, ...]
    ground: Ground
    race: Race | None
    """That goes on beside every round."""
    upkeep: tuple[Upkeep | None, ...]
    """By round."""

    @property
    def lock_expiry_s(self) -> float:
        """Short where somebody would have to wait for it; else nobody may take a lock over from the living."""
        strikes = [each.strike for round_ in self.rounds for each in round_.processes if each.strike]
        spoils = [spoil.target for round_ in self.rounds for spoil in round_.spoils]
        frozen = any(strike.blow in (Blow.FREEZE, Blow.FREEZE_KILL) for strike in strikes)
        return 1.0 if frozen or Target.LOCK in spoils else PATIENT_EXPIRY_S

    def steps(self) -> list[str]:
        """For a person, a line each."""
        lines = [f"start with {self.start} on {self.ground}"]
        lines += [f"beside each round: {self.race}"] if self.race else []
        lines.append(f"{self.connections} connections, lock expiry {self.lock_expiry_s:g} s")
        for number, round_ in enumerate(self.rounds, 1):
            lines += [f"round {number}: spoil {spoil}" for spoil in round_.spoils]
            upkeep = self.upkeep[number - 1]
            lines += [f"round {number}: {upkeep}"] if upkeep else []
            lines += [f"round {number}: hub: {round_.outage}"] if round_.outage else []
            lines += [f"round {number}: sync: {process}" for process in round_.processes]
            lines.append(f"round {number}: verify{' --deep' if round_.deep_verify else ''}")
        return [*lines, "healthy hub: sync, then sync again"]


def plan(seed: int) -> Plan:
    rng = random.Random(seed)
    start = rng.choice((Start.EMPTY, Start.EMPTY, Start.WHOLE, Start.OLDER, Start.BY_HAND))
    count = rng.choice((1, 1, 2, 3))
    rounds = tuple(_round(rng, later=number > 0, spoils=start is not Start.EMPTY) for number in range(count))
    connections = rng.choice((1, 2, 4))
    ground = rng.choices(list(GROUNDS), list(GROUNDS.values()))[0]
    race = draw_race(rng) if ground in RACED and rng.random() < 0.3 else None
    apart = random.Random(f"upkeep {seed}")  # what else a seed stands for stays as it was
    upkeep = tuple(None if race else _upkeep(apart) for _ in rounds)
    return Plan(seed, start, connections, rounds, ground, race, upkeep)


def _upkeep(rng: random.Random) -> Upkeep | None:
    verb = rng.choice(("prune", "scrub", "scrub", ""))
    return Upkeep(verb, rng.randint(1, 40) if rng.random() < 0.5 else None) if verb else None


def _round(rng: random.Random, later: bool, spoils: bool) -> Round:
    processes = rng.choices((1, 2, 3), (65, 25, 10))[0]
    return Round(
        tuple(_spoil(rng, later) for _ in range(rng.choice((0, 1, 1, 2, 3)) if later or spoils else 0)),
        tuple(_process(rng, first=number == 0) for number in range(processes)),
        rng.choice(OUTAGES)(rng) if rng.random() < 0.4 else None,
        rng.random() < 0.3,
    )


def _spoil(rng: random.Random, later: bool) -> Spoil:
    # Partial files and journals are there only after a round that did not get to its end.
    target = rng.choices(list(Target), (5, 9, 9, 2, 1, 1, 2) if later else (8, 0, 0, 2, 1, 1, 2))[0]
    changes = LINK_CHANGES if target is Target.LINK else CHANGES
    return Spoil(target, rng.random(), rng.choice(list(changes)), rng.random(), rng.random() < 0.4)


def _process(rng: random.Random, first: bool) -> Process:
    strike = _strike(rng) if rng.random() < 0.7 else None
    return Process(0.0 if first else rng.uniform(0, 0.2), rng.random() < 0.1, strike)


def _strike(rng: random.Random) -> Strike:
    blow = rng.choices(list(Blow), (60, 15, 18, 7))[0]
    moment = rng.choice([each for each in Moment if blow is Blow.KILL or each is not Moment.CHANGE])
    value = _value(rng, moment)
    # Around the lock's expiry of one second: some thaw before anybody took it over, some after.
    return Strike(blow, moment, value, rng.uniform(0.1, 2.0) if "STOP" in blow else 0.0)


def _value(rng: random.Random, moment: Moment) -> float:
    match moment:
        case Moment.CHANGE:
            return float(rng.randint(1, 100))
        case Moment.BYTES:
            return rng.random()
        case Moment.TIME:
            return rng.uniform(0, 0.5)
