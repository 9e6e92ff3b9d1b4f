"""One decision about gated pods of a cache with a copy on every node: ``python tests/bench/bench_copy_gate.py 1000``.

Half of the copies are complete, the others are to come. Nothing but the decision is measured: no API, no parsing.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from modelcache_operator.core.copies import Copies, Copy, CopyState
from modelcache_operator.core.copy_gate import pods_to_ungate
from modelcache_operator.core.copy_record import NOTHING
from modelcache_operator.core.node_affinity import parse_required
from modelcache_operator.core.nodes import HOSTNAME, Node
from modelcache_operator.core.observed import Snapshot
from modelcache_operator.core.observed_pods import Pod
from modelcache_operator.core.status import SyncRecord
from support.node_selection import on, required
from support.pure_cluster import PureCluster

Json = Mapping[str, Any]
ROUNDS = 3


def label(key: str, operator: str, *values: str) -> Json:
    return required(matchExpressions=[{"key": key, "operator": operator, "values": list(values)}])


def hosts(first: int, many: int, of: int) -> list[str]:
    return [f"host-n{(first + number) % of}" for number in range(many)]


def kinds(count: int) -> dict[str, Callable[[int], Json]]:
    """What pod number N asks of its node."""
    return {
        "the same of all": lambda _: label("zone", "In", "a", "b"),
        "one node each, as a DaemonSet's": lambda number: on(f"n{number}"),
        "ten hosts each": lambda number: label(HOSTNAME, "In", *hosts(7 * number, 10, count)),
        "any host but one each": lambda number: label(HOSTNAME, "NotIn", f"host-n{number}"),
        "half of all hosts each": lambda number: label(HOSTNAME, "In", *hosts(number, count // 2, count)),
    }


def node(number: int) -> Node:
    labels = {
        HOSTNAME: f"host-n{number}",
        "zone": "abc"[number % 3],
        **{f"example.com/{n}": "value" for n in range(20)},
    }
    return Node(f"n{number}", f"uid-{number}", "1", labels, ready=True, schedulable=True, taints=())


def measure(count: int) -> dict[str, float]:
    """Seconds of processor time, of the quickest of some rounds."""
    states = [CopyState.COMPLETE if number < count // 2 else CopyState.MISSING for number in range(count)]
    each = (Copy(node(n), state, NOTHING, state is CopyState.COMPLETE, True) for n, state in enumerate(states))
    copies = Copies(SyncRecord(), tuple(each))
    world = PureCluster()
    world.add_pod("serve", gated=True)
    snapshot = world.snapshot()
    (pod,) = snapshot.pods
    found = {}
    for name, asks in kinds(count).items():
        pods = tuple(
            replace(pod, name=f"serve-{n}", uid=f"pod-{n}", node_affinity=parse_required(asks(n))) for n in range(count)
        )
        seen = replace(snapshot, pods=pods)
        found[name] = min(_timed(seen, pods, copies) for _ in range(ROUNDS))
    return found


def _timed(snapshot: Snapshot, pods: tuple[Pod, ...], copies: Copies) -> float:
    began = time.process_time()
    pods_to_ungate(snapshot, pods, copies)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("nodes", type=int, nargs="?", default=1000, help="and as many pods")
    for name, seconds in measure(parser.parse_args().nodes).items():
        print(f"{name}: {seconds * 1000:.1f} ms")


if __name__ == "__main__":
    main()
