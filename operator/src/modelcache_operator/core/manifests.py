"""From a ModelCache object of the API to the manifest text that sync containers read, and its digest.

The text is what ``init-sync sync --spec`` takes. It holds what decides the content of the volume and nothing else, in a
canonical form, so its digest names a content: a report that carries it is about that content, whatever else the spec
says about Jobs, claims and tokens. Anchors (``models[].digest``) are in it, for each sync holds them; they are demands
on a content and not a part of it, so the content has a digest of its own without them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from init_sync.core.errors import ManifestError
from init_sync.core.manifest import manifest_from
from init_sync.core.manifest_schema import SPEC
from init_sync.core.problems import Problems
from init_sync.core.spec import Manifest
from modelcache_operator.core.names import API_VERSION, KIND


def content_text(name: str, spec: Mapping[str, Any]) -> str:
    """JSON, which is YAML too: quick to write and to compare, and still readable with ``kubectl describe``."""
    allowed = spec.get("allowPickles")
    content = {"models": spec.get("models"), "allowPickles": True if allowed is None else allowed}
    return json.dumps(_document(name, content), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def content_digest(name: str, spec: Mapping[str, Any]) -> str:
    """Of the manifest text without anchors."""
    models = spec.get("models")
    if not isinstance(models, list):
        return text_digest(content_text(name, spec))
    plain = [
        {key: value for key, value in each.items() if key != "digest"} if isinstance(each, Mapping) else each
        for each in models
    ]
    return text_digest(content_text(name, {**spec, "models": plain}))


def anchors(manifest: Manifest) -> dict[str, str]:
    """The digests that the manifest demands, by model."""
    return {model.name: model.anchor for model in manifest.models if model.anchor}


def _document(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": spec}


def text_digest(text: str) -> str:
    """As init-sync's report names it: of the bytes that a kubelet writes into the mounted file."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def read_manifest(name: str, spec: Mapping[str, Any]) -> tuple[Manifest, str]:
    """The manifest and what is wrong with it; if anything is, it has no models, and the defaults of all else."""
    try:
        return manifest_from(_document(name, spec), "the manifest"), ""
    except ManifestError as error:
        return Manifest(name, (), True, SPEC.check({}, "", Problems())), error.message


def paths(manifest: Manifest) -> dict[str, str]:
    """Every path of a directory or link that the manifest fills on the volume, with a digest of what belongs there."""
    found = {model.path: model.requirement_digest() for model in manifest.models}
    for model in manifest.models:
        for link in model.links:
            found[link.at] = f"{model.repo}@{model.revision}/{link.file}"
    return found
