"""The volume's id: which volume a report is about, whatever name it is mounted or claimed under.

``.modelcache/volume.json``, written once, by the first sync, and never changed:

    {"format": 1, "id": "5b0c9f0e2d1a4c7fb7a9d2c3e4f50617", "check": "<hash of the above>"}

A copy of a volume (a clone, a restored snapshot) has the id of its original; an emptied or exchanged
volume has another.
"""

from __future__ import annotations

import os
import re

from init_sync.volume.layout import IDENTITY, read_json, write_json
from init_sync.volume.volume import Volume

FORMAT = 1
ID = re.compile(r"[0-9a-f]{32}")


def read_volume_id(volume: Volume) -> str | None:
    """None when there is none, or what is there cannot be an id."""
    data = read_json(volume, IDENTITY)
    found = data.get("id") if isinstance(data, dict) and data.get("format") == FORMAT else None
    return found if isinstance(found, str) and ID.fullmatch(found) else None


def ensure_volume_id(volume: Volume) -> str | None:
    """The id, made now if there is none; None on a volume that cannot be written to.

    Of two processes that make one at the same time the later rename counts, and both are told what lies there then.
    """
    if found := read_volume_id(volume):
        return found
    try:
        write_json(volume, IDENTITY, {"format": FORMAT, "id": os.urandom(16).hex()})
    except OSError:
        return None
    return read_volume_id(volume)
