"""Runs of single networks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from inference.engine.dit.audio import AudioProjector, Voices
from inference.engine.dit.block import Block, Guides
from inference.engine.dit.config import AudioProjectorConfig
from inference.engine.dit.rotary import grid_rotary
from inference.engine.encoders.text import clean
from inference.engine.encoders.wav2vec import normalize
from inference.engine.known_frames import encode_known
from inference.engine.predictor import join_people
from inference.engine.video.frames import to_pixels
from inference.engine.video.regions import token_masks
from inference.multitalk import SAMPLE_RATE
from inference_engine.parity import models
from inference_engine.parity.golden import Case

Outputs = dict[str, Tensor]


class Tap:
    """Remembers what went into and came out of modules."""

    def __init__(self) -> None:
        self.seen: Outputs = {}

    def output(self, module: nn.Module, name: str, pick: Callable[[Any], Tensor] = lambda out: out) -> None:
        module.register_forward_hook(lambda _m, _args, out: self.seen.__setitem__(name, pick(out)))

    def input(self, module: nn.Module, name: str, number: int = 0) -> None:
        module.register_forward_pre_hook(lambda _m, args: self.seen.__setitem__(name, args[number]))


def tap_block(tap: Tap, block: nn.Module, prefix: str = "") -> None:
    assert isinstance(block, Block)
    heads_first = lambda x: x.transpose(1, 2)  # noqa: E731
    audio = block.audio_cross_attn
    tap.output(block, f"{prefix}out")
    tap.output(block.self_attn.speaker_map, f"{prefix}attn_map", lambda m: m[0])
    tap.output(block.self_attn.speaker_map, f"{prefix}class", lambda m: m[0].argmax(0).float())
    for side, module in (("q", audio.query_rotary), ("k", audio.key_rotary)):
        tap.input(module, f"{prefix}rope_{side}_before")
        tap.input(module, f"{prefix}rope_{side}_pos", 1)
        tap.output(module, f"{prefix}rope_{side}", heads_first)
    for name in ("self_attn", "cross_attn", "ffn"):
        part = block.get_submodule(name)
        tap.input(part, f"{prefix}{name}_in")
        tap.output(part, f"{prefix}{name}_out", lambda out: out[0] if isinstance(out, tuple) else out)
    tap.input(audio, f"{prefix}audio_attn_in")
    tap.output(audio, f"{prefix}audio_attn_out")


def finish_block(seen: Outputs, prefix: str = "") -> None:
    for side in ("q", "k"):
        if f"{prefix}rope_{side}_pos" in seen:
            seen[f"{prefix}rope_{side}_before"] = seen[f"{prefix}rope_{side}_before"].transpose(1, 2)
            seen[f"{prefix}rope_{side}_pos"] = seen[f"{prefix}rope_{side}_pos"].reshape(-1)


def dit_forward(case: Case) -> Outputs:
    model = models.dit(case)
    tap = Tap()
    for number, block in enumerate(model.blocks):
        tap_block(tap, block, f"block{number}.")
    tap.output(model.patch_embedding, "patch_tokens")
    with torch.inference_mode():
        time = model.time_conditioning(torch.tensor([float(case.args["timestep"])]))
        audio = model.audio_proj(case.input("audio"))
        text = model.project_text([case.input("context")])
        image = model.project_image(case.input("clip_fea"))
        latent, condition = case.input("x")[None], case.input("y")
        grid = model.grid(latent.shape)
        assert (list(latent.shape[2:]), math.prod(grid)) == (case.args["latent_grid"], case.args["seq_len"])
        assert audio.shape[0] == case.args["people"]
        joined = join_people(audio)
        voices = Voices(joined, None) if audio.shape[0] == 2 else Voices(None, joined)
        masks = token_masks(case.input("ref_target_masks"), grid[1:])
        guides = Guides(text, image, voices, masks, grid_rotary(grid, model.config.head_dim, "cpu"))
        velocity = model(latent, condition, time, guides)[0]
    for number in range(len(model.blocks)):
        finish_block(tap.seen, f"block{number}.")
    return tap.seen | {
        "velocity": velocity,
        "e": time.head,
        "e0": time.blocks.flatten(1),
        "audio_tokens": audio,
        "text_tokens": text,
        "image_tokens": image[:, ::32],
    }


def dit_block(case: Case) -> Outputs:
    model = models.dit(case)
    block = model.blocks[case.args["block"]]
    tap = Tap()
    tap_block(tap, block)
    context = case.input("context")
    # 257 picture tokens come first in the recorded context.
    image, text = context[:, :257], context[:, 257:]
    audio = case.input("audio_embedding")
    voices = Voices(audio, None) if case.args["people"] == 2 else Voices(None, audio)
    rotary = grid_rotary(tuple(case.args["grid"]), model.config.head_dim, "cpu")
    masks = case.stored("token_masks") > 0
    with torch.inference_mode():
        block(case.input("x"), case.input("e"), Guides(text, image, voices, masks, rotary))
    finish_block(tap.seen)
    return tap.seen


def audio_proj(case: Case) -> Outputs:
    store = case.store("audioproj")
    config = AudioProjectorConfig.from_shapes(store.shapes)
    projector = AudioProjector(config)
    projector.load_state_dict({name: store.read(name) for name in store.shapes})
    first, later = case.input("first"), case.input("later")
    assert len(first) == len(later) == case.args["people"]
    assert first.shape[1] + later.shape[1] == case.args["latent_frames"]
    with torch.inference_mode():
        return {"tokens": projector.project(first, later)}


def wav2vec2(case: Case) -> Outputs:
    encoder = models.voice(case)
    wave = case.input("wave")
    assert len(wave) == case.args["samples"]
    tap = Tap()
    tap.output(encoder.feature_extractor, "conv_features", lambda out: out[0].T)
    tap.input(encoder.feature_projection, "interpolated")
    tap.output(encoder.feature_projection, "projected", lambda out: out[0])
    frames = int(len(wave) / case.args.get("sample_rate", SAMPLE_RATE) * case.args.get("fps", 25))
    embedding = encoder(wave, frames)
    tap.seen["interpolated"] = tap.seen["interpolated"][0]
    return tap.seen | {"embedding": embedding, "normalized_wave": normalize(wave)}


def vae(case: Case) -> Outputs:
    autoencoder = models.vae(case)
    if case.args["direction"] == "decode":
        return {"frames": autoencoder.decode(case.input("latent"))}
    return {"latent": autoencoder.encode(case.input("video"))}


def vae_condition(case: Case) -> Outputs:
    autoencoder = models.vae(case)
    first = to_pixels(case.stored("image").to(torch.uint8).numpy())
    later = case.input("frames")[:, -case.args["known_later"] :]
    assert first.shape[1:] == (case.args["known_first"], case.args["height"], case.args["width"])
    outputs = {}
    with torch.inference_mode():
        for name, known in (("first", first), ("later", later)):
            outputs[f"y.{name}"] = encode_known(autoencoder, known, case.args["frame_num"])
            outputs[f"mask.{name}"] = outputs[f"y.{name}"][:4]
    return outputs


def clip(case: Case) -> Outputs:
    encoder = models.clip(case)
    image = case.input("image")[:, :, 0]
    assert list(image.shape[-2:]) == [case.args["height"], case.args["width"]]
    config = encoder.model.config
    assert (config.image_size, config.num_hidden_layers) == (case.args["image_size"], case.args["blocks_run"])
    assert case.args["blocks_total"] == case.args["blocks_run"] + 1
    return {"features": encoder.encode(image), "pixels": encoder.prepare(image)[:, :, ::7, ::5]}


def t5(case: Case) -> Outputs:
    encoder = models.text(case, case.args["length"])
    mask = case.stored("mask").long()
    assert mask.sum(1).tolist() == case.args["true_lengths"]
    contexts = encoder.encode_ids(case.stored("ids").long(), mask)
    return {f"context.{number}": context for number, context in enumerate(contexts)}


def t5_text(case: Case) -> Outputs:
    texts = case.args["texts"]
    assert [clean(text) for text in texts] == case.args["cleaned"]
    encoder = models.text(case, case.args["pad_to"])
    ids, mask = encoder.tokenize(texts)
    contexts = encoder.encode(texts)
    return {"ids": ids, "mask": mask} | {f"context.{number}": context for number, context in enumerate(contexts)}
