"""Contents of the three MultiTalk repositories in miniature: official file names, real formats, about 30 MB in all.

Pure: file name -> bytes, the same at every call. Weights are noise; texts and tokenizers are fillers of a plausible
form.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

from . import wan_names as names
from .wan_names import Shapes
from .weights import Tensor, noise, safetensors_bytes, torch_bytes

Files = dict[str, bytes]

INDEX = "diffusion_pytorch_model.safetensors.index.json"
AUDIO_WEIGHTS = "multitalk.safetensors"
_SHARDS = 7


def base_files() -> Files:
    """Wan-AI/Wan2.1-I2V-14B-480P."""
    shards = _shards(_tensors(names.base_shapes(), "base"))
    files = {name: safetensors_bytes(tensors) for name, tensors in shards.items()}
    files[INDEX] = _index(shards)
    files["config.json"] = _json(_WAN_CONFIG)
    t5 = _tensors(names.t5_shapes(), "t5", "BF16")
    files["models_t5_umt5-xxl-enc-bf16.pth"] = torch_bytes(t5)
    clip = _tensors(names.clip_shapes(), "clip")
    files["models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"] = torch_bytes(clip)
    files["Wan2.1_VAE.pth"] = torch_bytes(_tensors(names.vae_shapes(), "vae"))
    files |= _tokenizer("google/umt5-xxl", "spiece.model", 450_000, special=True)
    files |= _tokenizer("xlm-roberta-large", "sentencepiece.bpe.model", 500_000, special=False)
    files["xlm-roberta-large/config.json"] = _json({"model_type": "xlm-roberta", "hidden_size": 1024})
    files |= {f"assets/{name}": _filler(name, 40_000) for name in ("logo.png", "i2v_res.png", "video_vae_res.jpg")}
    files["examples/i2v_input.JPG"] = _filler("i2v_input", 250_000)
    return files | _texts("Wan2.1-I2V-14B-480P in miniature")


def wav2vec_files() -> Files:
    """TencentGameMate/chinese-wav2vec2-base at main: no safetensors."""
    tensors = _tensors(names.wav2vec_shapes(), "wav2vec")
    files = {"config.json": _json(_WAV2VEC_CONFIG), "preprocessor_config.json": _json(_PREPROCESSOR_CONFIG)}
    files["pytorch_model.bin"] = torch_bytes(tensors)
    files["chinese-wav2vec2-base-fairseq-ckpt.pt"] = torch_bytes(_tensors(names.wav2vec_shapes(96), "fairseq"))
    return files | _texts("chinese-wav2vec2-base in miniature")


def wav2vec_pull_request_files() -> Files:
    """What refs/pr/1 adds."""
    return {"model.safetensors": safetensors_bytes(_tensors(names.wav2vec_shapes(), "wav2vec"))}


def multitalk_files() -> Files:
    """MeiGen-AI/MeiGen-MultiTalk: audio weights, the index that joins them to the base, and decoys nobody needs."""
    audio = _tensors(names.audio_shapes(), "audio")
    base = _shards(_tensors(names.base_shapes(), "base"))
    files = {AUDIO_WEIGHTS: safetensors_bytes(audio), INDEX: _index({**base, AUDIO_WEIGHTS: audio})}
    for name in ("dit_model_int8", "quant_model_fp8_FusionX", "t5_int8"):
        files[f"quant_models/{name}.safetensors"] = safetensors_bytes({"decoy": noise((256, 512), name)})
    files["quant_models/dit_model_map_int8.json"] = _json({"decoy": {"weights": "qint8", "activations": "none"}})
    return files | _texts("MeiGen-MultiTalk in miniature")


def _tensors(shapes: Shapes, seed: str, dtype: str = "F32") -> dict[str, Tensor]:
    return {name: noise(shape, f"{seed}/{name}", dtype) for name, shape in shapes.items()}


def _shards(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Spread tensors over the official number of shards, in order and about evenly."""
    total = sum(len(tensor.data) for tensor in tensors.values())
    shards: list[dict[str, Tensor]] = [{} for _ in range(_SHARDS)]
    before = 0
    for name, tensor in tensors.items():
        shards[before * _SHARDS // total][name] = tensor
        before += len(tensor.data)
    pattern = "diffusion_pytorch_model-{:05}-of-{:05}.safetensors"
    return {pattern.format(number, _SHARDS): shard for number, shard in enumerate(shards, 1)}


def _index(files: Mapping[str, Mapping[str, Tensor]]) -> bytes:
    total = sum(len(tensor.data) for tensors in files.values() for tensor in tensors.values())
    weight_map = {name: file for file, tensors in files.items() for name in tensors}
    return _json({"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))})


def _tokenizer(folder: str, model: str, size: int, *, special: bool) -> Files:
    vocabulary = {f"\u2581token{number}": number for number in range(8000)}
    files = {model: _filler(model, size), "tokenizer_config.json": _json({"model_max_length": 512})}
    files["tokenizer.json"] = _json({"version": "1.0", "model": {"type": "Unigram", "vocab": vocabulary}})
    if special:
        files["special_tokens_map.json"] = _json({"eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"})
    return {f"{folder}/{name}": content for name, content in files.items()}


def _texts(title: str) -> Files:
    readme = f"---\nlicense: apache-2.0\n---\n# {title}\n\nNoise in the right form, for tests. No model is in here.\n"
    attributes = "*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
    return {"README.md": readme.encode(), ".gitattributes": attributes.encode()}


def _filler(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"


_WAN_CONFIG = {
    "_class_name": "WanModel",
    "_diffusers_version": "0.30.0",
    "dim": names.DIM,
    "eps": 1e-06,
    "ffn_dim": names.FFN,
    "freq_dim": 256,
    "in_dim": 36,
    "model_type": "i2v",
    "num_heads": 4,
    "num_layers": names.BLOCKS,
    "out_dim": 16,
    "text_len": 512,
}
_WAV2VEC_CONFIG = {
    "architectures": ["Wav2Vec2ForPreTraining"],
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "hidden_size": 64,
    "intermediate_size": 256,
    "model_type": "wav2vec2",
    "num_attention_heads": 4,
    "num_hidden_layers": 12,
}
_PREPROCESSOR_CONFIG = {
    "do_normalize": True,
    "feature_extractor_type": "Wav2Vec2FeatureExtractor",
    "feature_size": 1,
    "padding_side": "right",
    "padding_value": 0,
    "return_attention_mask": False,
    "sampling_rate": 16000,
}
