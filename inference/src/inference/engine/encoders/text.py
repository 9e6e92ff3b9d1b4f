"""The prompt: cleaning, tokenising and the umT5 encoder.

The encoder is transformers' `UMT5EncoderModel`; the official names are renamed. Sizes come from the checkpoint's
shapes. Contexts are cut to the prompt's true length; the transformer pads them again.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import ftfy
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import UMT5Config, UMT5EncoderModel

from inference.engine.checkpoint.store import Shape
from inference.engine.checkpoint.streaming import Source
from inference.engine.dit.config import count_blocks
from inference.engine.errors import CheckpointError

PAD_ID = 0
MAX_DISTANCE = 128
RENAMES = {
    "SelfAttention.relative_attention_bias": "pos_embedding.embedding",
    "SelfAttention.": "attn.",
    "DenseReluDense.wi_0": "ffn.gate.0",
    "DenseReluDense.wi_1": "ffn.fc1",
    "DenseReluDense.wo": "ffn.fc2",
}


def clean(prompt: str) -> str:
    """Repair encoding accidents, resolve HTML entities, and join runs of white space."""
    resolved = html.unescape(html.unescape(ftfy.fix_text(prompt)))
    return re.sub(r"\s+", " ", resolved).strip()


def build_text_encoder(shapes: Mapping[str, Shape]) -> nn.Module:
    """Make the encoder of a checkpoint's sizes, on whatever device is the default now."""
    for name in ("token_embedding.weight", "blocks.0.attn.q.weight", "blocks.0.pos_embedding.embedding.weight"):
        if name not in shapes:
            raise CheckpointError(f"reading the text encoder's sizes: tensor {name} is missing")
    vocabulary, dim = shapes["token_embedding.weight"]
    buckets, heads = shapes["blocks.0.pos_embedding.embedding.weight"]
    config = UMT5Config(
        vocab_size=vocabulary,
        d_model=dim,
        d_kv=shapes["blocks.0.attn.q.weight"][0] // heads,
        d_ff=shapes["blocks.0.ffn.fc1.weight"][0],
        num_layers=count_blocks(shapes, "blocks."),
        num_heads=heads,
        relative_attention_num_buckets=buckets,
        relative_attention_max_distance=MAX_DISTANCE,
        feed_forward_proj="gated-gelu",
        layer_norm_epsilon=1e-6,
        dropout_rate=0.0,
    )
    model: nn.Module = UMT5EncoderModel(config)
    return model.eval()


def text_source(target: str) -> Source:
    """Find the official name of one of the encoder's parameters."""
    if target in ("shared.weight", "encoder.embed_tokens.weight"):
        return Source("token_embedding.weight")
    if target == "encoder.final_layer_norm.weight":
        return Source("norm.weight")
    # encoder.block.BLOCK.layer.{0: attention, 1: feed-forward}.REST
    _, _, block, _, part, rest = target.split(".", 5)
    rest = rest.replace("layer_norm", "norm1" if part == "0" else "norm2")
    for theirs, official in RENAMES.items():
        rest = rest.replace(theirs, official)
    return Source(f"blocks.{block}.{rest}")


class TextEncoder:
    """Prompts to contexts."""

    def __init__(self, model: nn.Module, tokenizer: Tokenizer, text_len: int) -> None:
        self.model = model
        self._tokenizer = tokenizer
        tokenizer.enable_truncation(max_length=text_len)
        tokenizer.enable_padding(length=text_len, pad_id=PAD_ID)

    def tokenize(self, prompts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Clean and tokenise; ids and mask, `[prompts, text_len]`."""
        encodings = self._tokenizer.encode_batch([clean(prompt) for prompt in prompts])
        ids = torch.tensor([encoding.ids for encoding in encodings])
        mask = torch.tensor([encoding.attention_mask for encoding in encodings])
        return ids, mask

    @torch.inference_mode()
    def encode_ids(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """Encode token ids; one context `[true length, dim]` per row."""
        device = next(self.model.parameters()).device
        hidden = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state
        lengths = mask.sum(1).tolist()
        return [row[:length] for row, length in zip(hidden, lengths, strict=True)]

    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """Encode prompts in one batch."""
        return self.encode_ids(*self.tokenize(prompts))


def read_tokenizer(path: Path, vocabulary: int) -> Tokenizer:
    """Read tokenizer.json and check that its ids fit the embedding."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as e:  # the library raises bare Exception for a damaged file
        raise CheckpointError(f"reading {path.name}: {str(e)[:200]}. Fetch the file again") from e
    if tokenizer.get_vocab_size() > vocabulary:
        raise CheckpointError(
            f"reading {path.name}: {tokenizer.get_vocab_size()} tokens, the text encoder knows {vocabulary}"
        )
    return tokenizer
