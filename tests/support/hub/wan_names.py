"""Names and scaled-down shapes of the tensors that a MultiTalk model set consists of.

The names are the official ones: 1,303 of Wan2.1-I2V-14B, 330 audio tensors of MultiTalk, 242 of the umT5 encoder; the
widths are shrunk so that a whole set is a few megabytes. The video model's tensors fit each other, but for the text
and image widths, which are arbitrary here; the other checkpoints carry a few characteristic tensors only.
"""

from __future__ import annotations

Shapes = dict[str, tuple[int, ...]]

BLOCKS = 40
DIM = 48
FFN = 96
_FREQ, _TEXT, _IMAGE, _IN, _OUT = 256, 64, 64, 36, 16
_AUDIO, _AUDIO_HIDDEN = 32, 16


def base_shapes() -> Shapes:
    """Tensors of the video model without audio."""
    shapes: Shapes = {
        **_linear("text_embedding.0", DIM, _TEXT),
        **_linear("text_embedding.2", DIM, DIM),
        **_linear("time_embedding.0", DIM, _FREQ),
        **_linear("time_embedding.2", DIM, DIM),
        **_linear("time_projection.1", 6 * DIM, DIM),
        "patch_embedding.weight": (DIM, _IN, 1, 2, 2),
        "patch_embedding.bias": (DIM,),
    }
    for block in range(BLOCKS):
        shapes |= _block(f"blocks.{block}")
    shapes |= {"head.modulation": (1, 2, DIM), **_linear("head.head", _OUT * 4, DIM)}
    shapes |= {**_norm("img_emb.proj.0", _IMAGE), **_linear("img_emb.proj.1", _IMAGE, _IMAGE)}
    return shapes | _linear("img_emb.proj.3", DIM, _IMAGE) | _norm("img_emb.proj.4", DIM)


def audio_shapes() -> Shapes:
    """Tensors that MultiTalk adds: one cross attention per block and the audio projection."""
    shapes: Shapes = {}
    for block in range(BLOCKS):
        at = f"blocks.{block}"
        shapes |= _linear(f"{at}.audio_cross_attn.q_linear", DIM, DIM)
        shapes |= _linear(f"{at}.audio_cross_attn.kv_linear", 2 * DIM, _AUDIO)
        shapes |= _linear(f"{at}.audio_cross_attn.proj", DIM, DIM) | _norm(f"{at}.norm_x", DIM)
    shapes |= _linear("audio_proj.proj1", _AUDIO_HIDDEN, 5 * 12 * _AUDIO)
    shapes |= _linear("audio_proj.proj1_vf", _AUDIO_HIDDEN, 8 * 12 * _AUDIO)
    shapes |= _linear("audio_proj.proj2", _AUDIO_HIDDEN, _AUDIO_HIDDEN)
    return shapes | _linear("audio_proj.proj3", 32 * _AUDIO, _AUDIO_HIDDEN) | _norm("audio_proj.norm", _AUDIO)


def t5_shapes(dim: int = 64, ffn: int = 160, vocabulary: int = 4096) -> Shapes:
    """Tensors of the umT5 encoder."""
    shapes: Shapes = {"token_embedding.weight": (vocabulary, dim)}
    for block in range(24):
        at = f"blocks.{block}"
        shapes |= {f"{at}.norm1.weight": (dim,), f"{at}.norm2.weight": (dim,)}
        shapes |= {f"{at}.attn.{part}.weight": (dim, dim) for part in "qkvo"}
        shapes |= {f"{at}.ffn.gate.0.weight": (ffn, dim), f"{at}.ffn.fc1.weight": (ffn, dim)}
        shapes |= {f"{at}.ffn.fc2.weight": (dim, ffn), f"{at}.pos_embedding.embedding.weight": (32, 64)}
    return shapes | {"norm.weight": (dim,)}


def clip_shapes(dim: int = 96, layers: int = 4) -> Shapes:
    """A few tensors of the image encoder."""
    shapes: Shapes = {"visual.patch_embedding.weight": (dim, 3, 14, 14), "visual.cls_embedding": (1, 1, dim)}
    for layer in range(layers):
        at = f"visual.transformer.{layer}"
        shapes |= _linear(f"{at}.attn.to_qkv", 3 * dim, dim) | _linear(f"{at}.attn.proj", dim, dim)
        shapes |= _linear(f"{at}.mlp.0", 4 * dim, dim) | _linear(f"{at}.mlp.2", dim, 4 * dim)
    return shapes


def vae_shapes(dim: int = 24) -> Shapes:
    """A few tensors of the video autoencoder."""
    shapes: Shapes = {"encoder.conv1.weight": (dim, 3, 3, 3, 3), "decoder.head.2.weight": (3, dim, 3, 3, 3)}
    for side in ("encoder", "decoder"):
        shapes |= {f"{side}.middle.{at}.residual.2.weight": (2 * dim, 2 * dim, 3, 3, 3) for at in (0, 2)}
    return shapes


def wav2vec_shapes(dim: int = 64, layers: int = 12) -> Shapes:
    """Tensors of the speech encoder's transformer layers."""
    shapes: Shapes = {"wav2vec2.masked_spec_embed": (dim,)}
    for layer in range(layers):
        at = f"wav2vec2.encoder.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{at}.attention.{part}", dim, dim)
        shapes |= _linear(f"{at}.feed_forward.intermediate_dense", 4 * dim, dim)
        shapes |= _linear(f"{at}.feed_forward.output_dense", dim, 4 * dim)
    return shapes


def _block(at: str) -> Shapes:
    shapes: Shapes = {f"{at}.modulation": (1, 6, DIM)}
    for part in ("self_attn", "cross_attn"):
        for name in "qkvo":
            shapes |= _linear(f"{at}.{part}.{name}", DIM, DIM)
        shapes |= {f"{at}.{part}.norm_q.weight": (DIM,), f"{at}.{part}.norm_k.weight": (DIM,)}
    for name in ("k_img", "v_img"):
        shapes |= _linear(f"{at}.cross_attn.{name}", DIM, DIM)
    shapes |= {f"{at}.cross_attn.norm_k_img.weight": (DIM,)} | _norm(f"{at}.norm3", DIM)
    return shapes | _linear(f"{at}.ffn.0", FFN, DIM) | _linear(f"{at}.ffn.2", DIM, FFN)


def _linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}
