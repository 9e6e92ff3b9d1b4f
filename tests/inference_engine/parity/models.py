"""Networks with reference weights, built by the engine's own loaders."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer

from inference.engine import components
from inference.engine.checkpoint.streaming import Home
from inference.engine.components import Components
from inference.engine.dit.model import MultiTalkDiT
from inference.engine.encoders.clip import ClipEncoder
from inference.engine.encoders.text import TextEncoder
from inference.engine.encoders.vae import VideoAutoencoder
from inference.engine.encoders.wav2vec import VoiceEncoder
from inference_engine.parity.golden import Case

HOME = Home(torch.device("cpu"), torch.float32)


def dit(case: Case) -> MultiTalkDiT:
    config = case.record["models"]["dit"] if "models" in case.record else case.config
    return components.load_dit(case.store("dit"), config, home=HOME)[0]


def vae(case: Case) -> VideoAutoencoder:
    encoder = components.load_vae(case.store("vae"), home=HOME)[0]
    mean, std = case.args["latent_mean"], case.args["latent_std"]
    return VideoAutoencoder(encoder.model, tuple(mean), tuple(std))


def text(case: Case, length: int) -> TextEncoder:
    tokenizer = Tokenizer.from_file(str(case.folder / "tokenizer.json"))
    return components.load_text(case.store("t5"), tokenizer, length, home=HOME)[0]


def clip(case: Case, shapes_of: str = "clip") -> ClipEncoder:
    config = case.record["models"]["clip"] if "models" in case.record else case.config
    return components.load_clip(case.store("clip", shapes_of), home=HOME, heads=config["vision_heads"])[0]


def voice(case: Case) -> VoiceEncoder:
    return components.load_voice(case.store("wav2vec2"), case.config, home=HOME)[0]


def all_parts(case: Case) -> Components:
    length = int(case.record["models"]["dit"]["text_len"])
    unused = None
    return Components(dit(case), text(case, length), clip(case, "clip_in_pipeline"), vae(case), unused)  # type: ignore[arg-type]
