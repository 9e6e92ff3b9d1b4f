"""Load a volume's models and make a short video, watching time and memory at every stage.

The same engine as the server's, on real files or on those of `full_size`. Times are taken with the device
synchronised, so that each stage is charged with its own work.
"""

from __future__ import annotations

import math
import resource
import struct
import tempfile
import time
import wave
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from inference.engine import MultiTalkEngine, load_engine
from inference.engine.device import choose_device
from inference.generation import GenerationRequest, Progress, Resolution, Sampling, Speaker
from inference.media.limits import MediaLimits
from inference.multitalk import AUDIO, BASE, FPS, SAMPLE_RATE, WAV2VEC

PICTURE = (1280, 720)
"""Width and height; its ratio decides the size of the video."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to load and what to make of it."""

    volume: Path
    device: str = "cuda"
    memory_limit_bytes: int | None = None
    compile: bool = False
    resolution: Resolution = "multitalk-480"
    room_for: Resolution = "multitalk-480"
    people: int = 1
    frames: int = 81
    steps: int = 3


@dataclass(slots=True)
class Stages:
    """Seconds and peak memory of the stages that an engine reports, the steps one by one."""

    device: torch.device
    _stage: str = ""
    _began: float = 0.0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)

    def enter(self, stage: str) -> None:
        """End the stage before and begin this one."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter()
        if self._stage:
            self.seconds.setdefault(self._stage, []).append(now - self._began)
            if self.device.type == "cuda":
                peak = torch.cuda.max_memory_allocated(self.device)
                self.peaks[self._stage] = max(peak, self.peaks.get(self._stage, 0))
                torch.cuda.reset_peak_memory_stats(self.device)
        self._stage, self._began = stage, time.perf_counter()


def measure_volume(task: Task) -> dict[str, Any]:
    """Load, generate once, and describe both."""
    device = choose_device(task.device)
    stages = Stages(device)
    stages.enter("loading")
    engine = load_engine(
        task.volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device=task.device,
        memory_limit_bytes=task.memory_limit_bytes, compile=task.compile, room_for=task.room_for,
        limits=MediaLimits(seconds=task.frames / FPS),
    )  # fmt: skip
    stages.enter("reading")
    with tempfile.TemporaryDirectory() as folder:
        request = _request(Path(folder), task)

        def progress(done: Progress) -> None:
            stages.enter(done.stage if done.stage != "sampling" or done.step else "sampling, first step")

        engine.generate(request, Path(folder) / "film.mp4", on_progress=progress, cancelled=lambda: False)
    stages.enter("")
    return _describe(task, engine, stages)


def _request(folder: Path, task: Task) -> GenerationRequest:
    Image.linear_gradient("L").resize(PICTURE).convert("RGB").save(folder / "picture.png")
    speakers = []
    for number in range(task.people):
        path = folder / f"voice{number}.wav"
        _write_tone(path, task.frames / FPS, 180.0 + 60 * number)
        speakers.append(Speaker(path))
    return GenerationRequest(
        prompt="a person talks", image=folder / "picture.png", speakers=tuple(speakers),
        sampling=Sampling(steps=task.steps), resolution=task.resolution, audio_mode="para",
    )  # fmt: skip


def _write_tone(path: Path, seconds: float, pitch: float) -> None:
    turns = (pitch * n / SAMPLE_RATE for n in range(round(seconds * SAMPLE_RATE)))
    samples = (round(9000 * math.sin(2 * math.pi * turn)) for turn in turns)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


def _describe(task: Task, engine: MultiTalkEngine, stages: Stages) -> dict[str, Any]:
    plan = engine.plan
    loaded = sum(report.bytes_read for report in engine.loads)
    steps = stages.seconds.get("sampling", [])
    return {
        "device": torch.cuda.get_device_name(stages.device) if stages.device.type == "cuda" else stages.device.type,
        "resolution": task.resolution,
        "people": task.people,
        "frames": task.frames,
        "compiled": task.compile,
        "plan": {
            "limitBytes": plan.limit_bytes,
            "residentBytes": plan.resident_bytes,
            "encodersOnHost": plan.encoders_on_host,
            "hostBlocks": plan.host_blocks,
        },
        "load": {
            "bytes": loaded,
            "seconds": round(stages.seconds["loading"][0], 2),
            "gbPerSecond": round(loaded / 1e9 / stages.seconds["loading"][0], 2),
            "components": {
                report.component: {"bytes": report.bytes_read, "seconds": round(report.seconds, 2)}
                for report in engine.loads
            },
        },
        "secondsPerStep": round(sum(steps) / len(steps), 3) if steps else None,
        "stageSeconds": {stage: round(sum(seconds), 3) for stage, seconds in stages.seconds.items()},
        "stagePeakBytes": stages.peaks,
        "reservedBytes": torch.cuda.max_memory_reserved(stages.device) if stages.device.type == "cuda" else None,
        "hostPeakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
