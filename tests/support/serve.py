"""``make serve``: MultiTalk on this machine, from hub to video, with a checkpoint small enough for a processor.

A local hub serves the tiny checkpoint in the official layout, init-sync puts it on a volume and receipts it, and the
real server starts on that volume. Press Ctrl-C to stop it; everything it made lies in a temporary folder.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
PORT = os.environ.get("PORT", "8000")


def main() -> int:
    sys.path.insert(0, str(TESTS))
    with tempfile.TemporaryDirectory(prefix="modelcache-serve-") as folder:
        root = Path(folder)
        spec, volume = sync_tiny(root)
        picture, voice = write_example(root)
        print(f"\nWhen it is ready, try:\n\n{request_lines(picture, voice)}", flush=True)
        command = [sys.executable, "-m", "inference.server", "--spec", str(spec), "--volume", str(volume)]
        options = ["--device", "cpu", "--host", "127.0.0.1", "--port", PORT, "--scratch", str(root / "scratch")]
        server = subprocess.Popen([*command, *options])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to the server too, which ends in order
        signal.signal(signal.SIGTERM, lambda *_: server.terminate())
        return server.wait()


def sync_tiny(root: Path) -> tuple[Path, Path]:
    """A volume with the tiny checkpoint, complete and receipted; returns its manifest and the volume."""
    from inference.tiny import AUDIO, BASE, WAV2VEC, write_tiny
    from support.hub import LocalHub, RepoBuilder
    from support.sync import manifest, model

    checkpoint = write_tiny(root / "checkpoint")
    (root / "hub").mkdir()
    models = []
    for name, directory in (("base", BASE), ("wav2vec", WAV2VEC), ("multitalk", AUDIO)):
        files = {str(path.relative_to(checkpoint / directory)): path for path in (checkpoint / directory).rglob("*")}
        repository = RepoBuilder(root / "hub", f"tiny/{name}")
        repository.commit({file: path for file, path in files.items() if path.is_file()})
        models.append(model(name, f"tiny/{name}", path=directory))
    spec, volume = root / "modelcache.json", root / "models"
    spec.write_text(json.dumps(manifest(*models, name="tiny")))
    volume.mkdir()
    with LocalHub(root / "hub") as hub:
        command = [sys.executable, "-m", "init_sync", "sync", "--spec", str(spec), "--volume", str(volume)]
        subprocess.run(command, env={**os.environ, "HF_ENDPOINT": hub.endpoint}, check=True)
    return spec, volume


def write_example(root: Path) -> tuple[Path, Path]:
    """A picture and a voice to send: shapes and a swelling tone are enough for a network of random weights."""
    import wave

    import numpy as np
    from PIL import Image

    picture, voice = root / "face.png", root / "voice.wav"
    rows, columns = np.mgrid[0:64, 0:96]
    Image.fromarray(np.stack([rows * 3, columns * 2, rows + columns], axis=-1).astype(np.uint8)).save(picture)
    seconds = np.arange(16_000) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * 220 * seconds) * np.sin(2 * np.pi * 2 * seconds) ** 2
    with wave.open(str(voice), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((tone * 32767).astype("<i2").tobytes())
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
