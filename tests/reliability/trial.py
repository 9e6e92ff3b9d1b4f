"""Carrying out one plan: spoil, start, strike, wait, judge; and in the end a healthy hub has to make it whole."""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from reliability.oracle import Oracle, Violation, Wrong
from reliability.outages import Outage
from reliability.plan import PATIENT_EXPIRY_S, Blow, Moment, Plan, Process, Round, Start, Strike
from reliability.spoiling import Target
from support.crash import Nursery, Run
from support.lab import PER_CONNECTION_BYTES, Lab, Release, first_commit
from support.sync import command

IMPATIENT = ("--stall-timeout", "0.5", "--give-up-after", "1.5")
"""For syncs from a hub that misbehaves: trials must not wait it out."""
LONGEST_RUN_S = 90.0
"""More than the default patience of a sync with a dead hub: one that takes longer will not end."""
POLL_S = 0.004


@dataclass(slots=True)
class Result:
    """What a trial saw."""

    seed: int
    seconds: float = 0.0
    tally: Counter[str] = field(default_factory=Counter)
    history: list[str] = field(default_factory=list)
    fetched_bytes: int = 0
    interruptions: int = 0
    refetched_bytes: int | None = None
    """Where interruptions alone can be the cause; None in other trials."""
    connections: int = 1
    wrong: str = ""
    """Empty when every promise was kept."""
    what: str = ""


@dataclass(slots=True)
class Struck:
    """A process on its way, and what will be done to it."""

    number: int
    process: Process
    run: Run
    starts_at: float
    bytes_at: int
    frozen_at: float = 0.0
    hit: bool = False
    done: bool = False


class Trial:
    """One plan on a volume of its own."""

    def __init__(self, lab: Lab, nurseries: Sequence[Nursery], plan: Plan) -> None:
        self._lab = lab
        self._nurseries = nurseries
        self._plan = plan
        self._goal: Release = lab.new if plan.start is Start.OLDER else lab.old
        self._volume = lab.folder / f"volume-{plan.seed}"
        self._oracle = Oracle(self._volume, self._goal.files)
        self._result = Result(plan.seed, connections=plan.connections)
        self._budget = 0
        self._clean = True

    def run(self) -> Result:
        began = time.monotonic()
        result = self._result
        self._lab.hub.reset_log()
        try:
            with self._prepared():
                for number, round_ in enumerate(self._plan.rounds, 1):
                    self._round(number, round_)
                self._finish()
            self._count_bytes()
        except Violation as error:
            result.wrong, result.what = error.wrong, str(error)
        result.seconds = time.monotonic() - began
        return result

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        self._result.tally[f"start: {self._plan.start}"] += 1
        self._make_volume()
        self._oracle.plant()
        # Written once: processes that start at the same time must not read half of it.
        command("sync", self._goal.spec, self._volume)
        try:
            yield
        finally:
            self._lab.hub.clear_faults()
            self._lab.hub.start()
            shutil.rmtree(self._volume)

    @property
    def _spec(self) -> Path:
        return self._volume.parent / f"{self._volume.name}.{self._goal.spec['metadata']['name']}.json"

    def _make_volume(self) -> None:
        if self._plan.start is Start.EMPTY:
            self._volume.mkdir()
            return
        shutil.copytree(self._lab.golden, self._volume, symlinks=True, copy_function=shutil.copy2)
        if self._plan.start is Start.BY_HAND:
            shutil.rmtree(self._volume / ".modelcache")
            place = self._volume / "base/diffusion/index.json"
            place.unlink()
            place.write_bytes(first_commit()["diffusion/index.json"])
            (self._volume / "base/diffusion/index.json_old").unlink()

    def _round(self, number: int, round_: Round) -> None:
        self._oracle.look()
        self._spoil(round_, number)
        self._oracle.look()
        if number == 1:
            self._budget += sum(self._oracle.missing().values())
        outage = round_.outage
        struck: list[Struck] = []
        with self._misbehaving(outage):
            try:
                self._start(round_, struck)
                self._await_all(struck, outage)
            finally:
                for each in struck:
                    each.run.kill()
                    each.run.wait()
        found = self._oracle.judge()
        for each in struck:
            code = self._ended(each, outage)
            if code == 0:
                deep = each.process.deep
                self._oracle.must_be_complete(found, f"sync{' --verify deep' if deep else ''}", deep)
        self._verify(round_, must_be_complete=any(each.run.wait() == 0 for each in struck))

    def _spoil(self, round_: Round, number: int) -> None:
        for spoil in round_.spoils:
            paths = list(self._goal.files)
            states = {}
            for path in paths:
                with suppress(FileNotFoundError):
                    states[self._volume / path] = (self._volume / path).stat()
            changed = spoil.apply(self._volume, paths)
            if changed is None:
                continue
            self._note(f"spoiled {changed.relative_to(self._volume)}: {spoil.change}")
            self._result.tally[f"spoiled: {spoil.target}, {spoil.change}"] += 1
            cost = self._oracle.spoiled(changed, states.get(changed))
            if number > 1 or spoil.keep_time or spoil.target in (Target.PARTIAL, Target.JOURNAL):
                self._clean = False
            if number > 1:
                self._budget += cost or self._partial_cost(changed)
            self._oracle.look()

    def _partial_cost(self, changed: Path) -> int:
        """A part or its journal: what it held of a file."""
        held = changed.with_suffix(".part")
        name = held.stem
        sizes = {len(content) for content in self._goal.files.values()}
        return max(sizes) if name.startswith(("sha256", "git-sha1")) else 0

    @contextmanager
    def _misbehaving(self, outage: Outage | None) -> Iterator[None]:
        if outage is None:
            yield
            return
        self._note(f"the hub {outage.kind}")
        self._result.tally[f"hub: {outage.kind}"] += 1
        self._budget += outage.costs_bytes
        self._result.interruptions += outage.cuts
        self._clean = self._clean and not (outage.costs_bytes or outage.cuts)
        try:
            yield
        finally:
            self._lab.hub.clear_faults()
            self._lab.hub.start()

    def _start(self, round_: Round, struck: list[Struck]) -> None:
        began = time.monotonic()
        for number, process in enumerate(round_.processes):
            # In between the first may be struck already; a few hundredths of a second make no difference to that.
            time.sleep(max(0.0, began + process.after_s - time.monotonic()))
            struck.append(self._start_one(number, process, round_.outage))
        self._result.tally[f"processes at once: {len(struck)}"] += 1
        if self._plan.lock_expiry_s < PATIENT_EXPIRY_S:  # a busy machine may let the lock change hands
            self._result.interruptions += len(struck) - 1

    def _start_one(self, number: int, process: Process, outage: Outage | None) -> Struck:
        strike = process.strike
        kill_at = int(strike.value) if strike and strike.moment is Moment.CHANGE else None
        arguments = ["--connections", str(self._plan.connections), "--lock-expiry", str(self._plan.lock_expiry_s)]
        arguments += IMPATIENT if outage else ()
        arguments += ("--verify", "deep") if process.deep else ()
        run = self._nurseries[number].start("sync", self._spec, self._volume, *arguments, kill_at=kill_at)
        left = sum(self._oracle.missing().values())
        share = strike.value if strike and strike.moment is Moment.BYTES else 0.0
        bytes_at = self._lab.hub.bytes_sent + int(left * share)
        return Struck(number, process, run, time.monotonic(), bytes_at, done=kill_at is not None or strike is None)

    def _await_all(self, struck: list[Struck], outage: Outage | None) -> None:
        began = time.monotonic()
        pending = outage
        while not all(each.run.over for each in struck):
            now = time.monotonic()
            if pending and now - began >= pending.after_s:
                self._misbehave(pending)
                pending = None
            if outage and outage.away_s and now - began >= outage.after_s + outage.away_s:
                self._lab.hub.start()
            for each in struck:
                self._strike(each, now)
            if now - began > LONGEST_RUN_S:
                raise Violation(Wrong.HANG, "; ".join(each.run.output[-300:] for each in struck if not each.run.over))
            time.sleep(POLL_S)

    def _misbehave(self, outage: Outage) -> None:
        for fault in outage.faults:
            self._lab.hub.add_fault(fault)
        if outage.away_s:
            self._lab.hub.stop()

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
        return self._lab.hub.bytes_sent >= each.bytes_at

    def _ended(self, each: Struck, outage: Outage | None) -> int:
        """Its exit code, which must be one that the plan explains."""
        code, strike = each.run.wait(), each.process.strike
        output = each.run.output
        self._note(f"sync {each.number} ended with {code}: {output.strip().splitlines()[-1:]}")
        self._result.tally[f"exit code: {code}"] += 1
        if strike and (each.hit or code == -signal.SIGKILL):
            self._result.tally[f"struck: {strike.blow} {strike.moment}"] += 1
        if code or each.hit:  # a run that gives up leaves its connections too
            self._result.interruptions += 1
        if code not in self._explained(strike, outage, output) or "Traceback" in output or "unexpected error" in output:
            raise Violation(Wrong.EXIT, f"sync {each.number} ended with {code}: {output[-2000:]}")
        return code

    def _explained(self, strike: Strike | None, outage: Outage | None, output: str) -> set[int]:
        codes = {0}
        if outage:
            codes |= {1, 2} if outage.final else {1}
        if strike and strike.blow in (Blow.KILL, Blow.FREEZE_KILL):
            codes.add(-signal.SIGKILL)
        if strike and strike.blow is Blow.TERM:
            codes |= {1, -signal.SIGTERM}  # the second before it has a handler
        if self._plan.lock_expiry_s < PATIENT_EXPIRY_S and "WaitingForLock" in output:
            codes.add(1)  # it was frozen, or the machine was too busy to let it say that it is alive
        return codes

    def _verify(self, round_: Round, must_be_complete: bool) -> None:
        deep = round_.deep_verify
        run = self._nurseries[0].run("verify", self._spec, self._volume, *(["--deep"] if deep else []))
        code = run.wait()
        found = self._oracle.judge()
        if code == 0:
            self._oracle.must_be_complete(found, f"verify{' --deep' if deep else ''}", deep)
        if code not in (0, 1) or "Traceback" in run.output:
            raise Violation(Wrong.EXIT, f"verify ended with {code}: {run.output[-2000:]}")
        if must_be_complete and code and not (deep and self._oracle.unseen):
            raise Violation(Wrong.LOST, f"a sync ended with 0, but verify finds: {run.output[-2000:]}")
        self._note(f"verify ended with {code}")

    def _finish(self) -> None:
        """A healthy hub, and nobody interferes."""
        self._oracle.look()
        deep = ["--verify", "deep"] if self._oracle.unseen else []
        expiry = ("--lock-expiry", str(self._plan.lock_expiry_s))
        last = self._nurseries[0].run("sync", self._spec, self._volume, *expiry, *deep)
        if last.wait() != 0:
            raise Violation(Wrong.INCOMPLETE, f"the last sync ended with {last.wait()}: {last.output[-2000:]}")
        found = self._oracle.judge()
        self._oracle.must_be_complete(found, "the last sync", deep=True)
        sent, requests = self._lab.hub.bytes_sent, self._lab.hub.count()
        again = self._nurseries[0].run("sync", self._spec, self._volume)
        if again.wait() != 0 or "All models already complete!" not in again.output.splitlines():
            raise Violation(Wrong.INCOMPLETE, f"a sync of a whole volume has work to do: {again.output[-2000:]}")
        if (self._lab.hub.bytes_sent, self._lab.hub.count()) != (sent, requests):
            raise Violation(Wrong.TRAFFIC, "a sync of a whole volume asked the hub")
        left = sorted(path.name for path in (self._volume / ".modelcache/partial").glob("*.part"))
        # Frozen right before it makes a partial file, a process makes it when it thaws, whoever has finished meanwhile.
        if left and self._plan.lock_expiry_s >= PATIENT_EXPIRY_S:
            raise Violation(Wrong.INCOMPLETE, f"left behind in partial: {left}")

    def _count_bytes(self) -> None:
        result, sent = self._result, self._lab.hub.bytes_sent
        result.fetched_bytes = sent
        allowed = self._budget + result.interruptions * self._plan.connections * PER_CONNECTION_BYTES
        if sent > allowed:
            raise Violation(Wrong.TRAFFIC, f"{sent:,} bytes fetched, {allowed:,} allowed")
        if self._clean:
            result.refetched_bytes = max(0, sent - self._budget)

    def _note(self, text: str) -> None:
        self._result.history.append(text)
