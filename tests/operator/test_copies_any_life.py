"""Whatever happens to nodes, Jobs and pods: what is counted complete was proven there, and the order is kept."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from init_sync.core.reasons import Reason
from support.copies import group, report
from support.reports import incomplete

Json = dict[str, Any]
PARALLEL = 2


class Life:
    """A cluster, and the ledger of what was really synced: node uid, claim uid and content of each disk."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.world = group(data.draw(st.integers(0, 4)), maxParallel=PARALLEL)
        self.synced: dict[str, set[tuple[str, str]]] = {}
        self.serial = 100
        self.contents = 1

    def node(self) -> str | None:
        names = sorted(self.world.nodes)
        return self.data.draw(st.sampled_from(names)) if names else None

    def act(self) -> None:
        name = self.data.draw(st.sampled_from(ACTS))
        getattr(self, name)()
        self.world.now += self.data.draw(st.sampled_from([1, 1, 11, 61, 700]))
        self.world.settle()

    def succeed(self) -> None:
        if syncing := self.world.syncing():
            node = self.data.draw(st.sampled_from(syncing))
            self.synced.setdefault(self.uid(node), set()).add(self.subject())
            self.world.sync_copy(node, report(node))

    def fail(self) -> None:
        if syncing := self.world.syncing():
            node = self.data.draw(st.sampled_from(syncing))
            self.synced.pop(self.uid(node), None)
            self.world.sync_copy(node, incomplete(Reason.DISK_FULL, "no room"), code=1)

    def join(self) -> None:
        self.serial += 1
        self.world.add_node(f"n{self.serial}")

    def leave(self) -> None:
        if node := self.node():
            del self.world.nodes[node]

    def come_back_as_another(self) -> None:
        if node := self.node():
            self.world.add_node(node)

    def turn_ready(self) -> None:
        if node := self.node():
            self.world.set_ready(node, self.data.draw(st.booleans()))

    def cordon(self) -> None:
        if node := self.node():
            self.world.nodes[node]["spec"]["unschedulable"] = self.data.draw(st.booleans())

    def taint(self) -> None:
        if node := self.node():
            taint = {"key": "db", "effect": "NoSchedule"}
            self.world.nodes[node]["spec"]["taints"] = self.data.draw(st.sampled_from([[], [taint]]))

    def find_damage(self) -> None:
        if node := self.node():
            self.serial += 1
            pod = self.world.add_pod(f"serve-{self.serial}")
            self.world.pods[pod]["spec"]["nodeName"] = node
            self.world.finish(pod, 1, incomplete(Reason.SIZE_MISMATCH, "too short"))

    def wait_at_the_gate(self) -> None:
        self.serial += 1
        self.world.add_pod(f"gated-{self.serial}", gated=True)

    def resync(self) -> None:
        self.serial += 1
        self.world.annotate(str(self.serial))

    def change_content(self) -> None:
        self.contents += 1
        self.world.change_spec(models=[{"name": "base", "repo": f"owner/m{self.contents}", "path": "base"}])

    def replace_claim(self) -> None:
        self.world.replace_claim()

    def forget_finished_jobs(self) -> None:
        for name in [name for name, job in self.world.jobs.items() if "status" in job]:
            self.world.forget_job(name)

    def uid(self, node: str) -> str:
        return str(self.world.nodes[node]["metadata"]["uid"])

    def subject(self) -> tuple[str, str]:
        assert self.world.claim is not None
        return self.world.claim["metadata"]["uid"], self.world.digest

    def check(self) -> None:
        world = self.world
        status = world.status
        total, count = status["nodes"]["total"], status["nodes"]["complete"]
        proven = [node for node in world.nodes if self.subject() in self.synced.get(self.uid(node), ())]
        assert count <= len(proven), "nothing is complete that was not synced there"
        assert (status["phase"] == "Ready") == (count > 0) == status.get("complete", False)
        assert len(status.get("copies", ())) == total - count
        assert status["summary"]["nodes"] == f"{count}/{total}"
        said = {each["type"]: each["status"] == "True" for each in status["conditions"]}
        assert said["Ready"] == said["Complete"] == (status["phase"] == "Ready")
        assert said["Ready"] <= said["VolumeReady"]
        assert sum(said[kind] for kind in ("Ready", "Reconciling", "Stalled")) in ((1, 2) if said["Ready"] else (1,))
        active = [node for node in world.syncing() if _is_available(world.nodes[node])]
        assert len(active) <= PARALLEL + 1, "and one that became available again"


def _is_available(node: Json) -> bool:
    ready = node["status"]["conditions"][0]["status"] == "True"
    return ready and not node["spec"].get("unschedulable") and not node["spec"]["taints"]


ACTS = (
    *("succeed",) * 8,
    *("fail", "join", "join", "leave", "come_back_as_another", "turn_ready", "turn_ready", "cordon", "taint"),
    *("find_damage", "wait_at_the_gate", "resync", "change_content", "replace_claim", "forget_finished_jobs"),
)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_what_is_complete_was_proven_there_and_phase_and_conditions_agree(data: st.DataObject) -> None:
    life = Life(data)
    for _ in range(data.draw(st.integers(1, 25))):
        life.act()
        life.check()


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_left_in_peace_every_copy_becomes_complete(data: st.DataObject) -> None:
    life = Life(data)
    for _ in range(data.draw(st.integers(1, 20))):
        life.act()
    world = life.world
    for node in world.nodes.values():
        node["spec"] = {"taints": []}
        node["status"]["conditions"][0]["status"] = "True"
    world.settle()
    for _ in range(200):
        if syncing := world.syncing():
            world.sync_copy(syncing[0], report(syncing[0]))
        elif (at := world.decide().wake_at) is not None:
            world.now = max(world.now, at) + 1
            world.settle()
        else:
            break
    total = len(world.nodes)
    assert world.status["summary"]["nodes"] == f"{total}/{total}"
    held = [name for name, raw in world.pods.items() if raw["spec"].get("schedulingGates")]
    assert held == [] or not total
