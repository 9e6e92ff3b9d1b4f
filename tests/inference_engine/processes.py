"""Several processes of one group, as torchrun would start them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def run_together(module: str, size: int, limit_s: float, *arguments: str) -> list[str]:
    """Run a module in `size` processes, each of which must end with 0; what each has printed."""
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(size)}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{TESTS}:{TESTS.parent / 'tools'}"}
    environment |= {"GLOO_SOCKET_IFNAME": "lo"}
    members = [
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**environment, "RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    try:
        said = [member.communicate(timeout=limit_s)[0] for member in members]
    finally:
        for member in members:
            member.kill()
    assert [member.returncode for member in members] == [0] * size, "\n".join(said)
    return said


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
