"""The five networks of MultiTalk, each built from its checkpoint without ever holding all of it on the host.

Every function here does the same four things: read the sizes off the store, build the module on the meta device, fill
it, wrap it. They take any `TensorStore`, so that tests can hand them tensors from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from inference.engine.checkpoint.lora import Lora, merge_all
from inference.engine.checkpoint.store import TensorStore
from inference.engine.checkpoint.streaming import Home, LoadReport, OnBytes, fill
from inference.engine.dit.config import DitConfig
from inference.engine.dit.model import MultiTalkDiT
from inference.engine.encoders import clip as clip_encoder
from inference.engine.encoders import wav2vec_keys
from inference.engine.encoders.clip import ClipEncoder, build_clip, clip_source
from inference.engine.encoders.text import TextEncoder, build_text_encoder, text_source
from inference.engine.encoders.vae import VaeSizes, VideoAutoencoder, build_vae, vae_source
from inference.engine.encoders.wav2vec import VoiceEncoder
from inference.engine.encoders.wav2vec_keys import Wav2VecConfig, strip_prefix, voice_source
from inference.engine.errors import EngineError
from inference.engine.offload import ALL_RESIDENT, BlockHomes, BlockPlacement


@dataclass(frozen=True, slots=True)
class Components:
    """Everything that a pipeline needs."""

    dit: MultiTalkDiT
    text: TextEncoder
    clip: ClipEncoder
    vae: VideoAutoencoder
    voice: VoiceEncoder


def load_dit(
    store: TensorStore,
    settings: Mapping[str, object],
    *,
    home: Home,
    placement: BlockPlacement = ALL_RESIDENT,
    loras: Sequence[Lora] = (),
    on_bytes: OnBytes | None = None,
) -> tuple[MultiTalkDiT, LoadReport]:
    """Load the transformer; `placement` says where its last blocks are."""
    config = DitConfig.from_checkpoint(store.shapes, settings)
    with torch.device("meta"):
        model = MultiTalkDiT(config).eval()
    homes = BlockHomes(model.blocks, home, placement)
    adjust = partial(merge_all, loras) if loras else None
    report = fill("transformer", model, store, home=homes.of, adjust=adjust, on_bytes=on_bytes)
    model.blocks = homes.streamed()
    return model, report


def load_text(
    store: TensorStore, tokenizer: Tokenizer, text_len: int, *, home: Home, on_bytes: OnBytes | None = None
) -> tuple[TextEncoder, LoadReport]:
    """Load the prompt encoder."""
    with torch.device("meta"):
        model = build_text_encoder(store.shapes)
    report = fill("text encoder", model, store, name_map=text_source, home=lambda _: home, on_bytes=on_bytes)
    encoder: Any = model.encoder
    encoder.embed_tokens = model.shared  # one table, as in the checkpoint
    return TextEncoder(model, tokenizer, text_len), report


def load_clip(
    store: TensorStore, *, home: Home, heads: int = clip_encoder.HEADS, on_bytes: OnBytes | None = None
) -> tuple[ClipEncoder, LoadReport]:
    """Load the picture encoder."""
    with torch.device("meta"):
        model = build_clip(store.shapes, heads)
    unused = partial(clip_encoder.is_unused, store.shapes)
    report = fill(
        "picture encoder", model, store, name_map=clip_source, ignored=unused, home=lambda _: home, on_bytes=on_bytes
    )
    embeddings: Any = model.embeddings
    count = embeddings.position_ids.shape[-1]
    embeddings.position_ids = torch.arange(count, device=home.device)[None]  # a buffer, in no checkpoint
    return ClipEncoder(model), report


def load_vae(store: TensorStore, *, home: Home, on_bytes: OnBytes | None = None) -> tuple[VideoAutoencoder, LoadReport]:
    """Load the video autoencoder."""
    with torch.device("meta"):
        model = build_vae(store.shapes)
    name_map = partial(vae_source, VaeSizes.from_shapes(store.shapes).blocks_per_stage)
    report = fill("video autoencoder", model, store, name_map=name_map, home=lambda _: home, on_bytes=on_bytes)
    return VideoAutoencoder(model), report


def load_voice(
    store: TensorStore, settings: Mapping[str, object], *, home: Home, on_bytes: OnBytes | None = None
) -> tuple[VoiceEncoder, LoadReport]:
    """Load the voice encoder."""
    config = Wav2VecConfig.from_checkpoint(strip_prefix(store.shapes), settings)
    with torch.device("meta"):
        model = VoiceEncoder(config).eval()
    name_map = partial(voice_source, store.shapes)
    report = fill(
        "voice encoder", model, store, name_map=name_map, ignored=wav2vec_keys.is_unused, home=lambda _: home,
        on_bytes=on_bytes,
    )  # fmt: skip
    return model, report


def check_fit(parts: Components) -> None:
    """Refuse networks that were not made for each other, all mismatches in one sentence."""
    dit, voice = parts.dit.config, parts.voice.config
    text: Any = parts.text.model
    picture_dim = int(parts.clip.model.config.hidden_size)
    channels = int(parts.vae.model.config.z_dim)
    pairs = (
        ("voice features (layers x width)", voice.layers * voice.dim, dit.audio.features),
        ("prompt width", int(text.config.d_model), dit.text_dim),
        ("picture features", picture_dim, dit.image_dim),
        ("latent channels", channels, dit.out_channels),
        ("transformer input channels", 2 * channels + 4, dit.in_channels),
    )
    wrong = [f"{what} {has}, the transformer expects {wants}" for what, has, wants in pairs if has != wants]
    if wrong:
        raise EngineError(f"joining the models: {'; '.join(wrong)}. Sync models that belong together")


def module_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters."""
    return sum(parameter.nbytes for parameter in module.parameters())
