"""A tiny checkpoint, an engine on it, and files to feed it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from inference.engine import MultiTalkEngine, load_engine
from inference.generation import GenerationRequest, Sampling, Speaker
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference_engine.sounds import MakeVoice, write_sound
from support.checkpoint import tiny_checkpoint

torch.set_num_threads(1)  # tests run side by side; more threads than cores only wait for each other


@pytest.fixture(scope="session")
def tiny_volume() -> Path:
    """A volume with the three model directories; shared, so only to be read."""
    return tiny_checkpoint()


@pytest.fixture(scope="session")
def engine(tiny_volume: Path) -> MultiTalkEngine:
    return load_engine(tiny_volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")


@pytest.fixture
def volume(tmp_path: Path, tiny_volume: Path) -> Path:
    """A volume of one's own, to damage."""
    return Path(shutil.copytree(tiny_volume, tmp_path / "volume"))


@pytest.fixture
def make_voice(tmp_path: Path) -> MakeVoice:
    """Write a WAV file with a tone that swells and fades."""

    def make(seconds: float, pitch: float = 220.0, rate: int = 16_000) -> Path:
        time = np.arange(round(seconds * rate)) / rate
        wave = 0.3 * np.sin(2 * np.pi * pitch * time) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time))
        return write_sound(tmp_path / f"voice-{pitch:g}-{seconds:g}-{rate}.wav", wave, rate)

    return make


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Write a PNG of 160 x 90 pixels with soft colours."""
    rows, columns = np.mgrid[0:90, 0:160] / 160
    image = np.stack((rows, columns, 1 - columns), axis=-1)
    path = tmp_path / "picture.png"
    Image.fromarray((image * 255).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def make_request(make_voice: MakeVoice, picture: Path) -> Callable[..., GenerationRequest]:
    """Make a request for a short video in few steps; any field may be replaced, those of sampling too."""

    def make(**changes: Any) -> GenerationRequest:
        sampling = {field.name for field in fields(Sampling)} & changes.keys()
        chosen = {"steps": 2} | {name: changes.pop(name) for name in sampling}
        if "speakers" not in changes:
            changes["speakers"] = (Speaker(make_voice(0.3)),)
        values: dict[str, Any] = {"prompt": "a person talks", "image": picture, "sampling": Sampling(**chosen)}
        return GenerationRequest(**(values | changes))

    return make
