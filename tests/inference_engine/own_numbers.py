"""The engine's own outputs on the tiny checkpoint, to notice a change where no reference folder is at hand.

`data/engine.safetensors` was written by this file at a state that equalled the official code in every reference case:

    PYTHONPATH=tests:tools python tests/inference_engine/own_numbers.py write

Write it again only after the parity tests have passed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.engine import MultiTalkEngine, load_engine
from inference.engine.known_frames import encode_known, latent_size
from inference.engine.pipeline import Pipeline
from inference.engine.predictor import WindowPredictor
from inference.engine.recipe import Recipe
from inference.engine.sampling.noise import SeededNoise
from inference.engine.sampling.sampler import Predictor
from inference.engine.sampling.teacache import plan_steps
from inference.engine.scene import FeatureTable, Scene, Still
from inference.engine.video.colour import match_colours
from inference.engine.video.regions import latent_masks, whole_picture
from inference.generation import Sampling
from inference.multitalk import AUDIO, BASE, WAV2VEC
from multitalk_checkpoint.weights import rule_weight
from support.checkpoint import tiny_checkpoint

FILE = Path(__file__).parent / "data" / "engine.safetensors"
TOLERANCE = 5e-4
"""Of a tensor's largest value: float32 sums in another order differ by less, a changed formula by more."""
HEIGHT, WIDTH = 48, 64
CPU = torch.device("cpu")


def given(name: str, *shape: int) -> Tensor:
    """Input numbers that follow from a name."""
    return rule_weight("own-numbers", "input", f"{name}.token_embedding.weight", shape)


def text(engine: MultiTalkEngine) -> Tensor:
    return torch.cat(engine._parts.text.encode(["two  people talk &amp; smile", "a man"]))


def picture(engine: MultiTalkEngine) -> Tensor:
    return engine._parts.clip.encode(given("picture", 1, 3, HEIGHT, WIDTH).clamp(-1, 1))[:, ::8]


def encoded(engine: MultiTalkEngine) -> Tensor:
    return encode_known(engine._parts.vae, given("known", 3, 5, HEIGHT, WIDTH).clamp(-1, 1), 9)


def decoded(engine: MultiTalkEngine) -> Tensor:
    return engine._parts.vae.decode(given("latent", 16, 2, 4, 6))


def voice(engine: MultiTalkEngine) -> Tensor:
    features: Tensor = engine._parts.voice(given("wave", 9_600), 15)
    return features


def caching(engine: MultiTalkEngine) -> Tensor:
    times = torch.linspace(900, 10, 20)
    with torch.inference_mode():
        modulation = engine._parts.dit.time_conditioning(times).blocks
    return torch.tensor([[step.change, step.accumulated] for step in plan_steps(modulation, "multitalk-480", 1e5)])


def colours(_: MultiTalkEngine) -> Tensor:
    return match_colours(given("video", 3, 2, 16, 16).clamp(-1, 1), given("goal", 3, 1, 16, 16).clamp(-1, 1) / 2)


def made(
    engine: MultiTalkEngine,
    people: int,
    frames: int,
    sampling: Sampling,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    predictor: Callable[..., Predictor] = WindowPredictor,
) -> Tensor:
    """Run the whole pipeline; `size` is height and width."""
    latent = latent_size(*size)
    masks = latent_masks(size, size, latent, None) if people == 2 else whole_picture(latent)
    features = torch.stack([given(f"features.{n}", frames, 3, 32) for n in range(people)])
    scene = Scene(Still(given("scene", 3, 1, *size).clamp(-1, 1)), FeatureTable(features), masks)
    recipe = Recipe("two people talk", "bad", sampling)
    chunks = Pipeline(engine._parts, engine._geometry, CPU, predictor=predictor).run(scene, recipe, SeededNoise(1))
    return torch.cat(list(chunks), dim=1)


def film(people: int, frames: int, sampling: Sampling) -> Callable[[MultiTalkEngine], Tensor]:
    """The same, of which every fourth pixel is kept."""
    return lambda engine: made(engine, people, frames, sampling)[:, :, ::4, ::4]


OUTPUTS: Mapping[str, Callable[[MultiTalkEngine], Tensor]] = {
    "text": text,
    "picture": picture,
    "encoded": encoded,
    "decoded": decoded,
    "voice": voice,
    "caching": caching,
    "colours": colours,
    "film of one, two passes": film(1, 7, Sampling(steps=3, text_guidance=1.0, audio_guidance=2.0)),
    "film of one, projected guidance": film(1, 9, Sampling(steps=3, use_apg=True)),
    "film of one, cached": film(1, 9, Sampling(steps=8, teacache_threshold=1e9)),
    "film of two, two windows": film(2, 12, Sampling(steps=2)),
}


def main() -> None:
    torch.set_num_threads(1)
    engine = load_engine(tiny_checkpoint(), base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")
    outputs = {name: compute(engine).contiguous() for name, compute in OUTPUTS.items()}
    if sys.argv[1:] == ["write"]:
        FILE.parent.mkdir(exist_ok=True)
        save_file(outputs, FILE)
    stored = load_file(FILE)
    for name, found in outputs.items():
        print(f"{name}: {tuple(found.shape)}, off by {(found - stored[name]).abs().max().item():.2g}")


if __name__ == "__main__":
    main()
