"""What can be said about the images without building one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from build_images import base_image
from images.dockerfiles import FOLDERS, ROOT, TORCH_VARIANTS, final_stage, instructions, values
from modelcache_operator.core.jobs import USER_ID

each_image = pytest.mark.parametrize("folder", FOLDERS)


each_dockerfile = pytest.mark.parametrize("folder", [*FOLDERS, "tests/e2e"])


@each_dockerfile
def test_hadolint_has_nothing_to_say(folder: str) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, f"{folder}/Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr


@each_image
def test_the_user_is_a_number_that_a_cluster_can_see_is_not_root(folder: str) -> None:
    assert values(final_stage(folder), "USER") == [f"{USER_ID}:{USER_ID}"], "as in sync Jobs: files belong to one user"


@each_dockerfile
def test_every_package_is_a_wheel_with_a_locked_hash(folder: str) -> None:
    installs = [
        " ".join(command.split())
        for line in values(instructions(folder), "RUN")
        for command in line.split("&&")
        if re.search(r"\bpip\b.*\binstall\b", command)
    ]
    locked = [
        command for command in installs if re.search(r"--require-hashes .*--requirement \S*requirements/", command)
    ]
    ours = [command for command in installs if "--no-index --no-deps wheels/" in command]
    assert len(ours) == (folder in FOLDERS)
    assert sorted(ours + locked) == sorted(installs)
    assert [command for command in locked if "--only-binary :all:" not in command] == []


@each_image
def test_an_image_holds_what_its_own_lock_names(folder: str) -> None:
    commands = " ".join(values(instructions(folder), "RUN"))
    assert set(re.findall(r"--requirement \"?requirements/(\S+?)\.txt", commands)) == {
        "build",
        folder,
        *(["torch-${TORCH_VARIANT}"] if folder == "inference" else []),
    }


@each_image
def test_the_last_stage_has_no_pip(folder: str) -> None:
    commands = " ".join(values(final_stage(folder), "RUN"))
    assert "pip install" not in commands
    assert "rm -rf /usr/local/lib/python3*/site-packages/*" in commands


@each_image
def test_no_debian_package_is_added_unless_it_is_asked_for(folder: str) -> None:
    packages = re.findall(r"apt-get install\b[^&]*", " ".join(values(instructions(folder), "RUN")))
    assert [package.split()[-1] for package in packages] == ["$EXTRA_PACKAGES"] * (folder == "inference")


@each_image
def test_it_starts_the_command_of_its_distribution(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    (command,) = project["project"]["scripts"]
    (entrypoint,) = values(final_stage(folder), "ENTRYPOINT")
    assert json.loads(entrypoint) == [command]


@each_dockerfile
def test_what_is_copied_exists_and_is_let_into_the_build_context(folder: str) -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [
        source.replace("${TORCH_VARIANT}", variant)
        for line in values(instructions(folder), "COPY")
        if "--from" not in line
        for source in line.split()[:-1]
        for variant in TORCH_VARIANTS
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        above = {source, *map(str, Path(source).parents), re.sub(r"[^/]+\.txt$", "*.txt", source)}
        assert above & let_in, source


@each_dockerfile
def test_every_stage_starts_from_the_one_base_by_digest(folder: str) -> None:
    (base,) = [rest for rest in values(instructions(folder), "ARG") if rest.startswith("BASE=")]
    assert base == f"BASE={base_image()}"
    stages = [rest.split()[0] for rest in values(instructions(folder), "FROM")]
    assert stages == ["${BASE}", "${BASE}" if folder in FOLDERS else "${INFERENCE}"]


def test_the_base_is_a_digest_of_the_python_that_the_locks_are_for() -> None:
    (python,) = re.findall(r"--python-version (\S+)", (ROOT / "Makefile").read_text())
    assert re.fullmatch(rf"docker\.io/library/python:{python}\.\d+-slim-\w+@sha256:[0-9a-f]{{64}}", base_image())


@each_image
def test_an_image_names_its_base(folder: str) -> None:
    assert 'org.opencontainers.image.base.name="${BASE}"' in " ".join(values(final_stage(folder), "LABEL"))
    assert "BASE" in values(final_stage(folder), "ARG"), "an ARG before the first FROM is empty in a stage"
