"""The images have no init process: each program is PID 1 of its container, which ignores signals without a handler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from images.dockerfiles import ROOT
from support.outages import ended
from support.pid_namespace import NEW_PID_NAMESPACE, pid_outside, skip_without_pid_namespaces

SPEC = str(ROOT / "examples/multitalk.yaml")
STARTS = {
    "init-sync": (["init_sync", "verify", "--spec", SPEC, "--volume", "/tmp"], "yaml", 1),
    "operator": (["modelcache_operator", "--namespace", "models"], "kopf", 0),
    "inference": (["inference.server", "--spec", SPEC, "--volume", "/tmp"], "uvicorn", 0),
}
NEVER_IMPORTED = "import signal\nprint('importing', flush=True)\nsignal.pause()\n"


@pytest.mark.parametrize(("arguments", "library", "code"), STARTS.values(), ids=STARTS)
def test_sigterm_ends_a_program_that_is_still_importing_its_libraries(
    arguments: list[str], library: str, code: int, tmp_path: Path
) -> None:
    skip_without_pid_namespaces()
    (tmp_path / f"{library}.py").write_text(NEVER_IMPORTED)
    command = [*NEW_PID_NAMESPACE, sys.executable, "-m", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with ended(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)) as unshare:
        assert unshare.stdout is not None
        assert unshare.stdout.readline() == "importing\n"
        os.kill(pid_outside(unshare), signal.SIGTERM)
        assert unshare.wait(timeout=10) == code
