"""What a release is made of: the changelog's section, the index of images, the packaged chart."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
import yaml

import build_images
import image_index
import package_chart
import release
from images.dockerfiles import ROOT
from support import tools
from support.helm import Helm

VERSION = (ROOT / "VERSION").read_text().strip()
CHANGELOG = """\
# Changelog

## [Unreleased]

## [0.2.0] - 2026-12-01

### Added

- A thing.

## [0.1.0]

The first release.
"""


def test_the_notes_of_a_release_are_its_section_and_end_at_the_next() -> None:
    assert release.section(CHANGELOG, "0.2.0") == ("- 2026-12-01", "### Added\n\n- A thing.")
    assert release.section(CHANGELOG, "0.1.0") == ("", "The first release.")


@pytest.mark.parametrize(
    ("tag", "version", "words"),
    [
        pytest.param("v0.2.0", "0.2.0", [], id="all is well"),
        pytest.param("0.2.0", "0.2.0", ["must be v0.2.0"], id="a tag without v"),
        pytest.param("", "0.2.0", ["the tag is empty"], id="no tag"),
        pytest.param("v0.1.0", "0.1.0", ["has no date"], id="a section without a date"),
        pytest.param("v0.3.0", "0.3.0", ["has no section [0.3.0]"], id="no section"),
        pytest.param("v0.1.0", "0.3.0", ["must be v0.3.0", "has no section"], id="all problems at once"),
        pytest.param("v0x2x0", "0x2x0", ["has no section"], id="a version is no pattern"),
    ],
)
def test_a_release_is_refused_with_every_reason(tag: str, version: str, words: list[str]) -> None:
    found = release.problems(tag, version, CHANGELOG)
    assert len(found) == len(words)
    assert all(word in problem for word, problem in zip(words, found, strict=True))


def test_an_empty_section_is_refused() -> None:
    assert release.problems("v1.0.0", "1.0.0", "## [1.0.0] - 2026-12-01\n\n## [0.2.0]\n\nText") == [
        "the section [1.0.0] of CHANGELOG.md is empty"
    ]


def test_the_changelog_has_a_section_of_this_version() -> None:
    found = release.section((ROOT / "CHANGELOG.md").read_text(), VERSION)
    assert found is not None
    assert found[1]


def test_an_index_joins_the_images_of_all_architectures() -> None:
    first, *rest = image_index.commands("registry.test/team/", "1.2.3", ["amd64", "arm64"])
    assert " ".join(first) == (
        "docker buildx imagetools create --tag registry.test/team/modelcache/init-sync:1.2.3"
        " registry.test/team/modelcache/init-sync:1.2.3-amd64 registry.test/team/modelcache/init-sync:1.2.3-arm64"
    )
    assert len(rest) == 2


@pytest.mark.slow
def test_a_packaged_chart_asks_for_the_images_that_were_pushed_with_it(helm: Helm, tmp_path: Path) -> None:
    program = tools.helm()
    assert program is not None
    package_chart.package(str(program), "registry.test/team", tmp_path)
    (archive,) = tmp_path.iterdir()
    assert archive.name == f"modelcache-{VERSION}.tgz"
    rendered = yaml.safe_load_all(helm.run("template", "release", str(archive)))
    images = {
        container["image"]
        for each in rendered
        if each and each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"registry.test/team/modelcache/{name}:{VERSION}" for name in ("operator", "inference")}
    with tarfile.open(archive) as opened:
        assert "modelcache/charts/crds/crds/modelcaches.yaml" in opened.getnames()


def test_values_without_the_line_to_replace_are_refused() -> None:
    with pytest.raises(ValueError, match="0 times, not once"):
        package_chart.with_registry("imageRegistry: {}\n", "registry.test")


@pytest.mark.parametrize("written", ["GHCR.io/Team", "ghcr.io/team/"])
def test_a_prefix_is_written_as_references_of_images_are(written: str) -> None:
    assert build_images.read_prefix({"IMAGE_PREFIX": written}) == "ghcr.io/team/"
