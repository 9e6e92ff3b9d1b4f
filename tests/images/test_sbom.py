"""`make sbom`: each bill of materials names what its image is built of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from build_images import base_image
from images.dockerfiles import FOLDERS, ROOT, TORCH_VARIANTS
from sbom import LOCKS, bill, write

ELSEWHERE = re.compile("sys_platform == '(win32|emscripten)'|python_full_version >= '3.12'")

each_bill = pytest.mark.parametrize("locks", LOCKS.values(), ids=LOCKS)


def packages(document: dict[str, Any]) -> dict[tuple[str, str], set[str]]:
    return {
        (component["name"], component["version"]): {entry["content"] for entry in component["hashes"]}
        for component in document["components"]
        if "purl" in component
    }


def locked(name: str) -> dict[tuple[str, str], set[str]]:
    """What the images' Python on Linux gets. Read line by line, unlike the tool does."""
    found: dict[tuple[str, str], set[str]] = {}
    for line in (ROOT / "requirements" / f"{name}.txt").read_text().splitlines():
        if pin := re.match(r"([a-z0-9.-]+)==([^ ]+)", line):
            hashes: set[str] = set()
            if not ELSEWHERE.search(line):
                found[pin[1], pin[2]] = hashes
        elif digest := re.match(r" +--hash=sha256:(\w+)", line):
            hashes.add(digest[1])
    return found


@each_bill
def test_it_names_every_locked_package_of_linux_with_version_and_hashes(locks: tuple[str, ...]) -> None:
    expected = {pin: hashes for lock in locks for pin, hashes in locked(lock).items()}
    assert "colorama" not in {name for name, _ in expected}
    assert packages(bill(locks, base_image(), "1.2.3")) == expected


@each_bill
def test_it_names_the_base_with_its_digest_and_our_own_distributions(locks: tuple[str, ...]) -> None:
    document = bill(locks, base_image(), "1.2.3")
    base, *rest = document["components"]
    assert base_image() == f"{base['name']}:{base['version']}@sha256:{base['hashes'][0]['content']}"
    ours = {component["name"] for component in rest if "purl" not in component}
    assert ours == {"modelcache-init-sync", f"modelcache-{locks[0].replace('_', '-')}"}


def test_another_base_without_a_digest_is_named_as_it_is() -> None:
    base = bill(LOCKS["operator"], "registry.test:5000/python:3.11-slim", "1.2.3")["components"][0]
    assert (base["name"], base["version"], base["hashes"]) == ("registry.test:5000/python", "3.11-slim", [])


def test_there_is_one_for_each_image_and_variant_of_torch() -> None:
    assert {locks[0] for locks in LOCKS.values()} == set(FOLDERS)
    assert {locks[1] for locks in LOCKS.values() if len(locks) > 1} == {f"torch-{name}" for name in TORCH_VARIANTS}


def test_the_same_tree_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = (list(write(tmp_path / name)) and files(tmp_path / name) for name in ("first", "second"))
    assert set(first) == {f"{name}.cdx.json" for name in LOCKS}
    assert first == second


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
