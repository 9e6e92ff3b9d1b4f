"""Whether memory grows with the length of a video: a clip is dubbed on a tiny checkpoint of InfiniteTalk.

Windows are as published (81 frames, 9 of them taken over), pictures as small as they can be, and there is one step, so
that minutes of video take minutes. All networks run. Each length has a process of its own, whose peak is read.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import torch

from inference.engine import load_engine
from inference.generation import GenerationRequest, Sampling, Speaker
from inference.media.limits import MediaLimits
from inference.multitalk import AUDIO, BASE, SAMPLE_RATE, WAV2VEC, Variant
from multitalk_checkpoint.tiny import write_tiny

GEOMETRY = {"frame_num": 81, "motion_frames": 9, "scale": 0.01}
RATE, SIDE = 30, 64
"""Of the clip."""


def measure_apart(seconds: float) -> dict[str, Any]:
    """In a process of its own."""
    script = "import json, sys; from multitalk_bench.length import measure_length as measure; "
    script += "print(json.dumps(measure(float(sys.argv[1]))))"
    environment = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", script, str(seconds)], env=environment, capture_output=True, text=True, check=True
    )
    return cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))


def measure_length(seconds: float) -> dict[str, Any]:
    """Dub a clip as long as the voice, and look at the peak of this process."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        audio = _write_checkpoint(folder)
        limits = MediaLimits(seconds=seconds)
        engine = load_engine(folder, base=BASE, wav2vec=WAV2VEC, audio=audio, device="cpu", limits=limits)
        _write_voice(folder / "voice.wav", round(seconds))
        _write_clip(folder / "clip.mp4", seconds)
        request = GenerationRequest(
            "a person talks", folder / "clip.mp4", (Speaker(folder / "voice.wav"),),
            sampling=Sampling(steps=1, text_guidance=1, audio_guidance=1),
        )  # fmt: skip
        before, began = _peak_mib(), time.perf_counter()
        windows: set[int] = set()
        engine.generate(
            request,
            folder / "video.mp4",
            on_progress=lambda progress: windows.add(progress.window),
            cancelled=lambda: False,
        )
        return {
            "seconds": seconds,
            "windows": len(windows),
            "peak_mib_loaded": before,
            "peak_mib": _peak_mib(),
            "took_s": round(time.perf_counter() - began, 1),
        }


def _peak_mib() -> int:
    """Of this program; what getrusage says may be the peak of the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) // 1024


def _write_checkpoint(folder: Path) -> str:
    """Under InfiniteTalk's name, and with the geometry above; returns the folder of its audio layers."""
    write_tiny(folder)
    config = folder / BASE / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"multitalk_geometry": GEOMETRY}))
    shutil.move(folder / AUDIO / Variant.MULTITALK.audio_file, folder / AUDIO / Variant.INFINITETALK.audio_file)
    return AUDIO


def _write_voice(path: Path, seconds: int) -> None:
    """A tone that swells and fades."""
    second = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    tone = 9_000 * np.sin(2 * np.pi * 220 * second) * np.sin(np.pi * second)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for _ in range(seconds):
            file.writeframes(tone.astype("<i2").tobytes())


def _write_clip(path: Path, seconds: float) -> None:
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = cast(Any, container.add_stream("mpeg4", rate=RATE))
        stream.width = stream.height = SIDE
        for number in range(round(seconds * RATE)):
            picture[:] = number % 256
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
