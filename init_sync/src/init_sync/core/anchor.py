"""Anchors: the digest that a manifest demands of a model, held against the one that it has.

A receipt is a fact and an anchor a demand: neither is changed to fit the other.
"""

from __future__ import annotations

from collections.abc import Iterable

from init_sync.core.errors import NeedsChange, together
from init_sync.core.model_check import ModelCheck
from init_sync.core.reasons import Reason
from init_sync.core.spec import Model


def anchor_problem(model: Model, digest: str, of: str) -> str | None:
    """What is wrong when the content ``of`` something has this digest, with the cure; None when nothing is."""
    if model.anchor in ("", digest):
        return None
    return (
        f"{of} has digest {digest}, the manifest demands {model.anchor}. Correct digest or revision in the manifest, "
        "or look for a newer commit with --refresh (in a cluster: annotation modelcache.dev/resync)"
    )


def mismatch(model: Model, problem: str) -> NeedsChange:
    return NeedsChange(Reason.DIGEST_MISMATCH, f"checking {model.name}: {problem}", model.name)


def refuse_checked(checks: Iterable[ModelCheck]) -> None:
    """Raises NeedsChange for models whose receipt has another digest than their anchor: no sync would change that."""
    refuse([mismatch(check.model, check.message) for check in checks if check.reason is Reason.DIGEST_MISMATCH])


def refuse(refused: list[NeedsChange]) -> None:
    """Raises one error for all of them, if there are any."""
    if refused:
        raise together(refused)
