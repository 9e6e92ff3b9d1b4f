"""Running the real ``init-sync`` as a process, and manifests to run it with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.forking import ForkServer
from support.hub import LocalHub
from support.surroundings import neutral

COMMANDS = ForkServer(
    *("init_sync.app.cli", "init_sync.app.sync_command", "init_sync.sync.execute", "init_sync.volume.offline_check"),
    *(
        "init_sync.app.verify",
        "init_sync.app.plan_command",
        "init_sync.app.prune_command",
        "init_sync.app.scrub_command",
        "init_sync.app.progress_display",
        "init_sync.app.table",
    ),
    *("init_sync.app.report_file", "init_sync.app.metrics"),
    # What huggingface_hub needs, but not itself: it reads its environment when it is imported.
    *("configparser", "contextvars", "decimal", "encodings.idna", "filelock", "shlex", "uuid", "yaml"),
)
INTERPRETERS_OWN = re.compile("PYTHON|LD_|LC_|LANG")
"""Variables that only a real start of the interpreter takes note of."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a finished command left."""

    returncode: int
    stdout: str
    stderr: str
    report: dict[str, Any]
    """What ``--report`` wrote; empty when nothing was."""

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    def reasons(self) -> dict[str, str | None]:
        return {model["name"]: model["reason"] for model in self.report["models"]}


def model(name: str, repo: str, **fields: Any) -> dict[str, Any]:
    """An entry of ``spec.models``; its directory is its name unless said otherwise."""
    return {"name": name, "repo": repo, "path": name, **fields}


def manifest(*models: Mapping[str, Any], name: str = "cache", **spec: Any) -> dict[str, Any]:
    """A ModelCache manifest."""
    return {
        "apiVersion": "modelcache.dev/v1alpha1",
        "kind": "ModelCache",
        "metadata": {"name": name},
        "spec": {"models": [dict(each) for each in models], **spec},
    }


def environment(hub: LocalHub | None, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: this one's, less what would steer it elsewhere."""
    result = neutral(os.environ)
    # A port that nobody listens on: a test that forgets its hub must not reach a real one.
    result["HF_ENDPOINT"] = hub.endpoint if hub else "http://127.0.0.1:9"
    result["PYTHONUNBUFFERED"] = "1"
    result.update(extra or {})
    return result


def command(verb: str, spec: Mapping[str, Any] | Path, volume: Path, *arguments: str) -> list[str]:
    """The command line; a manifest given as a mapping is written beside the volume."""
    if not isinstance(spec, Path):
        path = volume.parent / f"{volume.name}.{spec['metadata']['name']}.json"
        path.write_text(json.dumps(spec))
        spec = path
    return [sys.executable, "-m", "init_sync", verb, "--spec", str(spec), "--volume", str(volume), *arguments]


def start_sync(
    spec: Mapping[str, Any] | Path,
    volume: Path,
    hub: LocalHub | None = None,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    **popen: Any,
) -> subprocess.Popen[str]:
    """A sync as a running process; stdout and stderr are pipes unless said otherwise."""
    popen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **popen}
    return subprocess.Popen(command("sync", spec, volume, *arguments), env=environment(hub, env), **popen)


def run_sync(
    spec: Mapping[str, Any] | Path,
    volume: Path,
    hub: LocalHub | None = None,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    timeout: float = 60,
    **popen: Any,
) -> Result:
    """A sync, run to its end."""
    report = volume.parent / f"{volume.name}.{time.monotonic_ns()}.report.json"
    line = command("sync", spec, volume, "--report", str(report), *arguments)
    done = _run(line, hub, env, timeout, **popen)
    return Result(done.returncode, done.stdout, done.stderr, json.loads(report.read_text()) if report.exists() else {})


def run_command(
    verb: str, spec: Mapping[str, Any] | Path, volume: Path, *arguments: str, env: Mapping[str, str] | None = None
) -> Result:
    """``verify`` or ``status``, without a hub."""
    done = _run(command(verb, spec, volume, *arguments), None, env, 60)
    report = json.loads(done.stdout) if "--json" in arguments and done.stdout.strip() else {}
    return Result(done.returncode, done.stdout, done.stderr, report)


def _run(
    line: list[str], hub: LocalHub | None, env: Mapping[str, str] | None, timeout_s: float, **popen: Any
) -> subprocess.CompletedProcess[str]:
    """A command, run to its end: a forked one, unless the interpreter has to start in a special way."""
    if popen or any(INTERPRETERS_OWN.match(name) for name in env or ()):
        popen = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **popen}
        return subprocess.run(line, env=environment(hub, env), timeout=timeout_s, **popen)
    return COMMANDS.run("init_sync.__main__:main", line[3:], environment(hub, env), timeout_s)


def tree(root: Path) -> dict[str, bytes]:
    """Every file below ``root`` with its content, links followed, our own state left out."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".modelcache" not in path.relative_to(root).parts
    }
