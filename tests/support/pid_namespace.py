"""Programs as PID 1 of a PID namespace of their own, as in a container without an init process."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

NEW_PID_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def skip_without_pid_namespaces() -> None:
    try:
        possible = subprocess.run([*NEW_PID_NAMESPACE, "true"], capture_output=True, timeout=10).returncode == 0
    except OSError:
        possible = False
    if not possible:
        pytest.skip("a process with PID 1 needs `unshare --pid`, which is not allowed here")


def pid_outside(unshare: subprocess.Popen[str]) -> int:
    """The PID that PID 1 of the namespace has in ours."""
    (pid,) = map(int, Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text().split())
    assert f"\nNSpid:\t{pid}\t1\n" in Path(f"/proc/{pid}/status").read_text()
    return pid
