"""``make reliability-operator``: an hour of the real operator under churn, two of them side by side.

One lives in a town of its own from beginning to end: its memory, threads and open files must not grow. The other one is
killed or told to end every few seconds. In both towns caches, pods and claims come, change and go, Jobs succeed and
fail, and the API cuts, refuses and forgets. Every minute both are left in peace: then every cache has to become Ready
and no pod whose cache is there may still be gated. All the time a ledger of what was really done says which gates may
be removed: a proof of a claim is none of the next claim of that name. Beside them each town has a cache with a copy on
every node, and nodes that come, go, change their state and get other disks.

Runs on a real kube-apiserver if ``KUBEBUILDER_ASSETS`` names one, else on the in-memory API.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


from reliability.town import Town, town
from reliability.vitals import Sample, Trend, sample, trends
from support.cluster import running

ACTS_PER_S = 6.0
"""In each town."""
QUIET_EVERY_S = 60.0
SAMPLE_EVERY_S = 5.0
TROUBLE_EVERY_S = (2.0, 12.0)
STRIKE_EVERY_S = (4.0, 30.0)
LONG_ENOUGH_MIN = 20.0
"""From here on trends are judged."""
LEAK_MIB_PER_H = 10.0
MORE_ALLOWED = {"threads": 2.0, "files": 16.0, "queue": 5.0, "tasks": 10.0}
"""By how much the median of the last quarter may exceed that of the first one. The pool of connections fills slowly."""


class Churn:
    """Both towns, until the time is over."""

    def __init__(self, steady: Town, rough: Town, seed: int) -> None:
        self._steady, self._rough = steady, rough
        self._random = random.Random(seed)
        self._began = time.monotonic()
        self._port = steady.operator.metrics_port
        self.samples: list[Sample] = []

    @property
    def towns(self) -> tuple[Town, Town]:
        return self._steady, self._rough

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self._began) / 60

    def run(
        self, seconds: float, quiet_every_s: float = QUIET_EVERY_S, on_quiet: Callable[[], None] = lambda: None
    ) -> None:
        end = self._began + seconds
        while (now := time.monotonic()) < end:
            self._live(min(end, now + quiet_every_s))
            for each in self.towns:
                each.settle()
            on_quiet()

    def _live(self, until: float) -> None:
        due = {"trouble": 0.0, "strike": 0.0, "sample": 0.0}
        while (now := time.monotonic()) < until:
            for each in self.towns:
                each.tick()
                each.life.act()
                each.copies.act()
            if now >= due["sample"]:
                due["sample"] = now + SAMPLE_EVERY_S
                self.samples.append(sample(self._steady.operator.process.pid, self._port, self._began))
            if now >= due["trouble"]:
                due["trouble"] = now + self._random.uniform(*TROUBLE_EVERY_S)
                self._random.choice(self.towns).trouble()
            if now >= due["strike"]:
                due["strike"] = now + self._random.uniform(*STRIKE_EVERY_S)
                self._rough.strike()
            time.sleep(max(0.0, now + 1 / ACTS_PER_S - time.monotonic()))


def wrongs(churn: Churn) -> list[str]:
    """Everything that should not have been."""
    found = [
        each
        for one in churn.towns
        for each in (*one.violations, *one.life.ledger.violations, *one.copies.ledger.violations)
    ]
    flat = trends(churn.samples)
    if churn.minutes < LONG_ENOUGH_MIN or not flat:
        return found
    if flat["memory_mib"].per_hour > LEAK_MIB_PER_H:
        found.append(f"memory grows by {flat['memory_mib'].per_hour:.1f} MiB an hour")
    for name, more in MORE_ALLOWED.items():
        if flat[name].last > flat[name].first + more:
            found.append(f"{name} grew from {flat[name].first:g} to {flat[name].last:g}")
    return found


def figures(churn: Churn, server: str) -> dict[str, Any]:
    steady, rough = churn.towns
    return {
        "api": server,
        "minutes": round(churn.minutes, 1),
        "wrong": wrongs(churn),
        "longLived": _town(steady),
        "oftenKilled": _town(rough),
        "trends": {name: asdict(trend) for name, trend in trends(churn.samples).items()},
        "samples": [asdict(each) for each in churn.samples],
    }


def _town(one: Town) -> dict[str, Any]:
    ledger = one.life.ledger
    waits = sorted(ledger.waits_s)
    return {
        "acts": one.life.acts,
        "claimsDeleted": one.life.claims_deleted,
        "gatesOpened": len(waits),
        "statusesSeen": ledger.statuses,
        "actsOfNodes": one.copies.acts,
        **one.copies.ledger.judged,
        "waitSeconds": {
            "median": round(waits[len(waits) // 2], 3) if waits else None,
            "p99": round(waits[int(len(waits) * 0.99)], 3) if waits else None,
            "max": round(waits[-1], 3) if waits else None,
        },
        "longestSettlingSeconds": round(one.longest_settling_s, 1),
        "longestEndSeconds": round(one.longest_end_s, 1),
        **dict(sorted(one.tally.items())),
    }


def markdown(found: dict[str, Any]) -> str:
    """A table for each town's counts, and one for the trends."""
    left, right = found["longLived"], found["oftenKilled"]
    rows = ["| what | lives on | often killed |", "| --- | --- | --- |"]
    rows += [f"| {name} | {_shown(left.get(name))} | {_shown(right.get(name))} |" for name in {**left, **right}]
    rows += ["", "| of the one that lives on | first quarter | last quarter | highest | in an hour |"]
    rows += ["| --- | --- | --- | --- | --- |"]
    for name, values in found["trends"].items():
        trend = Trend(**values)
        rows.append(f"| {name} | {trend.first:.1f} | {trend.last:.1f} | {trend.highest:.1f} | {trend.per_hour:+.2f} |")
    wrong = [f"- {each}" for each in found["wrong"]] or ["Nothing went wrong."]
    return "\n".join([f"{found['minutes']} minutes on the {found['api']}.", "", *rows, "", *wrong])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return "0" if value is None else f"{value:,}"


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that operators and API end too
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # killed operators leave their connections
    with tempfile.TemporaryDirectory(prefix="modelcache-churn-") as name, running(Path(name)) as api:
        folder, server = Path(name), "in-memory API" if api.local else "kube-apiserver"
        with town(api, "steady", folder, options.seed) as steady, town(api, "rough", folder, options.seed + 7) as rough:
            churn = Churn(steady, rough, options.seed)
            churn.run(options.minutes * 60, on_quiet=lambda: write(churn, server, options.json))
        found = figures(churn, server)
    print(markdown(found))
    return 1 if found["wrong"] else 0


def write(churn: Churn, server: str, place: Path | None) -> None:
    """The figures so far: a run that is ended early has not been for nothing."""
    if place:
        place.write_text(json.dumps(figures(churn, server), indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of what happens; when it happens is up to the machine")
    parser.add_argument("--json", type=Path, help="file for the figures")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
