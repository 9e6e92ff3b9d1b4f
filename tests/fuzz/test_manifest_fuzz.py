"""Whatever a manifest holds, it is accepted or refused with a ManifestError: nothing else ever comes out."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from init_sync.app.specfile import read_manifest
from init_sync.core.errors import ManifestError
from init_sync.core.manifest import parse_manifest
from init_sync.core.spec import Manifest
from init_sync.core.volumepath import path_problem
from unit.manifests import FULL

pytestmark = pytest.mark.fuzz

WHOLE: dict[str, Any] = yaml.safe_load(FULL)
KEYS = sorted({"spec", "models", "name", "path", "include", "oneOf", "links", "file", "at", "volume", "job", "kind"})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["..", "/", ".modelcache", "*", "[", "\ud800", "refs/pr/1", "a\nb"])
    | st.dates()
    | st.datetimes()
    | st.binary(max_size=5)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS) | SCALARS.filter(lambda key: key == key), inner, max_size=4)
    ),
    max_leaves=12,
)


def outcome(parse: Callable[[], Manifest]) -> Manifest | ManifestError:
    try:
        return parse()
    except ManifestError as error:
        return error


def assert_readable(error: ManifestError) -> None:
    assert error.problems
    assert len(error.message.splitlines()) == 1
    assert len(error.message) < 4000
    error.message.encode()


def check(text: str) -> Manifest | None:
    """The manifest; None when it was refused, in the way that every refusal has to read."""
    manifest = outcome(lambda: parse_manifest(text, "fuzz.yaml"))
    if isinstance(manifest, ManifestError):
        assert_readable(manifest)
        return None
    for model in manifest.models:
        for path in (model.path, *(link.at for link in model.links), *(each.file for each in model.one_of)):
            assert path_problem(path) is None
        assert all(path_problem(pattern.removesuffix("/")) is None for pattern in model.include or ())
        assert model.requirement_digest()
    return manifest


def as_yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, allow_unicode=True)
    return text


@st.composite
def spoiled(draw: st.DrawFn) -> Any:
    """The full manifest with one value, wherever it lies, replaced, removed or moved to another key."""
    document = copy.deepcopy(WHOLE)
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
            break
        place = inner
    match draw(st.sampled_from(["replace", "remove", "rename", "repeat"])):
        case "replace":
            place[key] = draw(VALUES)
        case "remove":
            del place[key]
        case "rename" if isinstance(place, dict):
            place[draw(SCALARS.filter(lambda each: each == each))] = place.pop(key)
        case _ if isinstance(place, list):
            place.append(inner)
    return document


@given(VALUES)
def test_any_structure_is_accepted_or_refused(value: Any) -> None:
    with suppress(UnicodeEncodeError):
        check(as_yaml(value))


@settings(max_examples=300)
@given(spoiled())
def test_a_good_manifest_with_one_thing_spoiled_is_accepted_or_refused(document: Any) -> None:
    with suppress(UnicodeEncodeError):
        check(as_yaml(document))


@settings(max_examples=200)
@given(spoiled())
def test_json_is_judged_as_the_same_yaml_is(document: Any) -> None:
    try:
        text = json.dumps(document, allow_nan=False)
        same = as_yaml(json.loads(text))
    except (TypeError, ValueError):
        return  # JSON cannot say this
    assert (check(text) is None) == (check(same) is None)


@given(st.text(st.characters(exclude_categories=[]), max_size=60))
@example("? ")
@example("!!timestamp x")
@example("{")
@example("&a [*a]")
def test_any_text_is_accepted_or_refused(text: str) -> None:
    check(text)
    check(f"kind: ModelCache\nspec: {text}")


@st.composite
def cut_or_changed(draw: st.DrawFn) -> bytes:
    """The full manifest with a few bytes changed, inserted or cut away."""
    data = bytearray(FULL.encode())
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 20)))
        data[start:end] = draw(st.binary(max_size=4) | st.sampled_from([b"", b"\n", b": ", b"- ", b"'", b"{", b"\t"]))
    return bytes(data)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | cut_or_changed())
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf")
@example(b"\0")
def test_any_bytes_are_accepted_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "fuzz.yaml"
    path.write_bytes(data)
    found = outcome(lambda: read_manifest(str(path)))
    if isinstance(found, ManifestError):
        assert found.source == str(path)
        assert_readable(found)
