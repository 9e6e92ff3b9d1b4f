"""From the text of a ModelCache manifest to a ``Manifest``, or to one error that names every wrong field.

The format is the one that ``kubectl apply`` takes, as YAML or JSON:

    apiVersion: modelcache.dev/v1alpha1
    kind: ModelCache
    metadata: {name: multitalk}
    spec:
      models:
      - {name: base, repo: Wan-AI/Wan2.1-I2V-14B-480P, path: Wan2.1-I2V-14B-480P}

A file may hold other documents beside it (a Secret, a Pod); exactly one must be a ModelCache. The rules here and
those of the custom resource definition are meant to agree; ``deployment_fields`` holds those of the parts that only the
operator reads. Reading the YAML itself is done by ``yamltext``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from init_sync.core.deployment_fields import check_deployment_fields
from init_sync.core.errors import ManifestError, Problem
from init_sync.core.fields import Problems, Section, shown, type_name
from init_sync.core.spec import Alternative, Link, Manifest, Model
from init_sync.core.volumepath import path_problem, same_or_inside
from init_sync.core.yamltext import UnreadableText, read_documents

API_VERSION = "modelcache.dev/v1alpha1"
KIND = "ModelCache"
MAX_MODELS = 100
MAX_PATTERNS = 500
MAX_ALTERNATIVES = 16
MAX_LINKS = 32
"""What lets the rules about links fit into an API server's budget for one custom resource definition."""
MAX_TEXT = 1 << 20
"""For values whose own rule limits them more tightly, with a better message."""

NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
NAME_ALLOWED = "use lower-case letters, digits and '-', beginning and ending with a letter or digit"
REPO = r"(?!.*(--|\.\.))([A-Za-z0-9_][A-Za-z0-9._-]*/)?[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?(?<!\.git)"
REPO_ALLOWED = (
    "use the repository's name on the hub, such as 'Wan-AI/Wan2.1-I2V-14B-480P'; data sets and spaces are not served"
)
REVISION = r"(?!.*(\.\.|//|@\{))[^\s\x00-\x1f\x7f~^:?*\[\\/][^\s\x00-\x1f\x7f~^:?*\[\\]*(?<![./])"
REVISION_ALLOWED = "use a branch, a tag, a commit or 'refs/pr/N'"
DISPLAY_NAME = r"[^\x00-\x1f\x7f]+"

METADATA_FIELDS = (
    *("annotations", "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "finalizers"),
    *("generateName", "generation", "labels", "managedFields", "name", "namespace", "ownerReferences"),
    *("resourceVersion", "selfLink", "uid"),
)


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
    root = Section(document, "", problems)
    if root.text("apiVersion") not in ("", API_VERSION):
        root.problem("apiVersion", f"is {shown(document['apiVersion'])}; must be {API_VERSION!r}")
    root.raw("kind"), root.raw("status")
    metadata = Section(root.raw("metadata"), "metadata", problems)
    name = metadata.text("name", pattern=NAME, allowed=NAME_ALLOWED, max_length=63)
    for field in METADATA_FIELDS:
        metadata.raw(field)
    metadata.close()
    spec = Section(root.raw("spec"), "spec", problems)
    models = tuple(_model(section) for section in spec.sections("models", minimum=1, maximum=MAX_MODELS))
    if not spec.has("models"):
        spec.problem("models", "is required; list at least one model")
    _check_together(models, problems)
    places = [link.at for model in models for link in model.links]
    models = tuple(
        model._replace(taken_places=tuple(place for place in places if place.startswith(f"{model.path}/")))
        for model in models
    )
    allow_pickles = spec.flag("allowPickles", default=True)
    check_deployment_fields(spec)
    spec.close()
    root.close()
    return Manifest(name, models, allow_pickles, document)


def _model(section: Section) -> Model:
    name = section.text("name", pattern=NAME, allowed=NAME_ALLOWED, max_length=63)
    revision = section.text("revision", default="main", pattern=REVISION, allowed=REVISION_ALLOWED)
    model = Model(
        name=name,
        display_name=section.text(
            "displayName", default=name or "-", pattern=DISPLAY_NAME, allowed="keep it on one line", max_length=128
        ),
        repo=section.text("repo", pattern=REPO, allowed=REPO_ALLOWED, max_length=96),
        revision=revision,
        path=_volume_path(section, "path"),
        include=_patterns(section, "include", minimum=1),
        exclude=_patterns(section, "exclude", minimum=0) or (),
        one_of=tuple(
            _alternative(each, revision) for each in section.sections("oneOf", minimum=1, maximum=MAX_ALTERNATIVES)
        ),
        links=tuple(_link(each) for each in section.sections("links", maximum=MAX_LINKS)),
    )
    section.close()
    return model


def _volume_path(section: Section, key: str) -> str:
    path = section.text(key, max_length=MAX_TEXT, allowed="a relative path on the volume")
    if path and (problem := path_problem(path)):
        section.problem(key, problem)
        return ""
    return path


def _patterns(section: Section, key: str, *, minimum: int) -> tuple[str, ...] | None:
    entries = section.texts(key, minimum=minimum, maximum=MAX_PATTERNS)
    if entries is None:
        return None
    for path, pattern in entries:
        if problem := path_problem(pattern.removesuffix("/")):
            section.problems.add(path, problem)
    return tuple(pattern for _, pattern in entries)


def _alternative(section: Section, revision: str) -> Alternative:
    alternative = Alternative(
        file=_volume_path(section, "file"),
        revision=section.text("revision", default=revision, pattern=REVISION, allowed=REVISION_ALLOWED),
    )
    section.close()
    return alternative


def _link(section: Section) -> Link:
    link = Link(file=_volume_path(section, "file"), at=_volume_path(section, "at"))
    section.close()
    return link


def _check_together(models: tuple[Model, ...], problems: Problems) -> None:
    """The rules that look at more than one model: names, directories and link places are each used once."""
    names: dict[str, str] = {}
    paths: dict[str, str] = {}
    places: dict[str, str] = {}
    for index, model in enumerate(models):
        field = f"spec.models[{index}]"
        _claim(names, model.name, f"{field}.name", "each model needs a name of its own", problems)
        _claim(paths, model.path, f"{field}.path", "each model needs a directory of its own", problems)
        for number, link in enumerate(model.links):
            at = f"{field}.links[{number}].at"
            _claim(places, link.at, at, "only one file can be there", problems)
            if link.at and link.at == f"{model.path}/{link.file}":
                problems.add(at, f"{link.at!r} is where the file itself lies; choose another place")
    for at, field in places.items():
        if any(same_or_inside(path, at) for path in paths):
            problems.add(field, f"{at!r} is the directory of a model; name a file, such as '{at}/config.json'")
        for outer in places:
            if outer != at and same_or_inside(at, outer):
                problems.add(field, f"{at!r} lies below {outer!r}, where {places[outer]} puts a file")


def _claim(taken: dict[str, str], value: str, field: str, rule: str, problems: Problems) -> None:
    if value and value in taken:
        problems.add(field, f"{value!r} is taken by {taken[value]} already; {rule}")
    elif value:
        taken[value] = field
