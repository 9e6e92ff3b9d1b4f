"""`make images` with builders that are shell scripts: what it asks of them, and what it says when they cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from images.dockerfiles import ROOT


@dataclass(frozen=True, slots=True)
class Bench:
    """A PATH with nothing on it but what a test puts there, and the calls that were made."""

    folder: Path

    def program(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> "{self.folder}/calls"\n{script}\n')
        path.chmod(0o755)

    def images(self, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "tools/build_images.py"],
            env={"PATH": f"{self.folder}", **environment},
            capture_output=True,
            text=True,
            timeout=50,
        )

    @property
    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


def sizes(init_sync_mib: int) -> str:
    """Answers as the size of the base, of init-sync and of the others."""
    return f"""case "$*" in
      *du*init-sync*) echo {(200 + init_sync_mib) * 1024} / ;;
      *du*modelcache*) echo {900 * 1024} / ;;
      *du*) echo {200 * 1024} / ;;
    esac"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_it_builds_the_three_from_the_root_with_the_version_as_tag(bench: Bench) -> None:
    bench.program("docker", sizes(40))
    done = bench.images()
    assert done.returncode == 0, done.stderr
    version = (ROOT / "VERSION").read_text().strip()
    builds = [call for call in bench.calls if call.startswith("docker build ")]
    assert [build.split("--tag ")[1].split()[0] for build in builds] == [
        f"modelcache/{name}:{version}" for name in ("init-sync", "operator", "inference")
    ]
    assert all(f"--build-arg VERSION={version} " in build and build.endswith(" .") for build in builds)
    assert "240               40" in done.stdout


def test_names_platform_and_further_options_are_the_callers(bench: Bench) -> None:
    bench.program("docker", sizes(40))
    order = {"IMAGE_PREFIX": "registry.test/team/", "TAG": "x1", "PLATFORM": "linux/arm64", "BUILD_ARGS": "--no-cache"}
    assert bench.images(**order).returncode == 0
    first = bench.calls[1]
    assert "--tag registry.test/team/modelcache/init-sync:x1 " in first
    assert first.endswith("--platform linux/arm64 --no-cache .")


def test_a_docker_without_its_daemon_gives_way_to_the_next_builder(bench: Bench) -> None:
    bench.program("docker", '[ "$1" = --version ]')
    bench.program("podman", sizes(40))
    assert bench.images().returncode == 0
    assert [call for call in bench.calls if "build " in call and not call.startswith("podman")] == []


def test_buildah_has_no_run_of_images_so_a_container_is_made_and_removed(bench: Bench) -> None:
    bench.program("buildah", 'case "$1" in from) echo "of-$3" ;; run) set -- "$6 $4" ;; esac\n' + sizes(40))
    done = bench.images()
    assert done.returncode == 0, done.stderr
    made = [call.split()[-1] for call in bench.calls if call.startswith("buildah from")]
    assert [call for call in bench.calls if call.startswith("buildah rm")] == [f"buildah rm of-{name}" for name in made]


def test_without_a_builder_it_says_what_to_install(bench: Bench) -> None:
    done = bench.images()
    assert done.returncode == 1
    assert done.stderr == (
        "images: error: no working docker, podman or buildah was found; install one, or name it in BUILDER\n"
    )


def test_a_failed_build_ends_it(bench: Bench) -> None:
    bench.program("docker", '[ "$1" != build ]')
    done = bench.images()
    assert done.returncode == 1
    assert "building modelcache/init-sync" in done.stderr
    assert len([call for call in bench.calls if call.startswith("docker build")]) == 1


def test_an_init_sync_that_has_grown_too_big_is_refused(bench: Bench) -> None:
    bench.program("docker", sizes(121))
    done = bench.images()
    assert done.returncode == 1
    assert done.stderr == "images: error: init-sync adds 121 MiB to its base; 120 MiB are its limit\n"


def test_the_builders_global_options_are_kept(bench: Bench) -> None:
    bench.program("docker", sizes(40))
    assert bench.images(BUILDER="docker --context far", PATH=f"{bench.folder}:{os.environ['PATH']}").returncode == 0
    assert all(call.startswith("docker --context far ") for call in bench.calls)
