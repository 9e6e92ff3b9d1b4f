"""Which peer server a cache should have now, and what is to be done about it.

- There is one pod, and it is known by its uid: the one that the API named when this operator created it, or the one in
  the status, which nobody else writes. A pod of that name and with that owner, but with another uid, is deleted and
  made again: it may be a forged one, or one whose creation was not recorded before a restart. Neither gets traffic or
  a token. A pod of that name that does not say that it is ours is left alone.
- The pod is created while the cache is complete. It stays while a sync or a repair runs: the server compares each file
  with its receipt, so it offers what is proven and nothing else.
- It must not keep a volume from the pods that need it. ReadWriteMany: it may run anywhere. ReadWriteOnce: it runs on a
  node where a pod of the cache uses the claim, and is deleted once none does. ReadWriteOncePod: it cannot run. A claim
  that is being deleted is not held either.
- A pod that was made from another manifest or by another version of the operator is replaced, and so is one that ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from modelcache_operator.core import peer_objects
from modelcache_operator.core.messages import Message
from modelcache_operator.core.observed import Snapshot
from modelcache_operator.core.observed_pods import PeerPod
from modelcache_operator.core.owned_objects import OwnedObjects
from modelcache_operator.core.pods_in_use import used_nodes
from modelcache_operator.core.status import PeersStatus

REPLACE_S = 30.0
"""A pod that ended, as on a node that is short of memory, is replaced this long after it was created at the soonest."""
PEERS_READY, SERVING = "PeersReady", "Serving"
"""The condition, and its reason while it is True."""
RIGHTS = "The chart gives the operator the rights for peers with operator.peers.enabled"


NO_STATUS = PeersStatus()


@dataclass(frozen=True, slots=True)
class PeerPlan:
    """What to do, and what to say."""

    status: PeersStatus = NO_STATUS
    serve: bool = False
    """Service and EndpointSlice must exist; the slice names ``endpoint`` and nothing else."""
    endpoint: PeerPod | None = None
    remove: bool = False
    """The Service must not exist."""
    create: bool = False
    node: str = ""
    """Where the pod to be created must run; empty: anywhere."""
    delete: PeerPod | None = None
    condition: Message | None = None
    wake_at: float | None = None


NO_PLAN = PeerPlan()


def serving_pod(snapshot: Snapshot) -> PeerPod | None:
    """The pod to which requests, and with them a token, may be sent."""
    pod = snapshot.peers.pod
    wanted = snapshot.cache.peers is not None and not snapshot.forbidden
    return pod if wanted and pod and _is_own(snapshot, pod) and pod.ready and not pod.deleting else None


def plan_peers(
    snapshot: Snapshot, objects: OwnedObjects, complete: bool, now: float, node: str | None = None
) -> PeerPlan:
    """``complete``: the volume is proven now; ``node``: with a copy on every node, that of the one to be served."""
    cache = snapshot.cache
    if cache.deleting or cache.problem or (cache.volume.per_node and snapshot.nodes.problem):
        return PeerPlan(status=cache.status.peers)
    if cache.peers is None or snapshot.forbidden:
        return _removal(snapshot)
    pod = snapshot.peers.pod
    nodes, hindrance = _nodes(snapshot, objects) if node is None else (tuple(filter(None, [node])), None)
    wanted = {peer_objects.template(cache, snapshot.peers.image, node) for node in nodes}
    status = PeersStatus(peer_objects.address(cache), pod.uid if pod and _is_own(snapshot, pod) else "")
    serving = serving_pod(snapshot)
    plan = PeerPlan(status, serve=True, endpoint=serving, condition=_condition(snapshot, hindrance, complete))
    if snapshot.refusals.peers:
        return PeerPlan(status, condition=plan.condition)
    if pod is None:
        create = complete and bool(nodes)
        return replace(plan, create=create, node=nodes[0] if create else "")
    if pod.owner_uid != cache.uid or pod.deleting:
        return plan
    if not _is_own(snapshot, pod) or pod.template not in wanted:
        return replace(plan, delete=pod, endpoint=None)
    if pod.ended and now < pod.created_at + REPLACE_S:
        return replace(plan, wake_at=pod.created_at + REPLACE_S)
    return replace(plan, delete=pod, endpoint=None) if pod.ended else plan


def _is_own(snapshot: Snapshot, pod: PeerPod) -> bool:
    known = (snapshot.peers.created, snapshot.cache.status.peers.pod_uid)
    return pod.owner_uid == snapshot.cache.uid and pod.uid in known


def _removal(snapshot: Snapshot) -> PeerPlan:
    """Until the status does not speak of it any more, which is written after it was done."""
    if snapshot.refusals.peers:
        return PeerPlan(status=snapshot.cache.status.peers)
    pod = snapshot.peers.pod
    ours = pod if pod and pod.owner_uid == snapshot.cache.uid and not pod.deleting else None
    return PeerPlan(remove=snapshot.cache.status.peers != NO_STATUS, delete=ours)


def _nodes(snapshot: Snapshot, objects: OwnedObjects) -> tuple[tuple[str, ...], Message | None]:
    """Where the pod may run, an empty name standing for anywhere; or why it may not."""
    claim = snapshot.claim
    if claim is None or not claim.bound:
        return (), Message("NoVolume", "the claim has no volume, or is being deleted; see the condition VolumeReady")
    if "ReadWriteMany" in claim.access_modes:
        return ("",), None
    if "ReadWriteOncePod" in claim.access_modes:
        return (), Message(
            "AccessMode",
            f"claim {claim.name} is ReadWriteOncePod, so a server beside the pods that use it cannot mount it. Use a "
            "claim that is ReadWriteMany, or set spec.peers.enabled to false",
            stalled=True,
        )
    if nodes := used_nodes(objects):
        return nodes, None
    return (), Message(
        "WaitingForPod",
        f"claim {claim.name} can be mounted on one node, and no pod of the cache uses it now. It is served from the "
        "node of a pod that does",
    )


def _condition(snapshot: Snapshot, hindrance: Message | None, complete: bool) -> Message:
    cache, pod, refusals = snapshot.cache, snapshot.peers.pod, snapshot.refusals
    name = peer_objects.name(cache)
    if refusals.peers:
        cure = f". {RIGHTS}" if refusals.peers_reason == "Refused" else ""
        return Message(refusals.peers_reason, refusals.peers + cure, stalled=True)
    if pod and pod.owner_uid != cache.uid:
        return Message("NameTaken", peer_objects.name_taken("Pod", name, cache), stalled=True)
    if hindrance:
        return hindrance
    if serving_pod(snapshot):
        return Message(SERVING, f"pod {name} serves the models at {peer_objects.address(cache)}")
    if pod is None and not complete:
        return Message("NotComplete", "the server is started once the cache is complete")
    if pod and pod.trouble:
        return Message("PodNotReady", f"pod {name} is not ready: {pod.trouble}")
    return Message("PodStarting", f"pod {name} is starting; if that lasts, see kubectl describe pod {name}")
