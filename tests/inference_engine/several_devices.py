"""One of two processes that make a video together, and each alone; ends with 0 if the two are the same."""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist

from inference.engine import MultiTalkEngine, load_engine
from inference.engine.dit.parallel import ALONE, TokenShards
from inference.engine.errors import EngineError
from inference.engine.known_frames import latent_size
from inference.engine.pipeline import Pipeline
from inference.engine.recipe import Recipe
from inference.engine.sampling.noise import SeededNoise
from inference.engine.scene import FeatureTable, Scene, Still
from inference.engine.video.regions import latent_masks, whole_picture
from inference.generation import Sampling
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference_engine.own_numbers import CPU, given
from support.checkpoint import tiny_checkpoint

HEIGHT, WIDTH = 48, 48
"""27 tokens a window, which do not divide by two."""
TOLERANCE = 1e-3


def film(engine: MultiTalkEngine, shards: TokenShards, people: int, sampling: Sampling) -> torch.Tensor:
    latent = latent_size(HEIGHT, WIDTH)
    masks = latent_masks((HEIGHT, WIDTH), (HEIGHT, WIDTH), latent, None) if people == 2 else whole_picture(latent)
    features = torch.stack([given(f"features.{n}", 12, 3, 32) for n in range(people)])
    scene = Scene(Still(given("scene", 3, 1, HEIGHT, WIDTH).clamp(-1, 1)), FeatureTable(features), masks)
    pipeline = Pipeline(engine._parts, engine._geometry, CPU, shards=shards)
    return torch.cat(list(pipeline.run(scene, Recipe("two people talk", "bad", sampling), SeededNoise(1))), dim=1)


def main() -> int:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    shards = TokenShards(dist.get_rank(), dist.get_world_size())
    engine = load_engine(tiny_checkpoint(), base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu")
    for people, sampling in (
        (1, Sampling(steps=2)),
        (2, Sampling(steps=2)),
        (1, Sampling(steps=7, teacache_threshold=1e9, text_guidance=1.0)),
    ):
        apart = (film(engine, shards, people, sampling) - film(engine, ALONE, people, sampling)).abs().max().item()
        if apart > TOLERANCE:
            print(f"{people} people, {sampling}: {apart} apart")
            return 1
    try:
        shards.check_heads(3)
    except EngineError as refusal:
        print(refusal)
    dist.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
