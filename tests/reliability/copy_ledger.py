"""What really happened to nodes and to the copies on them; ``ledger`` does the same for caches with one volume.

Nothing here is taken from the status. A copy is proven for the uid of a node and a content from the moment at which the
Job of this node was about to succeed there, until its next one succeeds, a pod on the node reports another disk, or the
claim is exchanged.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import combinations
from typing import Any

from reliability.ledger import NOTICED_S, OPENED, SLACK_S, content_of
from support.node_selection import may_run

Json = dict[str, Any]
LATE_S = 10.0
"""Watches that were cut or refused are back by then."""
PARALLEL = 2


@dataclass(slots=True)
class Proof:
    content: str
    volume: str
    at: float
    until: float = math.inf


@dataclass(slots=True)
class NodeLife:
    """One node from its creation to its deletion; a later one of the same name is another."""

    name: str
    uid: str
    labels: dict[str, str]
    volume: str
    """Its disk, as it is now."""
    available_since: float
    """Infinite while it is not available."""
    in_group: bool = True
    ended_at: float = math.inf
    failed: bool = False
    proofs: list[Proof] = field(default_factory=list)

    def proof(self, content: str) -> Proof | None:
        return next((each for each in self.proofs if each.content == content and each.until == math.inf), None)

    def was_proven(self, content: str, at: float, slack_s: float) -> bool:
        there = self.ended_at >= at - slack_s
        proofs = (each for each in self.proofs if each.content == content)
        return there and any(each.at <= at + SLACK_S and each.until >= at - slack_s for each in proofs)


@dataclass(slots=True)
class UserPod:
    name: str
    opened_at: float | None = None
    node: str = ""


class CopyLedger:
    """Of one cache, whose pods and Jobs are alone in their namespace."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._guard = threading.RLock()
        self.nodes: list[NodeLife] = []
        self.pods: dict[str, UserPod] = {}
        self.contents: list[tuple[str, float]] = []
        self.by_generation: dict[int, str] = {}
        self.claim_uid = ""
        self.violations: list[str] = []
        self.judged: dict[str, int] = {"gatesOfCopies": 0, "jobsOfCopies": 0, "statusesOfCopies": 0}
        self.blind = False
        """The operator may have a watch that says nothing, and see what is new with a full list alone."""
        self.strict = False
        """All is well: it sees everything at once."""
        self._jobs: dict[str, str] = {}
        """Unfinished ones, and the uid of their node."""
        self._held_up: dict[str, str] = {}
        """Those whose pod does not start; no pod waits for these copies."""
        self._names: dict[str, str] = {}
        self._seen: set[str] = set()
        self._room: deque[tuple[float, float]] = deque(maxlen=5000)
        """How many pods might look for a copy, from when on."""
        self._twins_since = math.inf

    @property
    def content(self) -> str:
        return self.contents[-1][0]

    @property
    def twins(self) -> bool:
        """Two proofs of one volume."""
        return self._twins_since < math.inf

    @property
    def slack_s(self) -> float:
        return SLACK_S if self.strict else NOTICED_S if self.blind else LATE_S

    def present(self) -> list[NodeLife]:
        return [each for each in self.nodes if each.ended_at == math.inf]

    def by_uid(self, uid: str) -> NodeLife | None:
        return next((each for each in self.nodes if each.uid == uid), None)

    def changed(self, raw: Json, began: float) -> None:
        """The content of the cache; what failed is tried again."""
        with self._guard:
            self.by_generation[raw["metadata"]["generation"]] = content_of(raw)
            self.contents.append((content_of(raw), began))
            for node in self.nodes:
                node.failed = False
            self.note()

    def proven(self, node: NodeLife, generation: int) -> None:
        with self._guard:
            self._end(node)
            node.proofs.append(Proof(self.by_generation[generation], node.volume, self._clock()))
            node.failed = False
            self.note()

    def disproven(self, node: NodeLife) -> None:
        with self._guard:
            self._end(node)
            self.note()

    def failed(self, node: NodeLife) -> None:
        """What was proven before stays so: the operator may have deleted the Job before it could see its end."""
        with self._guard:
            node.failed = True
            self.note()

    def _end(self, node: NodeLife) -> None:
        for each in node.proofs:
            each.until = min(each.until, self._clock())

    def claim_exchanged(self, uid: str) -> None:
        with self._guard:
            self.claim_uid = uid
            for node in self.nodes:
                self._end(node)
                node.failed = False
            self.note()

    def held_up(self, job_uid: str, node: NodeLife) -> None:
        """Its pod does not start, and has not for long."""
        with self._guard:
            self._held_up[job_uid] = node.uid
            self.note()

    def ended(self, job_uid: str) -> None:
        """Its pod is about to end."""
        with self._guard:
            self._jobs.pop(job_uid, None)
            self._held_up.pop(job_uid, None)
            self.note()

    def note(self) -> None:
        """How things are now; to be called whenever something was changed."""
        with self._guard:
            present = self.present()
            self._room.append((self._clock(), self._count_room(present)))
            volumes = [proof.volume for each in present if not each.failed and (proof := each.proof(self.content))]
            twins = any(one == other for one, other in combinations(volumes, 2))
            self._twins_since = min(self._twins_since, self._clock()) if twins else math.inf

    def _count_room(self, present: list[NodeLife]) -> float:
        usable = [each for each in present if each.in_group and each.available_since < math.inf]
        held_up = set(self._held_up.values())
        if all(each.failed or each.uid in held_up or each.proof(self.content) for each in usable):
            return math.inf
        taken = {pod.node for pod in list(self.pods.values())}
        return sum(each.proof(self.content) is not None and each.name not in taken for each in usable)

    def _most_room(self, since: float) -> float:
        before = [room for at, room in self._room if at < since][-1:]
        return max([*before, *(room for at, room in self._room if at >= since)])

    def see(self, resource: str, event: Json) -> None:
        """A watch's event."""
        raw, gone = event["object"], event["type"] == "DELETED"
        with self._guard:
            if resource == "jobs":
                self._see_job(raw, gone)
            elif resource == "pods" and not gone:
                self._see_pod(raw)
            elif resource == "modelcaches" and not gone:
                self._see_status(raw)

    def _see_job(self, raw: Json, gone: bool) -> None:
        metadata, uid, now = raw["metadata"], raw["metadata"]["uid"], self._clock()
        if gone or metadata.get("deletionTimestamp") or (raw.get("status") or {}).get("conditions"):
            self.ended(uid)
            return
        if self._names.setdefault(metadata["name"], uid) != uid:
            self.violations.append(f"there is a second Job of the name {metadata['name']}")
        if uid in self._seen:
            return
        self._seen.add(uid)
        self.judged["jobsOfCopies"] += 1
        slack_s = self.slack_s
        node = self.by_uid(metadata["annotations"]["modelcache.dev/node-uid"])
        if node is None or node.ended_at < now - slack_s:
            self.violations.append(f"{now:.3f} {metadata['name']} is for a node that is gone: {node}")
            return
        if node.uid in self._jobs.values():
            self.violations.append(f"{now:.3f} {metadata['name']} is the second Job of {node.name}")
        self._jobs[uid] = node.uid
        lives = [each for each in map(self.by_uid, self._jobs.values()) if each and each.ended_at == math.inf]
        able = [each for each in lives if each.available_since < now - slack_s and each.in_group]
        active = [each.name for each in able if each.uid not in self._held_up.values()]
        if len(active) > PARALLEL:
            self.violations.append(f"{now:.3f} with {metadata['name']} there are Jobs on {active}")

    def _see_pod(self, raw: Json) -> None:
        pod = self.pods.get(raw["metadata"]["name"])
        if pod is None or raw["spec"].get("schedulingGates") or pod.opened_at is not None:
            return
        self.judged["gatesOfCopies"] += 1
        at = pod.opened_at = datetime.fromisoformat(raw["metadata"]["annotations"][OPENED]).timestamp()
        slack_s = self.slack_s
        affinity = raw["spec"].get("affinity")
        led = {each.name for each in self.nodes if may_run(affinity, each.name, each.labels)}
        proven = {
            each.name for each in self.nodes for content in self._near(at) if each.was_proven(content, at, slack_s)
        }
        if not led or led - proven:
            self.violations.append(f"{at} {pod.name} may run on {sorted(led)}, copies are on {sorted(proven)}")
        looking = sum(each.opened_at is not None and not each.node for each in list(self.pods.values()))
        if looking > (room := self._most_room(at - slack_s)):
            self.violations.append(f"{at} with {pod.name} {looking} pods look for {room} free copies")
        if self._twins_since < at - slack_s:
            self.violations.append(f"{at} {pod.name} lost its gate though two nodes have one volume")

    def _near(self, at: float) -> Iterator[str]:
        """Contents that may have been the present one then."""
        ends = [since for _, since in self.contents[1:]] + [math.inf]
        for (content, since), until in zip(self.contents, ends, strict=True):
            if since <= at + SLACK_S and until >= at - SLACK_S:
                yield content

    def _see_status(self, raw: Json) -> None:
        status, now = raw.get("status") or {}, self._clock()
        count = status.get("nodes")
        if not count:
            return
        self.judged["statusesOfCopies"] += 1
        states = [each["state"] for each in status.get("copies", ())]
        figures = (count["total"] - count["complete"], count["syncing"], count["failed"])
        if figures != (len(states), states.count("syncing"), states.count("failed")):
            self.violations.append(f"{now:.3f} {count} does not add up to {states}")
        about = (status["observedGeneration"], (status.get("sync") or {}).get("claimUid"))
        if about != (raw["metadata"]["generation"], self.claim_uid):
            return  # an operator that was killed has to wait for the lease before it sees more
        slack_s = self.slack_s
        proven = {each.name for each in self.nodes if each.was_proven(content_of(raw), now, slack_s)}
        if count["complete"] > len(proven):
            self.violations.append(f"{now:.3f} {count}, but copies are on {sorted(proven)}")
        if status.get("complete") and self._twins_since < now - slack_s:
            self.violations.append(f"{now:.3f} it is called complete though two nodes have one volume")

    def forget_the_dead(self, before: float) -> None:
        with self._guard:
            self.nodes = [each for each in self.nodes if each.ended_at > before]
