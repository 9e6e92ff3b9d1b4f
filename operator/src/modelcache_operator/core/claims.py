"""What the claim of a cache allows: may a sync start, must the claim be made, and how to say what is wrong with it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from modelcache_operator.core.observed import Cache, Claim, Neighbour, Snapshot
from modelcache_operator.core.spec import VolumeSpec

NOT_BOUND_S = 60.0
"""Volumes are provisioned in seconds; what takes longer than this needs a look."""


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """What can be said of the claim."""

    usable: bool
    """A pod that mounts it can be expected to start; a Pending claim may be waiting for just that."""
    reason: str
    message: str
    bound: bool = False
    """It has a volume, and keeps it: without one nothing is complete."""
    stalled: bool = False
    """Only a person can cure it."""


def check_claim(volume: VolumeSpec, claim: Claim | None, now: float) -> ClaimCheck:
    if not volume.claim:
        return ClaimCheck(
            False,
            "NoClaim",
            "the manifest names no volume. Set spec.volume.claimName, or spec.volume.create",
            stalled=True,
        )
    if claim is None:
        return _absent(volume)
    if claim.deleting:
        return ClaimCheck(
            False,
            "ClaimTerminating",
            f"claim {claim.name} is being deleted. Create a new one of that name once it is gone",
        )
    if claim.phase == "Lost":
        return ClaimCheck(
            False,
            "ClaimLost",
            f"claim {claim.name} has lost its volume for good. Delete it and create it again, or restore it",
            stalled=True,
        )
    if claim.bound:
        return ClaimCheck(True, "ClaimBound", f"claim {claim.name} is bound", bound=True)
    of_class = f" of storage class {claim.storage_class}" if claim.storage_class else ""
    late = now - claim.created_at > NOT_BOUND_S
    return ClaimCheck(
        True,
        "ClaimNotBound" if late else "ClaimPending",
        f"claim {claim.name} is {claim.phase}: no volume{of_class} is bound to it"
        + (f". See kubectl describe persistentvolumeclaim {claim.name}" if late else " yet"),
    )


def _absent(volume: VolumeSpec) -> ClaimCheck:
    if volume.create:
        return ClaimCheck(False, "ClaimCreating", f"claim {volume.claim} is being created")
    return ClaimCheck(
        False,
        "ClaimMissing",
        f"there is no claim {volume.claim}. Create it, or let the operator do so with spec.volume.create",
    )


def difference(snapshot: Snapshot) -> str:
    """How the claim differs from ``spec.volume.create``, with the cure; empty when it does not. It hinders no sync."""
    found = () if snapshot.claim is None else _differences(snapshot, snapshot.claim)
    return "; ".join(found)


def wants_size(snapshot: Snapshot) -> bool:
    """Whether to request the larger size of the manifest: of a claim with a volume, made for this cache."""
    claim, cache = snapshot.claim, snapshot.cache
    return (
        claim is not None
        and claim.bound
        and is_made_for(claim, cache)
        and is_larger(cache.volume.size, claim.size)
        and not snapshot.refusals.size
    )


def _differences(snapshot: Snapshot, claim: Claim) -> Iterator[str]:
    volume = snapshot.cache.volume
    delete = f"kubectl delete persistentvolumeclaim {claim.name}"
    cure = f"Name another claim in spec.volume.claimName, or set it back. {delete} removes the old one, models included"
    if not claim.bound:
        cure = f"It holds nothing yet: {delete}"
    for field, present, wanted in (
        ("storageClassName", claim.storage_class or "(none)", volume.storage_class),
        ("accessModes", ", ".join(sorted(claim.access_modes)), ", ".join(sorted(volume.access_modes))),
    ):
        if wanted and present and wanted != present:
            yield f"it has {field} {present}, spec.volume.create has {wanted}, and no claim can change that. {cure}"
    sizes = f"it requests {claim.size}, and spec.volume.create.size {'comes to' if volume.auto else 'is'} {volume.size}"
    if is_larger(claim.size, volume.size) and not volume.auto:
        yield f"{sizes}, but no claim can shrink. Set the field to {claim.size}"
    elif is_larger(volume.size, claim.size) and not wants_size(snapshot):
        yield f"{sizes}{_not_requested(snapshot, claim)}"
    if claim.resize_error:
        yield (
            f"its volume could not be enlarged to {claim.size}: {claim.resize_error}. This is tried again; if that "
            "cannot succeed, name another claim in spec.volume.claimName"
        )


def _not_requested(snapshot: Snapshot, claim: Claim) -> str:
    """Why the larger size was not requested, and what to do."""
    if not claim.bound:
        return ", which is requested once it is bound"
    if refused := snapshot.refusals.size:
        return f"; {refused}. Allow expansion in its storage class, or name another claim in spec.volume.claimName"
    body = {"spec": {"resources": {"requests": {"storage": snapshot.cache.volume.size}}}}
    patch = json.dumps(body, separators=(",", ":"))
    return f", but it was not created for this cache: kubectl patch persistentvolumeclaim {claim.name} -p '{patch}'"


QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]*)?(?:[eE][0-9]{1,2})?)([numkMGTPE]?|[KMGTPE]i)")
UNITS = {
    **{unit: Decimal(1000) ** power for power, unit in enumerate(("n", "u", "m", "", *"kMGTPE"), -3)},
    **{f"{unit}i": Decimal(1024) ** power for power, unit in enumerate("KMGTPE", 1)},
}


def is_larger(one: str, other: str) -> bool:
    """Of two quantities of Kubernetes; what is none is not compared."""
    found = [QUANTITY.fullmatch(each) for each in (one, other)]
    bytes_ = [Decimal(each[1]) * UNITS[each[2]] for each in found if each]
    return len(bytes_) == 2 and bytes_[0] > bytes_[1]


def is_made_for(claim: Claim, cache: Cache) -> bool:
    """Whether the operator created the claim for this very cache: only then is it ever changed."""
    return claim.created_for == cache.name and claim.created_for_uid in ("", cache.uid)


def wants_owner(snapshot: Snapshot) -> bool:
    """Whether the claim is to be deleted with the cache.

    Only if the manifest says so, the operator made the claim for this cache, and no other cache uses it.
    """
    claim, cache = snapshot.claim, snapshot.cache
    return (
        claim is not None
        and cache.volume.create
        and cache.volume.delete_with_cache
        and is_made_for(claim, cache)
        and not snapshot.claim_shared
    )


def conflict(snapshot: Snapshot) -> str:
    """Says which older cache on the same claim wants other content at the same path; empty when none does.

    Two such caches would undo each other's work for ever; the older one keeps the path.
    """
    cache = snapshot.cache
    for other in sorted(snapshot.neighbours, key=_age):
        if _age(other) > (cache.created_at, cache.name):
            continue
        for path, digest in cache.paths.items():
            if other.paths.get(path, digest) != digest:
                return (
                    f"{path!r} on claim {cache.volume.claim} is filled by ModelCache {other.name} with other content. "
                    "Choose another path, or another claim"
                )
    return ""


def _age(neighbour: Neighbour) -> tuple[float, str]:
    return neighbour.created_at, neighbour.name
