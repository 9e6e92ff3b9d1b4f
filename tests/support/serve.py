"""``make serve``: MultiTalk on this machine, from hub to video, with a checkpoint small enough for a processor.

A local hub serves the tiny checkpoint in the official layout, init-sync puts it on a volume and receipts it, and the
real server starts on that volume. Press Ctrl-C to stop it, twice to hurry it; everything it made lies in a temporary
folder, which goes with it. ``PORT`` is the port of the server, 8000 unless set.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.checkpoint import tiny_checkpoint
from support.demo.signals import ENDING, catch_signals, ignore_signals
from support.hub import LocalHub
from support.hub.models import build_multitalk

MANIFEST = Path(__file__).resolve().parents[2] / "examples" / "multitalk.yaml"
PORT = os.environ.get("PORT", "8000")
INTERRUPTED = 130


def main() -> int:
    """Exit codes: the server's, or 130 when it was ended before the server was started."""
    catch_signals()
    try:
        with tempfile.TemporaryDirectory(prefix="modelcache-serve-") as folder:
            try:
                return serve(Path(folder))
            finally:
                ignore_signals()
    except KeyboardInterrupt:
        return INTERRUPTED
    except subprocess.CalledProcessError as error:
        return error.returncode  # init-sync has said why


def serve(root: Path) -> int:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(root / "torch")  # else it is left behind in the temporary folder
    volume = sync_tiny(root)
    picture, voice = write_example(root)
    print(f"\nWhen it is ready, try:\n\n{request_lines(picture, voice)}", flush=True)
    command = [sys.executable, "-m", "inference.server", "--spec", str(MANIFEST), "--volume", str(volume)]
    options = ["--device", "cpu", "--host", "127.0.0.1", "--port", PORT, "--scratch", str(root / "scratch")]
    return run_server([*command, *options])


def run_server(command: list[str]) -> int:
    """Signals are passed on, each of them: the first asks the server to end, the second hurries it."""
    asked: list[int] = []
    server: subprocess.Popen[bytes] | None = None

    def pass_on(number: int, _frame: object) -> None:
        asked.append(number)
        if server:
            server.terminate()

    for number in ENDING:
        signal.signal(number, pass_on)
    server = subprocess.Popen(command, start_new_session=True)  # out of reach of the terminal: once is enough
    if asked:
        server.terminate()
    return server.wait()


def sync_tiny(root: Path) -> Path:
    """A volume with the tiny checkpoint, complete, with receipts."""
    build_multitalk(root / "hub", tiny_checkpoint())
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


def example_arguments(picture: Path, voice: Path) -> str:
    """For curl, as a shell reads them."""
    return shlex.join(["-F", f"input_reference=@{picture}", "-F", f"audio=@{voice}"])


def request_lines(picture: Path, voice: Path) -> str:
    address = f"http://127.0.0.1:{PORT}"
    return (
        f"  curl {address}/readyz\n"
        f"  curl {address}/v1/videos -F prompt='A woman talks' -F steps=2 \\\n"
        f"       {example_arguments(picture, voice)}\n"
        f"  curl {address}/v1/videos\n"
        f"  curl {address}/v1/videos/VIDEO_ID/content -o video.mp4\n\n"
        f"or open {address}/ in a browser.\n"
    )


if __name__ == "__main__":
    sys.exit(main())
