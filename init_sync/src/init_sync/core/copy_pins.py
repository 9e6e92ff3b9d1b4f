"""Pins of another copy: the commit that each model must be on, and the digest that it must have there.

They come from the report of a complete copy, as ``init-sync status --json`` prints it; of each model counts

    {"name": "base", "commit": "4f1c...", "digest": "sha256:9a41..."}

With them a listing needs no trust: the digest shows whether it is right.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from init_sync.core.content_id import checksum_in, is_commit
from init_sync.core.model_check import ModelCheck
from init_sync.core.reasons import Reason


class Pin(NamedTuple):
    """What one model must come to."""

    commit: str
    digest: str


def parse_pins(text: str) -> dict[str, Pin]:
    """By model. Raises ValueError with what is wrong."""
    try:
        models = json.loads(text)["models"]
    except (ValueError, KeyError, TypeError, RecursionError):
        models = None
    if not isinstance(models, list):
        raise ValueError("is not a report; use what init-sync status --json prints for a complete copy")
    return dict(_pin(model) for model in models)


def _pin(model: Any) -> tuple[str, Pin]:
    if not isinstance(model, Mapping) or not isinstance(name := model.get("name"), str):
        raise ValueError("holds a model without a name; use the report of a complete copy")
    commit, digest = model.get("commit"), model.get("digest")
    if not (isinstance(commit, str) and is_commit(commit)):
        raise ValueError(f"model {name[:63]!r} has no commit; use the report of a complete copy")
    if not (isinstance(digest, str) and checksum_in(digest)):
        raise ValueError(f"model {name[:63]!r} has no digest; use the report of a complete copy")
    return name, Pin(commit, digest)


def held_against(pins: Mapping[str, Pin], checks: Mapping[str, ModelCheck]) -> dict[str, ModelCheck]:
    """The checks, with models that are complete but not with the pinned content as not complete.

    What is fetched for a pinned model must have the digest of its pin: it becomes its anchor.
    """
    return {name: _held(pins.get(name), check) for name, check in checks.items()}


def _held(pin: Pin | None, check: ModelCheck) -> ModelCheck:
    if pin is None or (check.complete and check.receipt and check.receipt.digest == pin.digest):
        return check
    model = check.model._replace(anchor=check.model.anchor or pin.digest)
    if not check.complete:
        return check._replace(model=model)
    message = f"complete with other content than the pins demand ({pin.digest}, commit {pin.commit[:12]})"
    return check._replace(model=model, reason=Reason.NOT_VERIFIED, message=message)
