"""The processes of a round: started, struck when it is time, while the hub misbehaves, until all of them have ended."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reliability.oracle import Violation, Wrong
from reliability.outages import Outage
from reliability.plan import Blow, Moment, Plan, Process, Round, Strike
from support.crash import Nursery, Run
from support.hub import LocalHub

IMPATIENT = ("--stall-timeout", "0.5", "--give-up-after", "1.5")
"""For syncs from a hub that misbehaves: trials must not wait it out."""
LONGEST_RUN_S = 90.0
"""More than the default patience of a sync with a dead hub: one that takes longer will not end."""
POLL_S = 0.004


@dataclass(slots=True)
class Struck:
    """A process on its way, and what will be done to it."""

    number: int
    process: Process
    run: Run
    starts_at: float
    bytes_at: int
    """What the hub will have sent when it is time for a strike that waits for bytes."""
    frozen_at: float = 0.0
    hit: bool = False
    done: bool = False


class Crowd:
    """Syncs of one volume, on orders of one plan."""

    def __init__(
        self, hub: LocalHub, nurseries: Sequence[Nursery], plan: Plan, spec: Path, volume: Path, reports: Path
    ) -> None:
        self._hub = hub
        self._nurseries = nurseries
        self._plan = plan
        self._spec = spec
        self._volume = volume
        self._reports = reports

    def run(self, round_: Round, missing_bytes: int) -> list[Struck]:
        """All have ended when it returns, and the hub is well again; ``missing_bytes`` are still to be fetched."""
        crowd: list[Struck] = []
        try:
            self._start(crowd, round_, missing_bytes)
            self._await(crowd, round_.outage)
        finally:
            for each in crowd:
                each.run.kill()
                each.run.wait()
            self._hub.clear_faults()
            self._hub.start()
        return crowd

    def _start(self, crowd: list[Struck], round_: Round, missing_bytes: int) -> None:
        began = time.monotonic()
        for number, process in enumerate(round_.processes):
            time.sleep(max(0.0, began + process.after_s - time.monotonic()))
            crowd.append(self._start_one(number, process, round_.outage, missing_bytes))

    def _start_one(self, number: int, process: Process, outage: Outage | None, missing_bytes: int) -> Struck:
        strike = process.strike
        kill_at = int(strike.value) if strike and strike.moment is Moment.CHANGE else None
        arguments = ["--connections", str(self._plan.connections), "--lock-expiry", str(self._plan.lock_expiry_s)]
        arguments += IMPATIENT if outage else ()
        arguments += ("--report", str(self._reports / "report.json")) if self._plan.race else ()
        arguments += ("--verify", "deep") if process.deep else ()
        run = self._nurseries[number].start("sync", self._spec, self._volume, *arguments, kill_at=kill_at)
        share = strike.value if strike and strike.moment is Moment.BYTES else 0.0
        bytes_at = self._hub.bytes_sent + int(missing_bytes * share)
        return Struck(number, process, run, time.monotonic(), bytes_at, done=kill_at is not None or strike is None)

    def _await(self, crowd: list[Struck], outage: Outage | None) -> None:
        began = time.monotonic()
        pending = outage
        while not all(each.run.over for each in crowd):
            now = time.monotonic()
            if pending and now - began >= pending.after_s:
                self._misbehave(pending)
                pending = None
            if outage and outage.away_s and now - began >= outage.after_s + outage.away_s:
                self._hub.start()
            for each in crowd:
                self._strike(each, now)
            if now - began > LONGEST_RUN_S:
                raise Violation(Wrong.HANG, "; ".join(each.run.output[-300:] for each in crowd if not each.run.over))
            time.sleep(POLL_S)

    def _misbehave(self, outage: Outage) -> None:
        for fault in outage.faults:
            self._hub.add_fault(fault)
        if outage.away_s:
            self._hub.stop()

    def _strike(self, each: Struck, now: float) -> None:
        strike = each.process.strike
        if strike is None or each.done or each.run.over:
            return
        if each.frozen_at:
            if now - each.frozen_at >= strike.frozen_s:
                each.run.send(signal.SIGCONT if strike.blow is Blow.FREEZE else signal.SIGKILL)
                each.done = True
            return
        if not self._is_due(each, strike, now):
            return
        each.hit = True
        if strike.blow in (Blow.FREEZE, Blow.FREEZE_KILL):
            each.run.send(signal.SIGSTOP)
            each.frozen_at = now
        else:
            each.run.send(signal.SIGTERM if strike.blow is Blow.TERM else signal.SIGKILL)
            each.done = True

    def _is_due(self, each: Struck, strike: Strike, now: float) -> bool:
        if strike.moment is Moment.TIME:
            return now - each.starts_at >= strike.value
        return self._hub.bytes_sent >= each.bytes_at
