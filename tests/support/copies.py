"""Caches with a copy on every node, in a cluster without any server."""

from __future__ import annotations

from typing import Any

from support.pure_cluster import PureCluster
from support.reports import complete

Json = dict[str, Any]
DIGEST = f"sha256:{'5' * 64}"
GPU = {"key": "nvidia.com/gpu", "effect": "NoSchedule", "value": "present"}
TOLERATED = {"key": "nvidia.com/gpu", "operator": "Exists"}


def group(count: int = 5, *, peers: bool = False, **per_node: Any) -> PureCluster:
    """Nodes n0, n1, ... and a cache with a copy on each."""
    world = PureCluster(volume={"claimName": "models", "perNode": per_node}, peers={"enabled": peers})
    assert world.claim is not None
    world.claim["spec"] = {"accessModes": ["ReadWriteMany"]}
    for number in range(count):
        world.add_node(f"n{number}")
    world.settle()
    return world


def report(node: str, **extra: Any) -> Json:
    """Of a complete copy on a disk of the node's own."""
    volume = f"{int(node[1:]) + 1:032x}"[::-1]
    return {**complete(digest=DIGEST), "volumeId": volume, **extra}


def fill(world: PureCluster) -> PureCluster:
    """Every copy is synced."""
    while nodes := world.syncing():
        for node in nodes:
            world.sync_copy(node, report(node))
    return world


def figures(world: PureCluster) -> str:
    """The column NODES."""
    return str(world.status["summary"]["nodes"])


def states(world: PureCluster) -> dict[str, str]:
    """Of the copies that are not complete, by node."""
    return {each["node"]: each["state"] for each in world.status.get("copies", ())}


def arguments(world: PureCluster, job: str) -> list[str]:
    found: list[str] = world.jobs[job]["spec"]["template"]["spec"]["containers"][0]["args"]
    return found
