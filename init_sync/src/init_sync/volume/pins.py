"""Pins: the commit that a branch or tag was resolved to for a directory, kept with the listing of that commit.

A sync that goes on tomorrow, or a second pod, works on the same commit whatever happened to the branch meanwhile, and
an incomplete volume can be judged without the hub.
"""

from __future__ import annotations

from dataclasses import replace

from init_sync.core.listing import Listing
from init_sync.core.spec import Model
from init_sync.volume.layout import pin_path, read_json, write_json
from init_sync.volume.volume import Volume


def load_pin(volume: Volume, model: Model, revision: str) -> Listing | None:
    """What ``revision`` was resolved to; None when it was not, or the pin is damaged."""
    try:
        listing = Listing.from_json(read_json(volume, pin_path(model, revision)))
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
    return listing if (listing.repo, listing.revision) == (model.repo, revision) else None


def store_pin(volume: Volume, model: Model, revision: str, listing: Listing) -> Listing:
    pinned = replace(listing, revision=revision)
    write_json(volume, pin_path(model, revision), pinned.to_json())
    return pinned
