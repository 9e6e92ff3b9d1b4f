"""``make demo``: a first sync, a warm start and the repair of one damaged shard, against a local hub.

Everything it shows is the output of the real commands; everything it makes lies in a temporary folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
MANIFEST = TESTS.parent / "examples" / "multitalk.yaml"
SHARD = "Wan2.1-I2V-14B-480P/diffusion_pytorch_model-00003-of-00007.safetensors"
BOLD, PLAIN = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")


def main() -> int:
    sys.path.insert(0, str(TESTS))
    from support.hub import LocalHub
    from support.hub.demo import build_multitalk

    with tempfile.TemporaryDirectory(prefix="modelcache-demo-") as folder:
        root, volume = Path(folder, "hub"), Path(folder, "models")
        root.mkdir()
        volume.mkdir()
        say("A local hub with a small MultiTalk-shaped set: three repositories, the official file names")
        build_multitalk(root)
        with LocalHub(root) as hub:
            environment = {**os.environ, "HF_ENDPOINT": hub.endpoint}
            say("First start: nothing is there, everything is fetched and verified")
            sync(volume, environment)
            say("Second start: one stat for each file, no request")
            before = hub.count()
            sync(volume, environment)
            print(f"(requests to the hub: {hub.count() - before})")
            say(f"One shard is damaged: a byte in the middle of {SHARD}")
            flip(volume / SHARD)
            before = hub.bytes_sent
            sync(volume, environment)
            print(
                f"(bytes from the hub: {hub.bytes_sent - before:,}; the shard has {(volume / SHARD).stat().st_size:,})"
            )
            say("What is on the volume now")
            run(["status"], volume, environment)
    return 0


def sync(volume: Path, environment: dict[str, str]) -> None:
    began = time.monotonic()
    run(["sync"], volume, environment)
    print(f"(took {time.monotonic() - began:.2f} s)")


def run(verb: list[str], volume: Path, environment: dict[str, str]) -> None:
    command = [*verb, "--spec", str(MANIFEST), "--volume", str(volume)]
    print(f"$ init-sync {verb[0]} --spec examples/multitalk.yaml --volume {volume}", flush=True)
    subprocess.run([sys.executable, "-m", "init_sync", *command], env=environment, check=True)


def flip(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def say(text: str) -> None:
    print(f"\n{BOLD}== {text}{PLAIN}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
