"""What can be said about the images without building one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from images.dockerfiles import FOLDERS, ROOT, final_stage, instructions, values
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


@each_image
def test_every_package_is_checked_against_a_locked_hash(folder: str) -> None:
    installs = [
        " ".join(command.split())
        for line in values(instructions(folder), "RUN")
        for command in line.split("&&")
        if re.search(r"\bpip\b.*\binstall\b", command)
    ]
    ours = [command for command in installs if "--no-index --no-deps wheels/" in command]
    torch = [command for command in installs if '"$TORCH"' in command]  # its wheels differ by accelerator
    hashed = [command for command in installs if "--require-hashes --requirement requirements/" in command]
    assert len(ours) == 1
    assert len(torch) == (folder == "inference")
    assert len(ours) + len(torch) + len(hashed) == len(installs)
    assert any(f"requirements/{folder}.txt" in command for command in hashed)


@each_image
def test_the_last_stage_installs_nothing_and_has_no_pip(folder: str) -> None:
    commands = " ".join(values(final_stage(folder), "RUN"))
    assert "pip install" not in commands
    assert "rm -rf /usr/local/lib/python3*/site-packages/*" in commands
    packages = re.findall(r"apt-get install\b[^&]*", commands)
    assert [package.split()[-1] for package in packages] == ["$EXTRA_PACKAGES"] * (folder == "inference")


@each_image
def test_it_starts_the_command_of_its_distribution_under_tini(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())
    (command,) = project["project"]["scripts"]
    (entrypoint,) = values(final_stage(folder), "ENTRYPOINT")
    assert json.loads(entrypoint) == ["/usr/bin/tini", "--", command]


@each_dockerfile
def test_what_is_copied_exists_and_is_let_into_the_build_context(folder: str) -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    sources = [
        source for line in values(instructions(folder), "COPY") if "--from" not in line for source in line.split()[:-1]
    ]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        above = {source, *map(str, Path(source).parents), re.sub(r"[^/]+\.txt$", "*.txt", source)}
        assert above & let_in, source


def test_all_are_made_of_one_python_the_one_that_the_lock_is_for() -> None:
    versions = {values(instructions(folder), "ARG")[0] for folder in FOLDERS}
    (python,) = re.findall(r"--python-version (\S+)", (ROOT / "Makefile").read_text())
    assert versions == {f"PYTHON={python}"}


def test_the_image_has_the_torch_of_the_development_environment() -> None:
    (torch,) = re.findall(r"^TORCH \?= (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"TORCH={torch}" in values(instructions("inference"), "ARG")
