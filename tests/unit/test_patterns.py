"""Patterns mean what they mean to ``huggingface_hub``."""

from __future__ import annotations

import pytest
from huggingface_hub.utils._paths import filter_repo_objects
from hypothesis import assume, given
from hypothesis import strategies as st

from init_sync.core.patterns import matches, nearest, select

ALPHABET = "abAB.-_[]!*?/é"
PATHS = st.lists(st.text(ALPHABET.replace("*", "").replace("?", ""), min_size=1, max_size=8), max_size=8)
PATTERNS = st.lists(st.text(ALPHABET, min_size=1, max_size=6), max_size=4)


@given(paths=PATHS, include=st.none() | PATTERNS, exclude=PATTERNS)
def test_the_files_selected_are_those_that_huggingface_hub_selects(
    paths: list[str], include: list[str] | None, exclude: list[str]
) -> None:
    literal = set(paths) & {*(include or ()), *exclude}
    assume(not any(set(name) & set("[") for name in literal))  # the one difference: a name with brackets is itself
    theirs = list(filter_repo_objects(paths, allow_patterns=include, ignore_patterns=exclude))
    assert select(paths, None if include is None else tuple(include), tuple(exclude)) == theirs


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("a.json", "*.json"),
        ("deep/down/a.json", "*.json"),
        ("model-00001-of-00007.safetensors", "model-*-of-00007.safetensors"),
        ("google/umt5-xxl/spiece.model", "google/"),
        ("google/umt5-xxl/spiece.model", "google/*"),
        ("a/b", "?/b"),
        ("b1", "[ab][0-9]"),
        ("a", "[!b]"),
    ],
)
def test_a_pattern_matches(path: str, pattern: str) -> None:
    assert matches(path, pattern)


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("A.JSON", "*.json"),
        ("a.json5", "*.json"),
        ("google", "google/"),
        ("googles/a", "google/"),
        ("other/google/a", "google/"),
        ("ab", "?"),
    ],
)
def test_a_pattern_does_not_match(path: str, pattern: str) -> None:
    assert not matches(path, pattern)


@given(st.text(ALPHABET, min_size=1, max_size=8), st.text(ALPHABET, min_size=1, max_size=8))
def test_a_pattern_without_special_characters_matches_itself_and_nothing_else(pattern: str, path: str) -> None:
    if not set(pattern) & set("*?[") and not pattern.endswith("/"):
        assert matches(path, pattern) == (path == pattern)


@given(st.text(min_size=1, max_size=12))
def test_the_name_of_a_file_is_a_pattern_that_takes_it(name: str) -> None:
    assert matches(name, name)


@pytest.mark.parametrize(
    ("path", "pattern", "taken"),
    [
        ("lora [v2].safetensors", "lora [v2].safetensors", True),
        ("lora v.safetensors", "lora [v2].safetensors", True),
        ("lora [v2].safetensors", "lora [[]v2].safetensors", True),
        ("lora v.safetensors", "lora [[]v2].safetensors", False),
    ],
)
def test_brackets_in_names_can_be_written_as_they_are_or_escaped(path: str, pattern: str, taken: bool) -> None:
    assert matches(path, pattern) == taken


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("*.safetensor", ["model.safetensors"]),
        ("*q4_k_m*.gguf", ["model-Q4_K_M.gguf"]),
        ("modle.safetensors", ["model.safetensors"]),
        ("zzz", []),
    ],
)
def test_the_nearest_names_are_those_that_a_typing_error_meant(pattern: str, meant: list[str]) -> None:
    assert nearest(["config.json", "model.safetensors", "model-Q4_K_M.gguf"], pattern)[:1] == meant


def test_exclude_wins_over_include_and_order_is_kept() -> None:
    assert select(["b.bin", "a.json", "c.json"], ("*.json", "*.bin"), ("c*",)) == ["b.bin", "a.json"]
