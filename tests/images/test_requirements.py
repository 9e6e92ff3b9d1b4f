"""The locks that the images are made of: enough for each, the same everywhere, and nothing for development."""

from __future__ import annotations

import importlib.metadata
import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from images.dockerfiles import FOLDERS, ROOT, TORCH_VARIANTS

PIN = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)", re.MULTILINE)
TORCH_LOCKS = [f"torch-{variant}" for variant in TORCH_VARIANTS]
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
            continue  # ours, and the one that has locks of its own
        versions = locked[canonicalize_name(wanted.name)]
        assert all(wanted.specifier.contains(version) for version in versions), text


@pytest.mark.parametrize("folder", ["operator", "inference"])
def test_what_builds_on_init_sync_has_all_that_it_needs(folder: str) -> None:
    assert pins("init_sync").items() <= pins(folder).items()


@pytest.mark.parametrize("name", [*FOLDERS, *TORCH_LOCKS, "build"])
def test_images_hold_the_versions_that_were_tested(name: str) -> None:
    tested = pins("dev")
    assert {
        package: versions for package, versions in pins(name).items() if tested.get(package, versions) != versions
    } == {}


@pytest.mark.parametrize("name", TORCH_LOCKS)
def test_torch_is_that_of_the_development_environment(name: str) -> None:
    (torch,) = re.findall(r"^TORCH \?= torch==(\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {version.partition("+")[0] for version in pins(name)["torch"]} == {torch}


@pytest.mark.parametrize("name", TORCH_LOCKS)
def test_torch_and_the_rest_of_inference_agree_on_what_both_need(name: str) -> None:
    torch, rest = pins(name), pins("inference")
    shared = torch.keys() & rest.keys()
    assert "filelock" in shared
    assert {package: torch[package] for package in shared} == {package: rest[package] for package in shared}


def test_torch_for_the_cpu_brings_nothing_of_cuda() -> None:
    assert [package for package in pins("torch-cpu") if re.match("nvidia|cuda|triton", package)] == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_tool_of_development_gets_into_an_image(folder: str) -> None:
    assert pins(folder).keys() & FOR_DEVELOPMENT == set()


@pytest.mark.parametrize("name", [*FOLDERS, *TORCH_LOCKS, "build", "dev", "models", "pictures"])
def test_every_pin_has_a_hash(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    entries = re.split(r"^(?=[A-Za-z0-9_.-]+==)", text, flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text, "where packages come from is a setting of the machine, not of the lock"
