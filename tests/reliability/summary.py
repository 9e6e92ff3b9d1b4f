"""The figures of many trials, for a page and for a program."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from reliability.oracle import Wrong
from reliability.trial import Result
from support.kill_lab import MIB


@dataclass(slots=True)
class Summary:
    trials: int = 0
    seconds: float = 0.0
    tally: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    failed_seeds: list[int] = field(default_factory=list)
    fetched_bytes: int = 0
    refetched: list[float] = field(default_factory=list)
    """Bytes for each interruption and connection, of the trials in which nothing else costs any."""

    def add(self, result: Result) -> None:
        self.trials += 1
        self.tally += result.tally
        self.fetched_bytes += result.fetched_bytes
        if result.wrong:
            self.wrong[result.wrong] += 1
            self.failed_seeds.append(result.seed)
        if result.refetched_bytes is not None and result.interruptions:
            self.refetched.append(result.refetched_bytes / result.interruptions / result.connections)

    @property
    def failures(self) -> int:
        return len(self.failed_seeds)

    @property
    def struck(self) -> int:
        return sum(count for name, count in self.tally.items() if name.startswith("struck: "))

    @property
    def exchanged(self) -> int:
        return sum(count for name, count in self.tally.items() if name.startswith("raced: exchanged "))

    def figures(self) -> dict[str, Any]:
        return {
            "trials": self.trials,
            "seconds": round(self.seconds, 1),
            "wrong": {str(each): self.wrong[each] for each in Wrong},
            "failedSeeds": self.failed_seeds,
            "struck": self.struck,
            "raced": {"trials": self.tally["raced: trials"], "exchanged": self.exchanged},
            "fetchedBytes": self.fetched_bytes,
            "refetchedBytesPerInterruptionAndConnection": {
                "trials": len(self.refetched),
                "max": round(max(self.refetched, default=0)),
                "mean": round(sum(self.refetched) / max(1, len(self.refetched))),
            },
            "tally": dict(sorted(self.tally.items())),
        }

    def json(self) -> str:
        return json.dumps(self.figures(), indent=1) + "\n"

    def markdown(self) -> str:
        figures = self.figures()
        refetched = figures["refetchedBytesPerInterruptionAndConnection"]
        rows = [("trials", f"{self.trials:,} in {self.seconds / 60:.1f} minutes")]
        rows += [(f"... with {each}", str(self.wrong[each])) for each in Wrong]
        rows += [
            ("trials beside a racer", f"{self.tally['raced: trials']:,}, {self.exchanged:,} names exchanged for links"),
            ("processes killed, ended or frozen", f"{self.struck:,}"),
            ("bytes fetched", f"{self.fetched_bytes / (1 << 30):,.1f} GiB"),
            (
                "fetched again for each interruption and connection, where nothing else costs bytes",
                f"at most {refetched['max'] / MIB:.2f} MiB, {refetched['mean'] / MIB:.2f} MiB on average "
                f"({refetched['trials']:,} trials; promised: 8 MiB)",
            ),
        ]
        rows += [(name, f"{count:,}") for name, count in sorted(self.tally.items())]
        return "\n".join(["| what | figure |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)])
