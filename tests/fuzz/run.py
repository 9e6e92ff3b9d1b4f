"""``make fuzz``: the tests marked ``fuzz`` again and again, each time with another seed, until the time is over.

Manifests, state files on the volume, hub answers, reports to the operator, and requests to both servers. What is being
tried when the time is over is tried to its end. Stops at the first failure; its output says how to see it again.
"""

from __future__ import annotations

import argparse
import re
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
WHERE = (
    TESTS / "fuzz",
    TESTS / "damage/test_garbage.py",
    TESTS / "operator/test_reports.py",
    TESTS / "inference_server/test_contract.py",
)
TRIED = re.compile(r"- (\d+) passing, \d+ failing, and \d+ invalid")


@dataclass(frozen=True, slots=True)
class Pass:
    """All of them once."""

    seed: int
    code: int
    tried: int
    output: str


def run_once(seed: int) -> Pass:
    options = [
        "-q",
        "-m",
        "fuzz",
        "-p",
        "no:cacheprovider",
        f"--hypothesis-seed={seed}",
        "--hypothesis-show-statistics",
    ]
    command = [sys.executable, "-m", "pytest", *options, *map(str, WHERE)]
    done = subprocess.run(command, cwd=TESTS.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    tried = sum(int(count) for count in TRIED.findall(done.stdout))
    return Pass(seed, done.returncode, tried, done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="when no other pass is begun (default: 10)")
    options = parser.parse_args()
    began = time.monotonic()
    passes = tried = 0
    while passes == 0 or time.monotonic() - began < options.minutes * 60:
        done = run_once(secrets.randbelow(1 << 32))
        passes, tried = passes + 1, tried + done.tried
        minutes = (time.monotonic() - began) / 60
        print(f"{passes} passes, {tried:,} inputs, {minutes:.1f} minutes", flush=True)
        if done.code:
            print(f"{done.output}\nFAILED with --hypothesis-seed={done.seed}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
