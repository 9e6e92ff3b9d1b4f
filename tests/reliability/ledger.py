"""What really happened to caches and pods, kept by the one who did it; the operator's acts are judged by it.

Nothing here is taken from the status that the operator writes. A cache is proven for a content on a claim from the
moment at which a Job whose pod had mounted this very claim was said to be Complete, and in doubt from a pod's report of
damage until the next proof; a claim that was created again is another claim. The API tells what was done a little later
than it was done, and a change may fall between the operator's last look and its patch; ``SLACK_S`` allows for both.
That a status must not claim what was never proven has no such slack.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Json = dict[str, Any]

SLACK_S = 2.0
NOTICED_S = 35.0
"""A report of damage has reached the operator by then: where its watch fell silent, with the next full list."""
OPENED = "modelcache.dev/gate-opened-at"
Subject = tuple[str, str]
"""What a proof is about: a content, and the uid of a claim."""


@dataclass(slots=True)
class CacheLife:
    """One cache from its creation to its deletion; a later one of the same name is another."""

    name: str
    uid: str
    claim: str
    contents: list[tuple[str, float]]
    """Each with the moment from which it may have been the present one."""
    by_generation: dict[int, str]
    ended_at: float = float("inf")
    proofs: dict[Subject, list[float]] = field(default_factory=dict)
    doubts: list[float] = field(default_factory=list)

    @property
    def content(self) -> str:
        return self.contents[-1][0]

    def may_open(self, at: float, claims: Iterable[ClaimLife]) -> bool:
        """Whether a gate may be removed at this moment; ``claims``: those that have had the name of this cache's."""
        there = [claim.uid for claim in claims if _near(claim.since, at, claim.ended_at)]
        present = [content for content, since, until in self._spans() if _near(since, at, until)]
        return any(
            any(proof <= at + SLACK_S for proof in self.proofs.get(subject, ())) and not self._in_doubt(subject, at)
            for subject in ((content, uid) for content in present for uid in there)
        )

    def _spans(self) -> list[tuple[str, float, float]]:
        ends = [since for _, since in self.contents[1:]] + [self.ended_at]
        return [(content, since, end) for (content, since), end in zip(self.contents, ends, strict=True)]

    def _in_doubt(self, subject: Subject, at: float) -> bool:
        doubts = [doubt for doubt in self.doubts if doubt + NOTICED_S < at]
        cured = [proof for proof in self.proofs.get(subject, ()) if max(doubts, default=0.0) < proof <= at + SLACK_S]
        return bool(doubts) and not cured


@dataclass(slots=True)
class ClaimLife:
    """One claim from its creation to its deletion; a later one of the same name is another, and empty."""

    uid: str
    since: float
    ended_at: float = float("inf")


def _near(since: float, at: float, until: float) -> bool:
    return since <= at + SLACK_S and until >= at - SLACK_S


def content_of(raw: Json) -> str:
    """What decides the content of the volume; all else in a spec is operational."""
    return str(raw["spec"]["models"][0]["repo"])


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
        self.claims: dict[str, list[ClaimLife]] = {}
        """By name, the present one last."""
        self.violations: list[str] = []
        self.statuses = 0
        self.waits_s: list[float] = []
        """How long pods waited that might have been ungated: since the last proof, or since they came."""

    def cache_created(self, raw: Json, began: float) -> None:
        metadata, content = raw["metadata"], content_of(raw)
        claim = raw["spec"]["volume"]["claimName"]
        life = CacheLife(metadata["name"], metadata["uid"], claim, [(content, began)], {1: content})
        with self._guard:
            self._lives.setdefault(life.name, []).append(life)
            self._by_uid[life.uid] = life

    def cache_changed(self, raw: Json, began: float) -> None:
        """Perhaps another content; the one before may have been seen until now."""
        life, content = self._by_uid[raw["metadata"]["uid"]], content_of(raw)
        with self._guard:
            life.by_generation[raw["metadata"]["generation"]] = content
            if content != life.content:
                life.contents.append((content, began))

    def cache_deleted(self, uid: str) -> None:
        with self._guard:
            self._by_uid[uid].ended_at = self._clock()

    def cache(self, name: str) -> CacheLife | None:
        """The one that is there now."""
        lives = self._lives.get(name)
        return lives[-1] if lives and lives[-1].ended_at == float("inf") else None

    def claim_created(self, name: str, uid: str, began: float) -> None:
        with self._guard:
            lives = self.claims.setdefault(name, [])
            if uid not in [life.uid for life in lives]:
                lives.append(ClaimLife(uid, began))

    def claim_deleted(self, name: str, uid: str) -> None:
        with self._guard:
            for life in self.claims[name]:
                if life.uid == uid:
                    life.ended_at = min(life.ended_at, self._clock())

    def proven(self, uid: str, generation: int, claim_uid: str) -> None:
        """A Job of this cache was made from this generation, and its pod mounted this claim."""
        with self._guard:
            if life := self._by_uid.get(uid):
                life.proofs.setdefault((life.by_generation[generation], claim_uid), []).append(self._clock())

    def last_proof(self, life: CacheLife) -> float | None:
        """Of the present content on the present claim."""
        claims = self.claims.get(life.claim)
        return max(life.proofs.get((life.content, claims[-1].uid), ()), default=None) if claims else None

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
        if resource == "persistentvolumeclaims":
            self._see_claim(event["type"], event["object"]["metadata"])
            return
        if event["type"] not in ("ADDED", "MODIFIED"):
            return
        with self._guard:
            if resource == "pods":
                self._see_pod(event["object"])
            elif resource == "modelcaches":
                self._see_status(event["object"])

    def _see_claim(self, what: str, metadata: Json) -> None:
        """Some are created by the operator."""
        self.claim_created(metadata["name"], metadata["uid"], self._clock())
        if what == "DELETED":
            self.claim_deleted(metadata["name"], metadata["uid"])

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
        lives = self._lives.get(pod.cache, [])
        if not any(life.may_open(pod.opened_at, self.claims.get(life.claim, ())) for life in lives):
            claims = {life.claim: self.claims.get(life.claim) for life in lives}
            self.violations.append(
                f"{pod.name} lost its gate at {pod.opened_at} although {pod.cache} was not proven: {lives} {claims}"
            )

    def _note_wait(self, pod: PodLife, opened_at: float) -> None:
        life = self.cache(pod.cache)
        proof = self.last_proof(life) if life else None
        if proof is not None and proof <= opened_at:
            self.waits_s.append(opened_at - max(pod.created_at, proof))

    def _see_status(self, raw: Json) -> None:
        status, life = raw.get("status") or {}, self._by_uid.get(raw["metadata"]["uid"])
        self.statuses += 1
        generation = raw["metadata"]["generation"]
        if life is None or not status.get("complete") or status.get("observedGeneration") != generation:
            return
        claim = (status.get("sync") or {}).get("claimUid", "")
        wrong = ""
        if not life.proofs.get((content_of(raw), claim)):
            wrong = "never proven"
        elif any(each.uid == claim and each.ended_at + NOTICED_S < self._clock() for each in self.claims[life.claim]):
            wrong = "of a claim that is gone"
        if wrong:
            what = f"{life.name} is called complete for {content_of(raw)} on {claim}, {wrong}"
            self.violations.append(f"{self._clock():.3f} {what}: {status.get('sync')}")
