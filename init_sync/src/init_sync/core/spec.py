"""A validated manifest as values, and the digest of a requirement, which ties a receipt to what a model requires.

What a sync needs has names and types here. The rest of the spec, which only the operator acts on, is in
``Manifest.spec``.

These and the other values that a warm start touches are named tuples: defining a dataclass takes half a millisecond,
and a warm start must not spend its time on that. Nor does this module import ``annotations`` from ``__future__``:
defining a named tuple compiles each of those.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class Alternative(NamedTuple):
    """One of several files of which a model needs just one."""

    file: str
    revision: str
    """Where to look for it: the alternative's own revision, else the model's."""


class Link(NamedTuple):
    """A file of this model that must also be found at another place on the volume."""

    file: str
    """Path inside the repository."""
    at: str
    """Path on the volume, relative to its root."""


class Model(NamedTuple):
    """One repository, or a part of it, that belongs in one directory of the volume."""

    name: str
    display_name: str
    repo: str
    revision: str
    path: str
    include: tuple[str, ...] | None = None
    """Patterns of the files wanted; None means every file."""
    exclude: tuple[str, ...] = ()
    one_of: tuple[Alternative, ...] = ()
    links: tuple[Link, ...] = ()
    taken_places: tuple[str, ...] = ()
    """Places inside this model's directory where a link of the manifest puts a file instead."""
    anchor: str = ""
    """The digest that its content must have (``spec.models[].digest``); empty: any."""

    def requirement_digest(self) -> str:
        """A hex digest of everything that decides which files this model needs and where.

        The name is left out: renaming a model must not fetch it again. So is the anchor, a demand on the content.
        """
        requirement = {
            "repo": self.repo,
            "revision": self.revision,
            "path": self.path,
            "include": None if self.include is None else sorted(set(self.include)),
            "exclude": sorted(set(self.exclude)),
            "oneOf": [[alternative.file, alternative.revision] for alternative in self.one_of],
            "links": sorted([link.file, link.at] for link in self.links),
            "taken": sorted(self.taken_places),
        }
        return hashlib.sha256(json.dumps(requirement, sort_keys=True).encode()).hexdigest()


class Manifest(NamedTuple):
    """A ModelCache manifest that passed validation."""

    name: str
    models: tuple[Model, ...]
    allow_pickles: bool
    spec: Mapping[str, Any]
    """Every field of the spec under its own name, with defaults filled in, as ``manifest_schema`` declares them."""
    digest: str = ""
    """``sha256:`` and the hash of the file that it was read from, byte for byte; empty when there was no file."""
