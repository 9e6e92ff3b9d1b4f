"""Small Python programs in a process of their own, with a bound on time and memory."""

from __future__ import annotations

import resource
import subprocess
import sys

MEMORY_BYTES = 2 << 30
CPU_S = 30


def run_program(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` as ``python -c`` to its end; a program that runs wild is ended by the kernel."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        preexec_fn=_limit,  # no threads between fork and exec
    )


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
