"""Prepared copies: models of this volume once more, in the form in which a program uses them.

    prepared/<name>-<digest>/...                             its files; the digest is of what they were made of, and how
    .modelcache/receipts/prepared--<name>-<...>.json         a receipt as any other, with ``preparedFrom``

A copy counts while the receipts of its models have the digests that it was made of, and a stat shows its own files as
its receipt has them. Everything else about it is that of a model: its files are owned, read by ``scrub`` and removed by
``prune``. No sync needs it, so its damage makes nothing incomplete: it is no longer taken, and that is all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from posixpath import basename

from init_sync.core.receipt import Receipt
from init_sync.core.spec import Manifest, Model
from init_sync.volume.layout import slug
from init_sync.volume.receipts import all_receipts, load_receipt
from init_sync.volume.volume import Volume

DIRECTORY = "prepared"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a copy is made of, and how: two of the same recipe have the same content."""

    name: str
    """For people: the beginning of the directory's name. It may be a path."""
    form: str
    """What the files hold; another way to make them has another text."""
    files: tuple[str, ...]
    """Paths of the models' files that are read."""
    models: Mapping[str, str]
    """Digests by path, of the models that these files belong to."""

    def model(self) -> Model:
        """The copy, as receipts and their files know a model."""
        made = {"form": self.form, "files": self.files, "from": dict(self.models)}
        digest = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()[:16]
        return _as_model(f"{DIRECTORY}/{slug(self.name)}-{digest}", self.form)


def model_of(receipt: Receipt) -> Model:
    """The model whose receipt this is."""
    return _as_model(receipt.path, receipt.revision)


def is_outdated(prepared_from: Mapping[str, str], receipts: Iterable[Receipt], pending: Collection[str]) -> bool:
    """Whether these receipts lack one of the digests, but for paths of models whose own receipt is still to come."""
    known = {(each.path, each.digest) for each in receipts if not each.prepared_from}
    return any(each not in known and each[0] not in pending for each in prepared_from.items())


def recipe_of(volume: Volume, manifest: Manifest, name: str, form: str, files: Sequence[str]) -> Recipe | None:
    """The recipe with the models as their receipts say that they are; None where a file belongs to none of them."""
    models = models_of(volume, manifest, files)
    return None if models is None else Recipe(name, form, tuple(files), models)


def models_of(volume: Volume, manifest: Manifest, files: Iterable[str]) -> dict[str, str] | None:
    """Digests by path of the manifest's models that these files belong to; None when one of them belongs to none."""
    wanted = set(files)
    found: dict[str, str] = {}
    for model in manifest.models:
        receipt = load_receipt(volume, model)
        named = {each.path for each in receipt.files} | {each.at for each in receipt.links} if receipt else set()
        if receipt and receipt.digest and wanted & named:
            found[model.path] = receipt.digest
            wanted -= named
    return None if wanted else found


def load_copy(volume: Volume, recipe: Recipe) -> Receipt | None:
    """The receipt of this very copy, whatever became of its files."""
    receipt = load_receipt(volume, recipe.model())
    return receipt if receipt and receipt.prepared_from == recipe.models else None


def copies_of(volume: Volume, cache: str) -> list[Receipt]:
    """Every copy that was made for a cache."""
    return [each for each in all_receipts(volume) if each.prepared_from and each.cache == cache]


def _as_model(path: str, form: str) -> Model:
    return Model(name=path, display_name=basename(path), repo="", revision=form, path=path)
