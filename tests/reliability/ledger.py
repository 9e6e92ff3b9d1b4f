"""What really happened to caches and pods, kept by the one who did it; the operator's acts are judged by it.

Nothing here is taken from the status that the operator writes. A cache is proven for a generation from the moment at
which the Job of that generation was said to be Complete, and in doubt from a pod's report of damage until the next
proof. The API tells what was done a little later than it was done, and a change may fall between the operator's last
look and its patch; ``SLACK_S`` allows for both. That a status must not claim what was never proven has no such slack.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]

SLACK_S = 2.0
NOTICED_S = 35.0
"""A report of damage has reached the operator by then: where its watch fell silent, with the next full list."""
OPENED = "modelcache.dev/gate-opened-at"


@dataclass(slots=True)
class CacheLife:
    """One cache from its creation to its deletion; a later one of the same name is another."""

    name: str
    uid: str
    generations: list[tuple[int, float]]
    """Each with the moment from which it may have been the present one."""
    ended_at: float = float("inf")
    proofs: dict[int, list[float]] = field(default_factory=dict)
    doubts: list[float] = field(default_factory=list)

    @property
    def generation(self) -> int:
        return self.generations[-1][0]

    def may_open(self, at: float) -> bool:
        """Whether a gate may be opened at this moment."""
        return any(
            since <= at + SLACK_S
            and until >= at - SLACK_S
            and any(proof <= at + SLACK_S for proof in self.proofs.get(generation, ()))
            and not self._in_doubt(generation, at)
            for generation, since, until in self._spans()
        )

    def _spans(self) -> list[tuple[int, float, float]]:
        ends = [since for _, since in self.generations[1:]] + [self.ended_at]
        return [(generation, since, end) for (generation, since), end in zip(self.generations, ends, strict=True)]

    def _in_doubt(self, generation: int, at: float) -> bool:
        doubts = [doubt for doubt in self.doubts if doubt + NOTICED_S < at]
        cured = [proof for proof in self.proofs.get(generation, ()) if max(doubts, default=0.0) < proof <= at + SLACK_S]
        return bool(doubts) and not cured


@dataclass(slots=True)
class PodLife:
    name: str
    cache: str
    created_at: float
    opened_at: float | None = None


class Ledger:
    """Of one namespace. What was done is entered before it is done where it permits, after where it forbids."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._lives: dict[str, list[CacheLife]] = {}
        self._by_uid: dict[str, CacheLife] = {}
        self._seen: set[str] = set()
        self.pods: dict[str, PodLife] = {}
        self.claims: set[str] = set()
        self.violations: list[str] = []
        self.statuses = 0
        self.waits_s: list[float] = []
        """How long pods waited that might have been let go: since the last proof, or since they came."""

    def cache_created(self, raw: Json, began: float) -> None:
        metadata = raw["metadata"]
        life = CacheLife(metadata["name"], metadata["uid"], [(1, began)])
        with self._guard:
            self._lives.setdefault(life.name, []).append(life)
            self._by_uid[life.uid] = life

    def cache_changed(self, raw: Json, began: float) -> None:
        """A new generation; the one before may have been seen until now."""
        life, generation = self._by_uid[raw["metadata"]["uid"]], raw["metadata"]["generation"]
        with self._guard:
            if generation != life.generation:
                life.generations.append((generation, began))

    def cache_deleted(self, uid: str) -> None:
        with self._guard:
            self._by_uid[uid].ended_at = self._clock()

    def cache(self, name: str) -> CacheLife | None:
        """The one that is there now."""
        lives = self._lives.get(name)
        return lives[-1] if lives and lives[-1].ended_at == float("inf") else None

    def proven(self, uid: str, generation: int) -> None:
        with self._guard:
            if uid in self._by_uid:
                self._by_uid[uid].proofs.setdefault(generation, []).append(self._clock())

    def damaged(self, name: str) -> None:
        if life := self.cache(name):
            with self._guard:
                life.doubts.append(self._clock())

    def forget_the_dead(self, before: float) -> None:
        """So that an hour's ledger does not grow."""
        with self._guard:
            for name, lives in list(self._lives.items()):
                self._lives[name] = [life for life in lives if life.ended_at > before]
                for life in lives:
                    if life.ended_at <= before:
                        self._by_uid.pop(life.uid, None)

    def see(self, resource: str, event: Json) -> None:
        """A watch's event."""
        if event["type"] not in ("ADDED", "MODIFIED"):
            return
        with self._guard:
            if resource == "pods":
                self._see_pod(event["object"])
            elif resource == "modelcaches":
                self._see_status(event["object"])

    def _see_pod(self, raw: Json) -> None:
        pod = self.pods.get(raw["metadata"]["name"])
        if pod is None or raw["spec"].get("schedulingGates") or pod.opened_at is not None:
            return
        stamp = (raw["metadata"].get("annotations") or {}).get(OPENED)
        if stamp is None:
            self.violations.append(f"{pod.name} lost its gate, but nothing says when")
            return
        pod.opened_at = datetime.fromisoformat(stamp).timestamp()
        self._note_wait(pod, pod.opened_at)
        if not any(life.may_open(pod.opened_at) for life in self._lives.get(pod.cache, ())):
            lives = self._lives.get(pod.cache, [])
            self.violations.append(
                f"{pod.name} was let go at {pod.opened_at} although {pod.cache} was not proven: {lives}"
            )

    def _note_wait(self, pod: PodLife, opened_at: float) -> None:
        life = self.cache(pod.cache)
        proofs = [proof for proof in life.proofs.get(life.generation, ()) if proof <= opened_at] if life else []
        if proofs:
            self.waits_s.append(opened_at - max(pod.created_at, max(proofs)))

    def _see_status(self, raw: Json) -> None:
        status, life = raw.get("status") or {}, self._by_uid.get(raw["metadata"]["uid"])
        self.statuses += 1
        generation = raw["metadata"]["generation"]
        if life is None or not status.get("complete") or status.get("observedGeneration") != generation:
            return
        if not life.proofs.get(generation):
            what = f"{life.name} is called complete for generation {generation}, never proven"
            self.violations.append(f"{self._clock():.3f} {what}: {status.get('sync')}")
