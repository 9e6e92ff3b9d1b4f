"""The digest of a model is what GNU sha256sum and sort make of its files, whatever names they have."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from init_sync.core.digest import digest_of, sums_text
from init_sync.core.volumepath import path_problem

SCRIPT = 'cd "$0" && sha256sum -- "$@" | LC_ALL=C sort -k2'
ESCAPED_BY_GNU = "\\\n\r"
CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\") | st.sampled_from(" \t_-*#.aé模")
NAMES = st.text(CHARACTERS, min_size=1, max_size=12)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join).filter(lambda path: path_problem(path) is None)
GIVEN = PATHS.filter(lambda path: path != "-")
"""sha256sum takes that name for its standard input."""
FILES = st.dictionaries(GIVEN, st.binary(max_size=40), min_size=1, max_size=8)


def checksums(files: Mapping[str, bytes]) -> dict[str, str]:
    return {path: hashlib.sha256(content).hexdigest() for path, content in files.items()}


def with_gnu(files: Mapping[str, bytes], locale: str = "C.UTF-8") -> bytes:
    """What the documented command prints for these files."""
    with tempfile.TemporaryDirectory() as root:
        for path, content in files.items():
            place = Path(root, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        command = ["sh", "-c", SCRIPT, root, *files]
        return subprocess.run(command, capture_output=True, check=True, env={**os.environ, "LANG": locale}).stdout


@pytest.mark.parametrize(
    "names",
    [
        ("config.json", "a.safetensors"),
        ("b", "B", "a", "Z", "_", "é", "模型", "\U0001f600", "\uff21"),
        ("a", "a b", "a  b", "a.b", "a-b", "ab", "d/b"),
        (" leading", "  two", "x", "trailing ", "~"),
        ("*star", "#hash", "-dash", "--", "(x)", "'quote'", '"double"', "$HOME", "%s"),
        ("diffusion-00002-of-00010.bin", "diffusion-00010-of-00010.bin", "diffusion-00001-of-00010.bin"),
        ("a\u202eb", "a\u200bb", "n\u0303", "ñ"),
    ],
    ids=["two", "alphabets", "blanks", "edges", "signs", "shards", "marks"],
)
def test_it_is_what_sha256sum_and_sort_print(names: tuple[str, ...]) -> None:
    files = {name: name.encode() for name in names}
    text = with_gnu(files)
    assert sums_text(checksums(files)).encode() == text
    assert digest_of(checksums(files)) == f"sha256:{hashlib.sha256(text).hexdigest()}"


@settings(max_examples=60)
@given(FILES)
def test_any_names_that_a_volume_may_have_give_the_same_text(files: dict[str, bytes]) -> None:
    directories = {str(parent) for path in files for parent in Path(path).parents}
    assume(not directories & set(files))
    assert sums_text(checksums(files)).encode() == with_gnu(files)


@given(FILES)
def test_the_order_of_the_files_does_not_matter(files: dict[str, bytes]) -> None:
    found = checksums(files)
    assert digest_of(found) == digest_of(dict(reversed(found.items())))


@given(FILES, PATHS, st.binary(max_size=40))
def test_another_file_another_name_or_another_content_gives_another_digest(
    files: dict[str, bytes], path: str, content: bytes
) -> None:
    changed = {**files, path: content}
    assert (digest_of(checksums(changed)) == digest_of(checksums(files))) == (changed == files)


@pytest.mark.parametrize("character", ESCAPED_BY_GNU, ids=repr)
def test_gnu_escapes_names_that_no_file_on_a_volume_may_have(character: str) -> None:
    """So no line of ours needs the backslash that GNU puts in front of such a line."""
    assert path_problem(f"a{character}b")


@given(PATHS)
def test_gnu_escapes_no_name_that_a_volume_may_have(path: str) -> None:
    assert not set(ESCAPED_BY_GNU) & set(path)


def test_gnu_escapes_no_other_characters(tmp_path: Path) -> None:
    """Of all that a name may hold up to U+2100; newer versions escape carriage returns too, which ours need not."""
    names = [f"a{chr(code)}b" for code in range(1, 0x2100) if chr(code) != "/"]
    for name in names:
        (tmp_path / name).touch()
    printed = subprocess.run(["sha256sum", "--", *names], cwd=tmp_path, capture_output=True, check=True).stdout
    marked = {name for name, line in zip(names, printed.decode().split("\n"), strict=False) if line.startswith("\\")}
    assert {"a\\b", "a\nb"} <= marked <= {f"a{character}b" for character in ESCAPED_BY_GNU}


def test_a_model_without_files_of_its_own_has_the_digest_of_nothing() -> None:
    assert sums_text({}) == ""
    assert digest_of({}) == f"sha256:{hashlib.sha256(b'').hexdigest()}"
