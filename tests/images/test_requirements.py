"""The locks that the images are made of: enough for each, the same everywhere, and nothing for development."""

from __future__ import annotations

import importlib.metadata
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from images.dockerfiles import FOLDERS, ROOT

PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)
FOR_DEVELOPMENT = {"pytest", "hypothesis", "ruff", "mypy", "uv", "openai", "httpx", "jsonschema", "hatchling"}


def pins(name: str) -> dict[str, set[str]]:
    """Versions of each package; two where they differ by Python."""
    found: dict[str, set[str]] = {}
    for package, version in PIN.findall((ROOT / "requirements" / f"{name}.txt").read_text()):
        found.setdefault(canonicalize_name(package), set()).add(version)
    return found


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_lock_satisfies_what_its_distribution_asks_for(folder: str) -> None:
    locked = pins(folder)
    for text in importlib.metadata.requires(f"modelcache-{folder.replace('_', '-')}") or []:
        wanted = Requirement(text)
        if wanted.name in ("modelcache-init-sync", "torch"):
            continue  # ours, and the one that is installed by itself
        versions = locked[canonicalize_name(wanted.name)]
        assert all(wanted.specifier.contains(version) for version in versions), text


@pytest.mark.parametrize("folder", ["operator", "inference"])
def test_what_builds_on_init_sync_has_all_that_it_needs(folder: str) -> None:
    assert pins("init_sync").items() <= pins(folder).items()


@pytest.mark.parametrize("name", [*FOLDERS, "build"])
def test_images_hold_the_versions_that_were_tested(name: str) -> None:
    tested = pins("dev")
    assert {
        package: versions for package, versions in pins(name).items() if tested.get(package, versions) != versions
    } == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_tool_of_development_gets_into_an_image(folder: str) -> None:
    assert pins(folder).keys() & FOR_DEVELOPMENT == set()


@pytest.mark.parametrize("name", [*FOLDERS, "build", "dev", "models"])
def test_every_pin_has_a_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9_.-]+==)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
