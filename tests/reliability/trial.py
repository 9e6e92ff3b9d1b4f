"""Carrying out one plan: spoil, let the syncs run, judge; and in the end a healthy hub has to make it whole."""

from __future__ import annotations

import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from reliability.crowd import Crowd, Struck
from reliability.ground import ADDON, at_home, prepared
from reliability.oracle import Oracle, Outside, Violation, Wrong
from reliability.outages import LARGEST_BYTES, Outage
from reliability.plan import PATIENT_EXPIRY_S, Blow, Ground, Plan, Round, Start, Strike, Upkeep
from reliability.racer import Course, racing
from reliability.spoiling import Target
from support.crash import Nursery
from support.kill_lab import PER_CONNECTION_BYTES, Lab, Release, first_commit
from support.sync import command


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


class Trial:
    """One plan on a volume of its own."""

    def __init__(self, lab: Lab, nurseries: Sequence[Nursery], plan: Plan) -> None:
        self._lab = lab
        self._nurseries = nurseries
        self._plan = plan
        self._goal: Release = lab.new if plan.start is Start.OLDER else lab.old
        self._volume = lab.folder / f"volume-{plan.seed}"
        self._files = at_home(plan.ground, self._goal.files)
        self._oracle = Oracle(self._volume, self._files)
        self._result = Result(plan.seed, connections=plan.connections)
        self._course = Course.beside(self._volume)
        self._crowd = Crowd(lab.hub, nurseries, plan, self._spec, self._volume, self._course.reports)
        self._budget = 0
        """How many bytes may be fetched; what an interruption may cost comes on top."""
        self._clean = True
        """Whether interruptions alone can have cost bytes."""

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
        except TimeoutError as error:
            result.wrong, result.what = Wrong.HANG, str(error)
        result.seconds = time.monotonic() - began
        return result

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        self._result.tally[f"start: {self._plan.start}"] += 1
        self._result.tally[f"ground: {self._plan.ground}"] += 1
        self._result.tally["raced: trials"] += self._plan.race is not None
        with prepared(self._plan.ground, self._volume, self._fill):
            self._oracle.plant()
            # Written once: processes that start at the same time must not read half of it.
            command("sync", self._goal.spec, self._volume)
            with self._course.made() if self._plan.race else nullcontext():
                yield

    @property
    def _spec(self) -> Path:
        return self._volume.parent / f"{self._volume.name}.{self._goal.spec['metadata']['name']}.json"

    def _fill(self) -> None:
        if self._plan.start is Start.EMPTY:
            return
        shutil.copytree(self._lab.golden, self._volume, symlinks=True, dirs_exist_ok=True)
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
        self._keep_up(self._plan.upkeep[number - 1])
        if number == 1:
            self._budget += sum(self._oracle.missing().values())
        if round_.outage:
            self._count_on(round_.outage)
        with self._raced(number):
            struck = self._crowd.run(round_, sum(self._oracle.missing().values()))
        self._result.tally[f"processes at once: {len(struck)}"] += 1
        if self._plan.lock_expiry_s < PATIENT_EXPIRY_S:  # a busy machine may let the lock change hands
            self._result.interruptions += len(struck) - 1
        raced = self._plan.race is not None
        found = self._oracle.judge(raced)
        for each in struck:
            code = self._ended(each, round_.outage)
            if code == 0:
                deep = each.process.deep
                self._oracle.must_be_complete(found, f"sync{' --verify deep' if deep else ''}", deep)
        # Where several are raced, one may write again what the other's receipt names.
        certain = not raced or len(struck) == 1
        self._verify(round_, must_be_complete=certain and any(each.run.wait() == 0 for each in struck))

    def _keep_up(self, upkeep: Upkeep | None) -> None:
        """Nothing that is right is lost by it, and what a scrub says is true."""
        if upkeep is None:
            return
        more = ("--older-than", "0s", "--rate", "1Gi") if upkeep.verb == "scrub" else ()
        run = self._nurseries[0].start(upkeep.verb, self._spec, self._volume, *more, kill_at=upkeep.kill_at)
        code = run.wait()
        self._note(f"{upkeep.verb} ended with {code}")
        self._result.tally[f"{upkeep.verb}: exit code {code}"] += 1
        explained = {0, 1, 2} | ({-signal.SIGKILL} if upkeep.kill_at else set())
        if code not in explained or "Traceback" in run.output:
            raise Violation(Wrong.EXIT, f"{upkeep.verb} ended with {code}: {run.output[-2000:]}")
        found = self._oracle.judge()
        if code == 0 and upkeep.verb == "scrub":
            self._oracle.must_be_complete(found, "scrub", deep=True)
        self._oracle.look()

    @contextmanager
    def _raced(self, number: int) -> Iterator[None]:
        """With another writer beside what is done in it, if the plan says so; nothing outside may change by that."""
        race = self._plan.race
        if race is None:
            yield
            return
        exchanged: Counter[str] = Counter()
        outside = Outside(self._course.outside)
        with racing(race, self._course, self._plan.seed + number, exchanged):
            yield
        outside.judge()
        self._note(f"exchanged for links: {dict(exchanged)}")
        self._result.tally["raced: rounds"] += 1
        self._result.tally.update({f"raced: exchanged {prey}": count for prey, count in exchanged.items()})

    def _spoil(self, round_: Round, number: int) -> None:
        for spoil in round_.spoils:
            paths = list(self._files)
            states = {}
            for path in paths:
                with suppress(OSError):
                    states[self._volume / path] = (self._volume / path).stat()
            changed = spoil.apply(self._volume, paths)
            if changed is None:
                continue
            self._note(f"spoiled {changed.relative_to(self._volume)}: {spoil.change}")
            self._result.tally[f"spoiled: {spoil.target}, {spoil.change}"] += 1
            cost = self._oracle.spoiled(changed, states.get(changed))
            kept = spoil.target in (Target.PARTIAL, Target.JOURNAL)  # of a file that was on its way
            if number > 1:
                self._budget += LARGEST_BYTES if kept else cost
            self._clean = self._clean and not (number > 1 or spoil.keep_time or kept)
            self._oracle.look()

    def _count_on(self, outage: Outage) -> None:
        """What it may cost is allowed for."""
        self._note(f"the hub {outage.kind}")
        self._result.tally[f"hub: {outage.kind}"] += 1
        self._budget += outage.costs_bytes
        self._result.interruptions += outage.cuts
        self._clean = self._clean and not (outage.costs_bytes or outage.cuts)

    def _ended(self, each: Struck, outage: Outage | None) -> int:
        """Its exit code, which must be one that the plan explains."""
        code, strike = each.run.wait(), each.process.strike
        output = each.run.output
        self._note(f"sync {each.number} ended with {code}: {output.strip().splitlines()[-1:]}")
        self._result.tally[f"{'raced: ' if self._plan.race else ''}exit code: {code}"] += 1
        if strike and (each.hit or code == -signal.SIGKILL):
            self._result.tally[f"struck: {strike.blow} {strike.moment}"] += 1
        if code or each.hit:  # a run that gives up leaves its connections too
            self._result.interruptions += 1
        if code not in self._explained(strike, outage, output) or "Traceback" in output or "unexpected error" in output:
            raise Violation(Wrong.EXIT, f"sync {each.number} ended with {code}: {output[-2000:]}")
        return code

    def _explained(self, strike: Strike | None, outage: Outage | None, output: str) -> set[int]:
        codes = {0, 1, 2} if self._plan.race else {0}
        if outage:
            codes |= {1, 2} if outage.final else {1}
        if self._plan.ground is Ground.MERGED and "PathConflict" in output:
            codes.add(2)
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
        found = self._oracle.judge(raced=self._plan.race is not None)
        if code == 0:
            self._oracle.must_be_complete(found, f"verify{' --deep' if deep else ''}", deep)
        if code not in (0, 1) or "Traceback" in run.output:
            raise Violation(Wrong.EXIT, f"verify ended with {code}: {run.output[-2000:]}")
        if must_be_complete and code and not (deep and self._oracle.unseen):
            raise Violation(Wrong.LOST, f"a sync ended with 0, but verify finds: {run.output[-2000:]}")
        self._note(f"verify ended with {code}")

    def _finish(self) -> None:
        """A healthy hub, and nobody interferes."""
        if self._plan.ground is Ground.MERGED:
            self._must_be_refused()
            (self._volume / ADDON).unlink()
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
        if left and not self._plan.race:  # what was fetched because a link hid the file that was there
            raise Violation(Wrong.INCOMPLETE, f"left behind in partial: {left}")

    def _must_be_refused(self) -> None:
        """Two models have a place in common."""
        expiry = ("--lock-expiry", str(self._plan.lock_expiry_s))
        sent = self._lab.hub.bytes_sent
        run = self._nurseries[0].run("sync", self._spec, self._volume, *expiry)
        if run.wait() != 2 or "PathConflict" not in run.output:
            raise Violation(Wrong.EXIT, f"two names for one file: ended with {run.wait()}: {run.output[-2000:]}")
        if self._lab.hub.bytes_sent != sent:
            raise Violation(Wrong.TRAFFIC, "two names for one file were found after bytes had been fetched")

    def _count_bytes(self) -> None:
        result, sent = self._result, self._lab.hub.bytes_sent
        result.fetched_bytes = sent
        if self._plan.race:  # what it takes away is fetched again
            return
        allowed = self._budget + result.interruptions * self._plan.connections * PER_CONNECTION_BYTES
        if sent > allowed:
            raise Violation(Wrong.TRAFFIC, f"{sent:,} bytes fetched, {allowed:,} allowed")
        if self._clean:
            result.refetched_bytes = max(0, sent - self._budget)

    def _note(self, text: str) -> None:
        self._result.history.append(text)
