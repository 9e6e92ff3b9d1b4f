"""From the text of a ModelCache manifest to a ``Manifest``, or to one error that names every wrong field.

The format is the one that ``kubectl apply`` takes, as YAML or JSON:

    apiVersion: modelcache.dev/v1alpha1
    kind: ModelCache
    metadata: {name: multitalk}
    spec:
      models:
      - {name: base, repo: Wan-AI/Wan2.1-I2V-14B-480P, path: Wan2.1-I2V-14B-480P}

A file may hold other documents beside it (a Secret, a Pod); exactly one must be a ModelCache. Its fields are declared
in ``manifest_schema``; the rules that look at several models are here. Reading the YAML itself is done by ``yamltext``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from init_sync.core.errors import ManifestError, Problem
from init_sync.core.manifest_schema import (
    CLAIM_OF_EACH_NODE,
    DOCUMENT,
    HEADROOM_OF_AUTO,
    KIND,
    NEEDS_CLAIM,
    NEEDS_JOBS,
    PEERS_ARE_PRIVATE,
    TASKS_NEED_JOBS,
)
from init_sync.core.problems import Problems, shown, type_name
from init_sync.core.spec import Alternative, Link, Manifest, Model
from init_sync.core.volumepath import same_or_inside
from init_sync.core.yamltext import UnreadableText, read_documents


def parse_manifest(text: str, source: str) -> Manifest:
    """The manifest in ``text``; ``source`` names it in errors.

    Raises:
        ManifestError: with all problems found, each with the path of its field.
    """
    try:
        documents = read_documents(text)
    except UnreadableText as error:
        raise ManifestError(source, (Problem("", str(error)),)) from error
    problems = Problems()
    document = _the_model_cache(documents, problems)
    if document is None:
        raise ManifestError(source, tuple(problems.found))
    manifest = manifest_from(document, source)
    if not _is_unicode(text, document):
        raise ManifestError(source, (Problem("", "holds half of an escaped character; write the whole character"),))
    return manifest


def manifest_from(document: Mapping[str, Any], source: str) -> Manifest:
    """The manifest in a document that was parsed already, such as an object from the Kubernetes API.

    Raises:
        ManifestError: with all problems found, each with the path of its field.
    """
    problems = Problems()
    manifest = _read(document, problems)
    if problems.found:
        raise ManifestError(source, tuple(problems.found))
    return manifest


def _is_unicode(text: str, document: Any) -> bool:
    """JSON can smuggle half of a surrogate pair into parts that have no rule of their own, such as labels."""
    if "\\ud" not in text.lower():
        return True
    try:
        json.dumps(document, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def _the_model_cache(documents: list[Any], problems: Problems) -> dict[str, Any] | None:
    found = [each for each in documents if isinstance(each, dict) and each.get("kind") == KIND]
    if len(found) == 1:
        return found[0]
    if found:
        problems.add("", f"holds {len(found)} documents of kind {KIND}; keep one to a file")
    elif len(documents) == 1 and isinstance(documents[0], dict):
        problems.add("kind", f"is {shown(documents[0].get('kind'))}; must be {KIND!r}")
    elif len(documents) == 1 and documents[0] is not None:
        problems.add("", f"must be a mapping with apiVersion, kind, metadata and spec, not {type_name(documents[0])}")
    else:
        problems.add("", f"holds no document of kind {KIND}")
    return None


def _read(document: Mapping[str, Any], problems: Problems) -> Manifest:
    found = DOCUMENT.read(document, "", problems)
    spec = found["spec"]
    models = tuple(_model(each) for each in spec["models"])
    _check_together(models, problems)
    if spec["auth"] and spec["peers"]["enabled"] and not spec["peers"]["tokenSecret"]:
        problems.add("spec.peers.tokenSecret", PEERS_ARE_PRIVATE)
    if spec["volume"]["perNode"]:
        _check_per_node(spec, problems)
    _check_tasks(spec, problems)
    places = [link.at for model in models for link in model.links]
    models = tuple(
        model._replace(taken_places=tuple(place for place in places if place.startswith(f"{model.path}/")))
        for model in models
    )
    return Manifest(found["metadata"]["name"], models, spec["allowPickles"], spec)


def _model(values: Mapping[str, Any]) -> Model:
    revision = values["revision"]
    return Model(
        name=values["name"],
        display_name=values["displayName"] or values["name"],
        repo=values["repo"],
        revision=revision,
        path=values["path"],
        include=tuple(values["include"]) or None,
        exclude=tuple(values["exclude"]),
        one_of=tuple(Alternative(each["file"], each["revision"] or revision) for each in values["oneOf"]),
        links=tuple(Link(**each) for each in values["links"]),
        anchor=values["digest"] or "",
    )


def _check_per_node(spec: Mapping[str, Any], problems: Problems) -> None:
    volume = spec["volume"]
    if volume["create"]:
        problems.add("spec.volume.perNode", CLAIM_OF_EACH_NODE)
    elif not volume["claimName"]:
        problems.add("spec.volume.claimName", NEEDS_CLAIM)
    if not spec["sync"]["job"]["enabled"]:
        problems.add("spec.sync.job.enabled", NEEDS_JOBS)


def _check_tasks(spec: Mapping[str, Any], problems: Problems) -> None:
    volume = spec["volume"]
    create = volume["create"] or {"size": "", "headroom": ""}
    if create["headroom"] and create["size"] != "auto":
        problems.add("spec.volume.create.headroom", HEADROOM_OF_AUTO)
    tasks = spec["scrub"] or spec["updates"] or volume["prune"] or create["size"] == "auto"
    if tasks and not spec["sync"]["job"]["enabled"]:
        problems.add("spec.sync.job.enabled", TASKS_NEED_JOBS)


def _check_together(models: tuple[Model, ...], problems: Problems) -> None:
    """The rules that look at more than one field: directories and link places are each used once."""
    fields = [f"spec.models[{index}]" for index in range(len(models))]
    paths = [model.path for model in models]
    problems.add_repeated(paths, [f"{field}.path" for field in fields], "each model needs a directory of its own")
    places: dict[str, str] = {}
    for field, model in zip(fields, models, strict=True):
        for number, link in enumerate(model.links):
            at = f"{field}.links[{number}].at"
            if link.at and link.at == f"{model.path}/{link.file}":
                problems.add(at, f"{link.at!r} is where the file itself lies; choose another place")
            first = places.setdefault(link.at, at)
            if link.at and not first.startswith(f"{field}."):
                problems.add(at, f"{link.at!r} is taken by {first} already; only one file can be there")
    places.pop("", None)
    for at, field in places.items():
        if any(same_or_inside(path, at) for path in paths):
            problems.add(field, f"{at!r} is the directory of a model; name a file, such as '{at}/config.json'")
        for outer in places:
            if outer != at and same_or_inside(at, outer):
                problems.add(field, f"{at!r} lies below {outer!r}, where {places[outer]} puts a file")
