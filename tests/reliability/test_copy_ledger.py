"""Whether the judge of copies would notice what must not be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from reliability.copy_ledger import LATE_S, CopyLedger, NodeLife, UserPod
from reliability.ledger import OPENED
from support.clock import Clock

Json = dict[str, Any]
START_S = 1000.0


class World:
    """Three nodes that have been there for long, the first of them with a copy, and two pods."""

    def __init__(self) -> None:
        self.clock = Clock(START_S)
        self.ledger = CopyLedger(self.clock)
        self.ledger.claim_exchanged("first")
        self.ledger.changed(self.cache(), self.clock.now_s)
        for number in range(3):
            self.join(f"n{number}")
        self.ledger.pods.update({name: UserPod(name) for name in ("a", "b")})
        self.clock.now_s += 100
        self.prove("n0")
        self.clock.now_s += 100

    def cache(self, generation: int = 1, **status: Any) -> Json:
        spec = {"models": [{"repo": f"owner/v{generation}"}]}
        return {"metadata": {"name": "copies", "generation": generation}, "spec": spec, "status": status}

    def join(self, name: str) -> World:
        labels = {"kubernetes.io/hostname": name}
        uid = f"{name}-{len(self.ledger.nodes)}"
        self.ledger.nodes.append(NodeLife(name, uid, labels, f"disk of {uid}", self.clock.now_s))
        self.ledger.note()
        return self

    def node(self, name: str) -> NodeLife:
        return next(each for each in self.ledger.present() if each.name == name)

    def prove(self, name: str) -> World:
        self.ledger.proven(self.node(name), 1)
        return self

    def leave(self, name: str) -> World:
        self.node(name).ended_at = self.clock.now_s
        self.ledger.note()
        return self.late()

    def change(self) -> World:
        self.ledger.changed(self.cache(2), self.clock.now_s)
        return self.late()

    def late(self) -> World:
        """The operator has seen it all."""
        self.clock.now_s += LATE_S + 1
        return self

    def clone(self) -> World:
        self.node("n1").volume = self.node("n0").volume
        self.prove("n1")
        return self.late()

    def open(self, pod: str, *hosts: str) -> World:
        stamp = datetime.fromtimestamp(self.clock.now_s, UTC).isoformat()
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(hosts)}]}]
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
        spec = {"affinity": {"nodeAffinity": required} if hosts else {}}
        return self.see("pods", {"metadata": {"name": pod, "annotations": {OPENED: stamp}}, "spec": spec})

    def create_job(self, name: str, node: str, uid: str = "") -> World:
        annotations = {"modelcache.dev/node-uid": self.node(node).uid if node else "gone"}
        return self.see("jobs", {"metadata": {"name": name, "uid": uid or name, "annotations": annotations}})

    def end_job(self, uid: str) -> World:
        self.ledger.ended(uid)
        return self

    def hold_up(self, job: str, node: str) -> World:
        self.ledger.held_up(job, self.node(node))
        return self

    def exchange_claim(self) -> World:
        self.ledger.claim_exchanged("second")
        return self.late()

    def say(self, complete: int, *states: str, claim: str = "") -> World:
        count = {"total": 3, "complete": complete, "syncing": states.count("syncing"), "failed": states.count("failed")}
        copies = [{"state": each} for each in states]
        sync = {"claimUid": claim or self.ledger.claim_uid}
        found = self.cache(nodes=count, copies=copies, complete=complete > 0, observedGeneration=1, sync=sync)
        return self.see("modelcaches", found)

    def see(self, resource: str, raw: Json) -> World:
        self.ledger.see(resource, {"type": "MODIFIED", "object": raw})
        return self


Act = Callable[[World], World]
RIGHT: dict[str, Act] = {
    "a pod is led to the copy": lambda w: w.open("a", "n0"),
    "the second pod after the second proof": lambda w: w.prove("n1").open("a", "n0").open("b", "n0", "n1"),
    "all pods once no copy is missing": lambda w: w.prove("n1").prove("n2").open("a", "n2").open("b", "n2"),
    "all pods once nothing but Jobs that do not start is missing": (
        lambda w: w.hold_up("j1", "n1").hold_up("j2", "n2").open("a", "n0").open("b", "n0")
    ),
    "one Job more for one that does not start": (
        lambda w: w.create_job("j0", "n0").create_job("j1", "n1").hold_up("j1", "n1").create_job("j2", "n2")
    ),
    "a Job on each of two nodes": lambda w: w.create_job("j1", "n1").create_job("j2", "n2"),
    "the next Job of a node": lambda w: w.create_job("j1", "n1").end_job("j1").create_job("j2", "n1"),
    "a status of the claim before": lambda w: w.exchange_claim().say(1, "syncing", "missing", claim="first"),
    "a status that adds up": lambda w: w.say(1, "syncing", "missing"),
}
WRONG: dict[str, tuple[Act, str]] = {
    "a node without a copy": (lambda w: w.open("a", "n0", "n1"), "may run on ['n0', 'n1']"),
    "no affinity": (lambda w: w.open("a"), "may run on ['n0', 'n1', 'n2']"),
    "another content": (lambda w: w.change().open("a", "n0"), "copies are on []"),
    "a node that is gone": (lambda w: w.leave("n0").open("a", "n0"), "copies are on []"),
    "a node with another uid": (lambda w: w.leave("n0").join("n0").open("a", "n0"), "copies are on []"),
    "two pods for one copy": (lambda w: w.open("a", "n0").open("b", "n0"), "2 pods look for 1 free copies"),
    "the copies of another claim": (lambda w: w.exchange_claim().open("a", "n0"), "copies are on []"),
    "two pods for one copy, one Job that does not start of two": (
        lambda w: w.hold_up("j1", "n1").open("a", "n0").open("b", "n0"),
        "2 pods look for 1 free copies",
    ),
    "two pods for one copy after a Job that starts at last": (
        lambda w: w.hold_up("j1", "n1").hold_up("j2", "n2").late().end_job("j1").late().open("a", "n0").open("b", "n0"),
        "2 pods look for 1 free copies",
    ),
    "one volume, a gate": (lambda w: w.clone().open("a", "n0"), "though two nodes have one volume"),
    "one volume, a status": (lambda w: w.clone().say(2, "missing"), "called complete though"),
    "a Job for no node": (lambda w: w.create_job("j", ""), "for a node that is gone"),
    "two Jobs of one node": (lambda w: w.create_job("j1", "n1").create_job("j2", "n1"), "second Job of n1"),
    "more Jobs than allowed": (
        lambda w: w.create_job("j0", "n0").create_job("j1", "n1").create_job("j2", "n2"),
        "there are Jobs on",
    ),
    "one name twice": (lambda w: w.create_job("j", "n1").create_job("j", "n2", "u2"), "second Job of the name j"),
    "more complete than proven of another claim": (
        lambda w: w.exchange_claim().say(1, "syncing", "missing"),
        "but copies are on []",
    ),
    "figures that do not add up": (lambda w: w.say(1, "syncing"), "does not add up"),
    "more complete than proven": (lambda w: w.say(2, "missing"), "but copies are on ['n0']"),
}


@pytest.mark.parametrize("act", [pytest.param(act, id=name) for name, act in RIGHT.items()])
def test_what_is_right_passes(act: Act) -> None:
    world = World()
    act(world)
    assert world.ledger.violations == []


@pytest.mark.parametrize(("act", "said"), [pytest.param(*each, id=name) for name, each in WRONG.items()])
def test_what_is_wrong_is_noticed(act: Act, said: str) -> None:
    world = World()
    act(world)
    assert said in next(iter(world.ledger.violations), "nothing")
