"""The custom resource definition and the command line's validation give the same decided on one table of manifests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
import yaml

import crd
from init_sync.core.errors import ManifestError
from init_sync.core.manifest import parse_manifest
from modelcache_operator.core.manifests import content_text, read_manifest
from support.cluster import Space
from support.kubeapi import ApiError
from unit.bad_manifests import BAD
from unit.good_manifests import GOOD
from unit.manifests import Bad, Good, job, one, volume

Json = dict[str, Any]

BEYOND_CEL = frozenset({"a link below another link", "links of two models at one place"})
"""Rules that compare links with each other cost a hundred times what the API server allows; the operator reports them:
phase Failed, reason InvalidSpec."""


def _in_cluster(entries: Iterable[Any]) -> list[Any]:
    return [pytest.param(each, id=each.id) for each in entries if each.in_cluster]


def _send(space: Space, text: str) -> Json:
    """As ``kubectl apply`` does: strictly, whatever kind the document says it is."""
    for document in [json.loads(text)] if text.startswith("{") else yaml.safe_load_all(text):
        if isinstance(document, dict) and (document.get("kind") != "Secret" or "spec" in document):
            path = f"/apis/{document.get('apiVersion', 'none')}/namespaces/{space.namespace}/modelcaches"
            document = _for_this_namespace(document)
            query = {"fieldValidation": "Strict", "dryRun": "All"}
            return space.client.call("POST", path, json.dumps(document).encode(), query=query)
    raise AssertionError("nothing to send")


def _for_this_namespace(document: Json) -> Json:
    metadata = document.get("metadata")
    if isinstance(metadata, dict):
        dropped = ("namespace", "resourceVersion", "uid")  # of another object: no fault of the manifest's
        metadata = {key: value for key, value in metadata.items() if key not in dropped}
        return {**document, "metadata": metadata}
    return document


@pytest.mark.parametrize("entry", _in_cluster(GOOD))
def test_a_good_manifest_is_accepted_by_both(space: Space, entry: Good) -> None:
    parse_manifest(entry.text, "test")
    _send(space, entry.text)


@pytest.mark.parametrize("entry", _in_cluster(GOOD))
def test_what_the_api_makes_of_a_good_manifest_is_still_good(space: Space, entry: Good) -> None:
    stored = _send(space, entry.text)
    name, spec = stored["metadata"]["name"], stored["spec"]
    manifest, problem = read_manifest(name, spec)
    assert problem == ""
    content = parse_manifest(content_text(name, spec), "test")
    assert (content.models, content.allow_pickles) == (manifest.models, manifest.allow_pickles)


def test_a_cache_that_no_operator_has_seen_has_a_status_of_an_older_generation(space: Space) -> None:
    """Without any status kstatus would call it Current, and `helm install --wait` would end at once."""
    generation = space.cache()["metadata"]["generation"]
    assert space.status()["observedGeneration"] < generation


@pytest.mark.parametrize("entry", _in_cluster(BAD))
def test_a_bad_manifest_is_refused_by_both(space: Space, entry: Bad) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(entry.text, "test")
    if entry.id in BEYOND_CEL:
        stored = _send(space, entry.text)
        manifest, problem = read_manifest("a", stored["spec"])
        assert manifest.models == ()
        assert entry.word in problem
        return
    with pytest.raises(ApiError) as refused:
        _send(space, entry.text)
    assert refused.value.code in (400, 404, 422), refused.value


@pytest.mark.parametrize("field", ["include", "exclude"])
@pytest.mark.parametrize("path", ["/a", "../a"])
def test_a_pattern_that_leaves_the_volume_is_refused_in_words_too(space: Space, field: str, path: str) -> None:
    """A regular expression alone is repeated by the API server as it is, which helps nobody."""
    with pytest.raises(ApiError, match=r"must be a relative path without '\.\.'"):
        space.cache(models=[{"name": "a", "repo": "owner/a", "path": "a", field: [path]}])


MISTAKES = {
    "an absolute path": (one(path="/etc"), "must be a relative path without '..'"),
    "a path that climbs": (one(path="a/../b"), "must be a relative path without '..'"),
    "a path with a slash at the end": (one(path="a/"), "must be in its shortest form"),
    "a path that begins with a dot": (one(path="./a"), "must be in its shortest form"),
    "a path with a backslash": (one(path=r"'a\b'"), "must not hold backslashes"),
    "a link to an absolute path": (one(links="[{file: a, at: /x}]"), "must be a relative path without '..'"),
    "a path of ours": (one(path=".modelcache/x"), "reserved for the cache's own files"),
    "a repository as a URL": (one(repo="https://huggingface.co/a/b"), "use the repository's name on the hub"),
    "a name in capitals": (one(name="Base"), "use lower-case letters"),
    "a revision with a space": (one(revision="ma in"), "use a branch, a tag, a commit or 'refs/pr/N'"),
    "a size without a number": (volume("create: {size: lots}"), "use a Kubernetes quantity such as '110Gi'"),
    "a pull policy that there is not": (job("imagePullPolicy: Sometimes"), "use one of Always, IfNotPresent, Never"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_common_mistake_is_answered_with_one_sentence_and_no_expression(space: Space, name: str) -> None:
    text, words = MISTAKES[name]
    with pytest.raises(ApiError) as refused:
        _send(space, text)
    assert words in str(refused.value)
    assert str(refused.value).count("Invalid value") == 1


def test_no_field_allows_null_by_a_value_of_its_enum() -> None:
    """``kubectl explain`` prints such a null as ``<no value>``."""
    assert [
        path for path, each in _fields(crd.root()["properties"]["spec"], "spec") if None in each.get("enum", ())
    ] == []


def _fields(schema: Json, path: str) -> Iterable[tuple[str, Json]]:
    yield path, schema
    for key, inner in schema.get("properties", {}).items():
        yield from _fields(inner, f"{path}.{key}")
    if "items" in schema:
        yield from _fields(schema["items"], f"{path}[]")


def test_every_field_has_a_description() -> None:
    parts = crd.root()["properties"]
    described = [*_fields(parts["spec"], "spec"), *_fields(parts["status"], "status")]
    assert [path for path, each in described if len(each.get("description", "")) < 8] == []


def test_server_side_apply_merges_models_by_name(space: Space) -> None:
    if space.cluster.local:
        pytest.skip("the in-memory API does not know server-side apply")

    def apply(manager: str, name: str) -> Json:
        body = {
            "apiVersion": "modelcache.dev/v1alpha1",
            "kind": "ModelCache",
            "metadata": {"name": "shared"},
            "spec": {"models": [{"name": name, "repo": "owner/model", "path": name}]},
        }
        path = space.client.path("modelcaches", space.namespace, "shared")
        query = {"fieldManager": manager, "force": "true"}
        return space.client.call("PATCH", path, body, "application/apply-patch+yaml", query)

    apply("one", "a")
    assert [model["name"] for model in apply("two", "b")["spec"]["models"]] == ["a", "b"]
