"""``make serve``: MultiTalk on this machine, from hub to video, with a checkpoint small enough for a processor.

A local hub serves the tiny checkpoint in the official layout, init-sync puts it on a volume and receipts it, and the
real server starts on that volume. Press Ctrl-C to stop it; everything it made lies in a temporary folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
MANIFEST = TESTS.parent / "examples" / "multitalk.yaml"
PORT = os.environ.get("PORT", "8000")


def main() -> int:
    sys.path.insert(0, str(TESTS))
    with tempfile.TemporaryDirectory(prefix="modelcache-serve-") as folder:
        root = Path(folder)
        volume = sync_tiny(root)
        picture, voice = write_example(root)
        print(f"\nWhen it is ready, try:\n\n{request_lines(picture, voice)}", flush=True)
        command = [sys.executable, "-m", "inference.server", "--spec", str(MANIFEST), "--volume", str(volume)]
        options = ["--device", "cpu", "--host", "127.0.0.1", "--port", PORT, "--scratch", str(root / "scratch")]
        server = subprocess.Popen([*command, *options])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the server too, which ends in order
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        return server.wait()


def sync_tiny(root: Path) -> Path:
    """A volume with the tiny checkpoint, complete and receipted."""
    from inference.tiny import TinySizes, write_tiny
    from support.demo.models import build_multitalk
    from support.hub import LocalHub

    build_multitalk(root / "hub", write_tiny(root / "checkpoint", TinySizes(shards=7)))
    volume = root / "models"
    volume.mkdir()
    with LocalHub(root / "hub") as hub:
        command = [sys.executable, "-m", "init_sync", "sync", "--spec", str(MANIFEST), "--volume", str(volume)]
        subprocess.run(command, env={**os.environ, "HF_ENDPOINT": hub.endpoint}, check=True)
    return volume


def write_example(root: Path) -> tuple[Path, Path]:
    """A picture and a voice to send: shapes and a tone are enough for a network of made-up weights."""
    from inference_server.media import png, wav

    picture, voice = root / "face.png", root / "voice.wav"
    picture.write_bytes(png(96, 64))
    voice.write_bytes(wav(1.0))
    return picture, voice


def request_lines(picture: Path, voice: Path) -> str:
    address = f"http://127.0.0.1:{PORT}"
    return (
        f"  curl {address}/readyz\n"
        f"  curl {address}/v1/videos -F prompt='A woman talks' -F steps=2 \\\n"
        f"       -F input_reference=@{picture} -F audio=@{voice}\n"
        f"  curl {address}/v1/videos\n"
        f"  curl {address}/v1/videos/VIDEO_ID/content -o video.mp4\n\n"
        f"or open {address}/ in a browser.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
