"""Paths of a container as paths of this machine: there is no mount namespace, so texts are rewritten instead.

``/models`` in ``--volume /models``, ``--scratch=/tmp/videos`` or ``cat /models/config.json`` becomes the local folder,
whole path components only. What a program composes itself at run time stays out of reach.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """Container path -> local path."""

    places: Mapping[str, Path]

    def map(self, text: str) -> str:
        """The longest container path wins where one lies in another."""
        names = sorted((name.rstrip("/") for name in self.places), key=len, reverse=True)
        if not names:
            return text
        any_of = "|".join(re.escape(name) for name in names)
        return re.sub(rf"(?<![\w./-])({any_of})(?![\w.-])", lambda found: str(self.places[found[1]]), text)
