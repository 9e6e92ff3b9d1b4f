"""What a lead time brings, by the operator's own decisions and a clock: a sync of a given rate, and a pod that waits.

The pod's node takes ``BOOT_S`` to start once the gate is removed, as a cluster autoscaler's does; then the pod holds
its GPU, and serves when the cache is complete. What is left out: the time to pull the pod's image, and a node that is
there already (then the pod holds its GPU for the whole lead time, and starts no earlier).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from init_sync.core.report import ModelReport, Report
from support.pure_cluster import START, PureCluster

BOOT_S = 180.0
POLL_S = 5.0
"""How often the operator asks the sync for its progress."""
TOTAL = 90_000_000_000
JOB_START_S = 10.0

Rate = Callable[[float], float]
"""Of the mean rate, by the share of the bytes that are there: 1.0 is the mean."""


@dataclass(frozen=True, slots=True)
class Line:
    """How the rate of a download varies, and what happens on the way."""

    name: str
    rate: Rate = lambda _share: 1.0
    stalls: tuple[float, ...] = ()
    """At these shares, for ``stall_s``."""
    stall_s: float = 60.0
    replaced_at: float = 2.0
    """Share at which the Job's pod fails and another one continues."""


LINES = (
    Line("steady"),
    Line("slow at the end: a quarter of the rate for the last 20 %", lambda share: 1.6 if share < 0.8 else 0.4),
    Line("fast at the end: four times the rate for the last 20 %", lambda share: 0.85 if share < 0.8 else 3.4),
    Line("between half and twice the rate", lambda share: (0.6, 1.6, 0.75, 1.8)[int(share * 40) % 4]),
    Line("stalls of 60 s at 50 % and 95 %", stalls=(0.5, 0.95)),
    Line("the Job's pod is replaced at 85 %", replaced_at=0.85),
)
LENGTHS_S = (120.0, 300.0, 600.0, 1200.0)
LEAD_TIME = "3m"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Seconds since the cache was created."""

    complete_s: float
    ungated_s: float

    @property
    def ready_s(self) -> float:
        """The pod has its node and its GPU."""
        return self.ungated_s + BOOT_S

    @property
    def serves_s(self) -> float:
        return max(self.ready_s, self.complete_s)

    @property
    def serves_without_s(self) -> float:
        """Had the gate been removed at the end of the sync."""
        return self.complete_s + BOOT_S

    @property
    def idle_s(self) -> float:
        """GPU seconds, for each GPU of the pod, that were spent on waiting."""
        return self.serves_s - self.ready_s


def arrivals(line: Line, length_s: float, step_s: float) -> Iterator[float]:
    """The share of the bytes that is there after each step."""
    share, stalls, stalled_until, at_s = 0.0, list(line.stalls), 0.0, 0.0
    while share < 1.0:
        at_s += step_s
        if stalls and share >= stalls[0]:
            stalls.pop(0)
            stalled_until = at_s + line.stall_s
        if at_s > stalled_until:
            share = min(1.0, share + line.rate(share) * step_s / length_s)
        yield share


def with_lead_time(lead_time: str = LEAD_TIME, modes: tuple[str, ...] = ("ReadWriteMany",), **spec: Any) -> PureCluster:
    """A cache whose volume several nodes can mount."""
    spec |= {"gate": {"leadTime": lead_time}} if lead_time else {}
    world = PureCluster(**spec)
    assert world.claim
    world.claim["spec"]["accessModes"] = list(modes)
    return world


def simulate(line: Line, length_s: float, lead_time: str = LEAD_TIME) -> Outcome:
    """One sync, looked at by the operator each time that it hears of it."""
    world = with_lead_time(lead_time)
    world.add_pod("serve", gated=True)
    world.settle()
    world.now = START + JOB_START_S
    pod, fetched, ungated_s = start_sync(world, 1), 0.0, 0.0
    replaced = False
    for share in arrivals(line, length_s, POLL_S):
        world.now += POLL_S
        if share >= line.replaced_at and not replaced:
            world.finish(pod, 1)
            pod, fetched, replaced = start_sync(world, 2), share, True
        world.tell_progress(pod, report(world, share, share - fetched))
        world.settle()
        if world.opened and not ungated_s:
            ungated_s = world.now - START
    world.finish(pod, 0, report(world, 1.0, 1.0 - fetched, complete=True))
    world.end_job(world.latest, "Complete")
    world.settle()
    assert world.status["phase"] == "Ready"
    assert world.opened == ["serve"]
    return Outcome(world.now - START, ungated_s or world.now - START)


def start_sync(world: PureCluster, number: int = 1) -> str:
    """The newest Job gets a pod, which runs."""
    pod = world.add_pod(f"sync-{number}", world.latest)
    world.start(pod)
    world.settle()
    return pod


def report(world: PureCluster, share: float, fetched: float, complete: bool = False) -> dict[str, Any]:
    model = ModelReport("base", complete, "main", 3, 3 if complete else 1, TOTAL, int(TOTAL * share))
    body = Report("cache", (model,), manifest=world.digest, bytes_fetched=int(TOTAL * fetched)).to_json()
    return dict(body)


HEAD = """\
| the download | sync | serves without | serves with | sooner by | GPU waits |
| --- | --- | --- | --- | --- | --- |"""


def row(line: Line, length_s: float) -> str:
    """As docs/scheduling.md has it."""
    found = simulate(line, length_s)
    sooner = found.serves_without_s - found.serves_s
    figures = (found.complete_s, found.serves_without_s, found.serves_s, sooner, found.idle_s)
    return f"| {line.name} | " + " | ".join(f"{figure:.0f} s" for figure in figures) + " |"
