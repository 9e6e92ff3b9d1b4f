"""What the documents tell people to type exists: targets, programs, flags, values, fields, files, metrics."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import yaml

import crd
from inference.server import config
from init_sync.app.arguments import command_parser
from init_sync.core.manifest import parse_manifest
from modelcache_operator.app import settings

from .pages import ROOT, Page, pages

FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
CALL = re.compile(r"(?:^|[|;&(] ?)((?:[A-Z_]+=\S+ )*)((?:\S*/)?[a-z][\w.-]*)( [^|;&)]*)?")
CHART_KEYS = ("operator", "sync", "cache", "inference", "monitoring", "networkPolicy", "crds", "rbac", "global")
OF_HELM = frozenset({"--skip-crds", "--timeout", "--wait", "--set", "--reuse-values", "--reset-then-reuse-values"})
KUBECTL_GROUPS = {"rollout": 2, "create": 3, "auth": 2}
"""Commands whose flags are those of the words behind them: how many words make one."""
NAMED_FILE = re.compile(
    r"(init_sync|operator|inference|charts|docs|examples|tests|requirements|tools)/[\w./-]*|[\w-]+(/[\w.-]+)+\.(py|yaml|md|txt)"
)
METRICS = (
    "init_sync/src/init_sync/app/metrics.py",
    "init_sync/src/init_sync/serve/metrics.py",
    "operator/src/modelcache_operator/app/metrics.py",
    "operator/src/modelcache_operator/app/counters.py",
    "operator/src/modelcache_operator/app/listing.py",
    "operator/src/modelcache_operator/app/process.py",
    "inference/src/inference/server/metrics.py",
    "inference/src/inference/server/service.py",
)


PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "init-sync": command_parser,
    "modelcache-operator": settings.make_parser,
    "multitalk-server": config.make_parser,
}


def calls(page: Page) -> Iterator[tuple[str, str]]:
    """Each program that a page calls, and its arguments."""
    for command in page.commands():
        for _, program, rest in CALL.findall(command.replace("$(", "(")):
            yield program.removeprefix(".venv/bin/"), rest.strip()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
class TestEveryPage:
    def test_make_has_the_targets_that_are_named(self, page: Page) -> None:
        named = {
            word
            for text in (*page.spans, *page.commands())
            for words in re.findall(r"(?:^|[;&] ?)make ([^;&]*)", text)
            for word in words.split()
            if "=" not in word
        }
        targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        assert named <= targets

    def test_commands_of_ours_are_understood(self, page: Page) -> None:
        for program, rest in calls(page):
            if program not in PARSERS:
                continue
            if "[" in rest:  # a synopsis
                assert set(FLAG.findall(rest)) <= flags(program), rest
            else:
                _parse(program, rest)

    def test_flags_in_running_text_are_those_of_our_programs(self, page: Page) -> None:
        ours = OF_HELM.union(*(flags(program) for program in PARSERS))
        for span in page.spans:
            first = span.split(maxsplit=1)[0]
            known = flags(first) if first in PARSERS else ours
            if first in PARSERS or span.startswith("--"):
                assert set(FLAG.findall(span)) <= known, span

    def test_kubectl_knows_the_flags(self, page: Page) -> None:
        if not shutil.which("kubectl"):
            pytest.skip("kubectl is not on the PATH")
        for text in (*page.spans, *page.commands()):
            for words in re.findall(r"\bkubectl ([^|;&)]+)", text):
                for flag in FLAG.findall(words):
                    assert flag in _kubectl_help(_verb(words)), f"kubectl {words}"

    def test_modules_and_files_that_are_named_exist(self, page: Page) -> None:
        for text in (*page.spans, *page.commands()):
            for module in re.findall(r"python -m ([\w.]+)", text):
                assert importlib.util.find_spec(module), text
            for word in text.split():
                if NAMED_FILE.fullmatch(word):
                    assert (ROOT / word).exists() or any(f"/{each}".endswith(f"/{word}") for each in files()), word

    def test_fields_and_values_that_are_named_exist(self, page: Page) -> None:
        schema = crd.root()
        for span in page.spans:
            if re.fullmatch(r"(spec|status|metadata)(\.\w+(\[\])?)+", span):
                assert _in_schema(schema, span), span
            elif re.fullmatch(rf"({'|'.join(CHART_KEYS)})(\.[a-z]\w+)+", span) and not span.endswith((".md", ".py")):
                assert _in_values(span) or _in_schema(schema, f"spec.{span}"), span

    def test_values_that_helm_is_given_exist(self, page: Page) -> None:
        for command in page.commands():
            for pairs in re.findall(r"--set[= ](\S+)", command):
                for pair in pairs.split(","):
                    path, _, value = pair.partition("=")
                    assert _in_values(path), path
                    assert value, command

    def test_blocks_of_yaml_can_be_read_and_manifests_are_valid(self, page: Page) -> None:
        for block in page.blocks:
            if block.language == "yaml":
                documents = list(yaml.safe_load_all(block.text))
                if any(isinstance(each, dict) and each.get("kind") == "ModelCache" for each in documents):
                    parse_manifest(block.text, page.name)

    def test_metrics_that_are_named_are_exported(self, page: Page) -> None:
        source = "\n".join((ROOT / path).read_text() for path in METRICS if (ROOT / path).exists())
        for span in page.spans:
            if re.fullmatch(r"(modelcache|multitalk)_[a-z_]+", span) and not importlib.util.find_spec(span):
                stem = re.sub(r"_(total|bucket|sum|count)$", "", span)
                assert stem in source or stem.removeprefix("modelcache_") in source, span


@cache
def flags(program: str) -> frozenset[str]:
    return frozenset(_flags(PARSERS[program]()))


def _flags(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _flags(inner)


def _parse(program: str, arguments: str) -> None:
    """argparse says on stderr what it does not like, and exits; ``--help`` exits too, with 0."""
    try:
        PARSERS[program]().parse_args(shlex.split(arguments))
    except SystemExit as end:
        if end.code:
            pytest.fail(f"{program} {arguments}")


def _verb(arguments: str) -> tuple[str, ...]:
    """The words that name a command of kubectl."""
    words = [
        word for word in re.sub(r"(-n|--namespace) \S+", "", arguments).split() if re.fullmatch(r"[a-z][a-z-]*", word)
    ]
    return tuple(words[: KUBECTL_GROUPS.get(words[0], 1)])


@cache
def _kubectl_help(verb: tuple[str, ...]) -> str:
    """What this command and every command knows."""
    return _run("kubectl", *verb, "--help") + _run("kubectl", "options")


def _run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


@cache
def files() -> tuple[str, ...]:
    """Of the repository; what is found below hidden folders is not."""
    found = (path.relative_to(ROOT) for folder in ROOT.iterdir() if folder.name[0] != "." for path in folder.rglob("*"))
    return tuple(path.as_posix() for path in found)


@cache
def _values() -> Any:
    return yaml.safe_load((ROOT / "charts" / "modelcache" / "values.yaml").read_text())


def _in_values(path: str) -> bool:
    found = _values()
    for part in path.split("."):
        if not isinstance(found, dict) or (part not in found and found):
            return False
        found = found.get(part, {})
    return True


def _in_schema(schema: Any, path: str) -> bool:
    for part in path.split("."):
        schema = schema.get("items", schema).get("properties", {}).get(part.removesuffix("[]"))
        if schema is None:
            return False
        if schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema:
            return True
    return True
