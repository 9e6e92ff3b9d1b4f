"""Two processes that share one video make what one makes alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from inference_engine.parity.test_several_devices import free_port

TESTS = Path(__file__).parents[1]
LIMIT_S = 170


@pytest.mark.timeout(180)
def test_two_processes_make_what_one_makes_alone() -> None:
    environment = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    environment |= {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{TESTS}:{TESTS.parent / 'tools'}",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    command = [sys.executable, "-m", "inference_engine.several_devices"]
    members = [
        subprocess.Popen(command, env={**environment, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        said = [member.communicate(timeout=LIMIT_S)[0] for member in members]
    finally:
        for member in members:
            member.kill()
    assert [member.returncode for member in members] == [0, 0], "\n".join(said)
    assert all("the 3 attention heads cannot be dealt to them evenly. Use one of 3" in text for text in said)
