"""Workflows, hooks and attributes name commands and files that exist, and the same ones everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import generate
from images.dockerfiles import FOLDERS, ROOT, TORCH_VARIANTS, values
from images.dockerfiles import instructions as dockerfile

Json = dict[str, Any]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", MAKEFILE, re.MULTILINE))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
DEPENDABOT = ROOT / ".github/dependabot.yml"
FORMS = sorted(path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
SETUP = {"sudo apt-get update && sudo apt-get install --yes --no-install-recommends prometheus"}

each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def jobs(path: Path) -> Json:
    found: Json = yaml.safe_load(path.read_text())["jobs"]
    return found


def steps(path: Path) -> Iterator[Json]:
    for job in jobs(path).values():
        yield from job.get("steps", ())


def lint_commands() -> list[str]:
    recipe = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0].splitlines()[1:]
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe]


@each_workflow
def test_a_workflow_runs_make_targets_that_exist_and_nothing_else(path: Path) -> None:
    commands = {step["run"] for step in steps(path) if "run" in step} - SETUP
    assert commands
    assert {command for command in commands if command.removeprefix("make ") not in TARGETS} == set()


@each_workflow
def test_actions_are_pinned_by_commit_with_the_version_beside_it(path: Path) -> None:
    used = re.findall(r"uses: (.*)", path.read_text())
    assert [line for line in used if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+|\./\S+\.yml", line)] == []


def test_an_action_has_one_commit_everywhere() -> None:
    used = {line for path in WORKFLOWS for line in re.findall(r"uses: (\S+@.*)", path.read_text())}
    assert sorted(line.partition("@")[0] for line in used) == sorted({line.partition("@")[0] for line in used})


@each_workflow
def test_every_job_has_a_time_limit_and_no_more_rights_than_it_names(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    assert document["permissions"] in ({}, {"contents": "read"})
    for job in jobs(path).values():
        assert "timeout-minutes" in job or "uses" in job
        assert set(job.get("permissions", {})) <= {"contents", "packages"}


def test_tests_run_on_every_python_that_the_distributions_allow_since_the_first() -> None:
    (path,) = (path for path in WORKFLOWS if path.stem == "ci")
    tried = jobs(path)["test"]["strategy"]["matrix"]["python"]
    (oldest,) = {
        line
        for folder in FOLDERS
        for line in re.findall(r'requires-python = ">=(.*)"', (ROOT / folder / "pyproject.toml").read_text())
    }
    assert tried[0] == oldest
    assert [int(each.partition(".")[2]) for each in tried] == list(range(11, 11 + len(tried)))


def test_images_are_built_for_the_same_machines_in_both_workflows() -> None:
    built = {path.stem: jobs(path)["images"]["strategy"]["matrix"] for path in WORKFLOWS}
    assert built["ci"] == built["release"]
    archs = [each["arch"] for each in built["ci"]["include"]]
    assert f'ARCHS="{" ".join(archs)}"' in MAKEFILE


def test_hooks_before_a_commit_are_the_commands_of_make_lint() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert [hook["entry"] for hook in hooks] == lint_commands()
    assert [hook["id"] for hook in hooks if hook["pass_filenames"]] == [], "the commands name what they check"


def test_pre_commit_understands_its_hooks() -> None:
    command = [str(Path(sys.executable).parent / "pre-commit"), "validate-config", ".pre-commit-config.yaml"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_generated_files_are_marked_and_written_ones_are_not() -> None:
    made = {path.relative_to(ROOT).as_posix() for path in generate.documents()}
    made |= tracked("requirements/*.txt", "charts/modelcache/dashboards/*.json", "tests/chart/golden")
    everything = sorted(tracked("."))
    told = git("check-attr", "--stdin", "linguist-generated", given="\n".join(everything))
    marked = {line.split(": ")[0] for line in told.splitlines() if line.endswith(": set")}
    assert marked == made


def tracked(*patterns: str) -> set[str]:
    return set(git("ls-files", *patterns).split())


def git(*arguments: str, given: str = "") -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=ROOT, input=given, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_asks_for_the_cache_and_the_version(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert len({field["id"] for field in fields}) == len(fields)
    text = path.read_text()
    assert "kubectl get modelcache NAME --output yaml" in text
    assert any(field["id"] == "versions" for field in fields)


def test_every_lock_has_its_group_and_every_group_its_lock() -> None:
    text = (ROOT / "pyproject.toml").read_text().partition("[dependency-groups]")[2]
    groups = set(re.findall(r"^([a-z_-]+) = \[", text, re.MULTILINE))
    assert groups == {Path(name).stem for name in tracked("requirements/*.txt")}
    assert groups >= {*FOLDERS, *(f"torch-{variant}" for variant in TORCH_VARIANTS)}


def test_dependabot_is_told_of_the_base_image_once_it_can_see_it() -> None:
    """It reads no ARG in FROM; if the Dockerfiles stop using one, it belongs into dependabot.yml."""
    ecosystems = [each["package-ecosystem"] for each in yaml.safe_load(DEPENDABOT.read_text())["updates"]]
    hidden = all("${" in base for folder in FOLDERS for base in values(dockerfile(folder), "FROM"))
    assert ("docker" in ecosystems) != hidden
