"""The recorded generations once more, by two and by four processes that share one video."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from inference_engine.parity import golden
from inference_engine.parity.test_parity import CASES

WHOLE = [case for case in CASES if case.kind in ("generate", "infinitetalk_generate")]
TESTS = Path(__file__).parents[2]
TIME_LIMIT_S = 300


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.skipif(not WHOLE, reason=f"no reference folder: set {' or '.join(golden.VARIABLES.values())}")
@pytest.mark.timeout(2 * TIME_LIMIT_S)
@pytest.mark.parametrize("size", [2, 4])
def test_several_processes_give_the_official_numbers(size: int) -> None:
    """Each process compares its own outcome with the reference and fails where it differs."""
    port = str(free_port())
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(size)}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "inference_engine.parity.member"]
    members = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(size)
    ]
    try:
        said = [member.communicate(timeout=TIME_LIMIT_S)[0] for member in members]
    finally:
        for member in members:
            member.kill()
    assert [member.returncode for member in members] == [0] * size, "\n".join(said)
    for text in said:
        assert text.split() == [f"{case.folder.name}-{case.id}" for case in WHOLE]
