"""Pins: the commit that a branch or tag was resolved to for a directory, kept with the listing of that commit.

A sync that goes on tomorrow, or a second pod, works on the same commit whatever happened to the branch meanwhile, and
an incomplete volume can be judged without the hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from init_sync.core.listing import Listing
from init_sync.core.spec import Model
from init_sync.volume.layout import PINS, pin_path, read_json, state_files, write_json
from init_sync.volume.volume import Volume


def load_pin(volume: Volume, model: Model, revision: str) -> Listing | None:
    """What ``revision`` was resolved to; None when it was not, or the pin is damaged."""
    listing = _read(volume, pin_path(model, revision))
    return listing if listing and (listing.repo, listing.revision) == (model.repo, revision) else None


def all_pins(volume: Volume) -> Iterator[Listing]:
    """Every valid one, those of other manifests too."""
    for path in state_files(volume, PINS):
        if listing := _read(volume, path):
            yield listing


def store_pin(volume: Volume, model: Model, revision: str, listing: Listing) -> Listing:
    pinned = replace(listing, revision=revision)
    write_json(volume, pin_path(model, revision), pinned.to_json())
    return pinned


def _read(volume: Volume, path: str) -> Listing | None:
    try:
        return Listing.from_json(read_json(volume, path))
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
