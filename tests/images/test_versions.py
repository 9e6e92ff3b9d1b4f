"""One version for everything that is released together, in the file VERSION."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from build_images import IMAGES
from images.dockerfiles import FOLDERS, ROOT

VERSION = (ROOT / "VERSION").read_text().strip()
NAMES = {folder: f"modelcache-{folder.replace('_', '-')}" for folder in FOLDERS}


def test_all_distributions_have_the_version_of_the_file() -> None:
    assert {importlib.metadata.version(name) for name in NAMES.values()} == {VERSION}


@pytest.mark.parametrize("folder", ["operator", "inference"])
def test_what_builds_on_init_sync_wants_it_at_its_own_version(folder: str) -> None:
    requires = importlib.metadata.requires(NAMES[folder])
    assert requires is not None
    assert f"modelcache-init-sync=={VERSION}" in requires


def test_the_chart_has_it_as_its_own_and_as_the_tag_of_images() -> None:
    chart = yaml.safe_load((ROOT / "charts/modelcache/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)


def test_the_chart_asks_for_the_images_that_are_made() -> None:
    values = yaml.safe_load((ROOT / "charts/modelcache/values.yaml").read_text())
    asked = {values[part]["image"]["repository"] for part in ("sync", "operator", "inference")}
    assert asked == {f"modelcache/{image.name}" for image in IMAGES}
    assert {values[part]["image"]["tag"] for part in ("sync", "operator", "inference")} == {""}


def test_documents_and_examples_name_images_and_tags_of_it() -> None:
    files = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.yaml"), ROOT / "README.md"]
    named = re.compile(
        r"(?:modelcache/(?:init-sync|operator|inference):|modelcache-|tag: v|targetRevision: v|TAG=)(\d+\.\d+\.\d+)"
    )
    found = {(path.name, version) for path in files for version in named.findall(path.read_text())}
    assert len(found) > 5
    assert {version for _, version in found} == {VERSION}, found


def test_all_three_programs_tell_it() -> None:
    for program in ("init-sync", "modelcache-operator", "multitalk-server"):
        told = subprocess.run(
            [Path(sys.executable).parent / program, "--version"], capture_output=True, text=True, timeout=50, check=True
        )
        assert told.stdout == f"{program} {VERSION}\n"


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_source_distribution_makes_the_same_wheel_without_the_tree(folder: str, tmp_path: Path) -> None:
    archive = tmp_path / build("sdist", ROOT / folder, tmp_path)
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    wheel = build("wheel", tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path)
    assert wheel.startswith(f"{NAMES[folder].replace('-', '_')}-{VERSION}-")


def build(what: str, source: Path, out: Path) -> str:
    """hatchling as a build frontend calls it: in the folder of the project."""
    code = f"import hatchling.build, sys; print(hatchling.build.build_{what}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(out)], cwd=source, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-1]
