"""What the keys of a LoRA file say, in the dialects of its trainers. Pure: names and shapes alone.

The same pair for `blocks.0.self_attn.q.weight`:

    diffusion_model.blocks.0.self_attn.q.lora_down.weight   .lora_up.weight   .alpha    the official code, lightx2v
    diffusion_model.blocks.0.self_attn.q.lora_A.weight      .lora_B.weight              PEFT, diffusion-pipe, ai-toolkit
    lora_unet_blocks_0_self_attn_q.lora_down.weight         .lora_up.weight   .alpha    kohya, musubi
    transformer.blocks.0.attn1.to_q.lora_A.weight           .lora_B.weight              diffusers

Prefixes and suffixes can be mixed. Beside the pairs there are additions as they are: `.diff` to the weight, `.diff_b`
to the bias, `.diff_m` to the modulation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from inference.engine.checkpoint.store import Shape

Role = Literal["down", "up", "up_bias", "alpha", "weight", "bias", "modulation"]

_PREFIX = re.compile(
    r"(?:base_model\.model\.|model\.diffusion_model\.|diffusion_model\.|transformer\.|pipe\.dit\.|dit\.|model\."
    r"|lora_unet_|lora_transformer_)*"
)
_ADAPTER = r"(?:\.[\w-]+)?"  # PEFT writes the name of the adapter there, such as .default
_SUFFIXES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("down", re.compile(rf"\.lora_down\.weight|\.lora_A{_ADAPTER}\.weight|[._]lora\.down\.weight")),
    ("up", re.compile(rf"\.lora_up\.weight|\.lora_B{_ADAPTER}\.weight|[._]lora\.up\.weight")),
    ("up_bias", re.compile(rf"\.lora_up\.bias|\.lora_B{_ADAPTER}\.bias")),
    ("alpha", re.compile(r"\.alpha")),
    ("weight", re.compile(r"\.diff")),
    ("bias", re.compile(r"\.diff_b")),
    ("modulation", re.compile(r"\.diff_m")),
)
_OTHER_METHODS = {
    "DoRA": re.compile(r"\.dora_scale$|\.lora_magnitude_vector\b"),
    "LoHa": re.compile(r"\.hada_"),
    "LoKr": re.compile(r"\.lokr_"),
    "OFT": re.compile(r"\.b?oft_"),
    "LoCon with a middle tensor": re.compile(r"\.lora_mid\."),
}
_OTHER_MODELS = re.compile(r"(?:lora_te\d?|text_encoder\d?|te\d?|clip_[lg])[._]")
"""Trainers can write the text encoder's changes into the same file."""

_DIFFUSERS = (
    (r"\.self_attn\.", ".attn1."),
    (r"\.cross_attn\.", ".attn2."),
    (r"\.([qkv])$", r".to_\1"),
    (r"\.o$", ".to_out.0"),
    (r"\.([kv])_img$", r".add_\1_proj"),
    (r"\.norm_k_img$", ".norm_added_k"),
    (r"(blocks\.\d+\.)ffn\.0$", r"\1ffn.net.0.proj"),
    (r"(blocks\.\d+\.)ffn\.2$", r"\1ffn.net.2"),
    (r"(blocks\.\d+\.)norm3$", r"\1norm2"),
    (r"^(text|time)_embedding\.0$", r"condition_embedder.\1_embedder.linear_1"),
    (r"^(text|time)_embedding\.2$", r"condition_embedder.\1_embedder.linear_2"),
    (r"^time_projection\.1$", "condition_embedder.time_proj"),
    (r"^img_emb\.proj\.0$", "condition_embedder.image_embedder.norm1"),
    (r"^img_emb\.proj\.1$", "condition_embedder.image_embedder.ff.net.0.proj"),
    (r"^img_emb\.proj\.3$", "condition_embedder.image_embedder.ff.net.2"),
    (r"^img_emb\.proj\.4$", "condition_embedder.image_embedder.norm2"),
    (r"^head\.head$", "proj_out"),
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key that was understood: the module that it changes, as the file calls it, and how."""

    text: str
    module: str
    role: Role


@dataclass(frozen=True, slots=True)
class Keys:
    """All keys of a file, sorted out."""

    understood: tuple[Key, ...]
    other_methods: Mapping[str, tuple[str, ...]]
    """Keys of methods that are not plain LoRA, by the method's name."""
    other_models: tuple[str, ...]
    unknown: tuple[str, ...]


def sort_keys(keys: Iterable[str]) -> Keys:
    """Tell each key's meaning from its text."""
    understood, other_models, unknown = [], [], []
    other_methods: dict[str, tuple[str, ...]] = {}
    for text in sorted(keys):
        method = next((name for name, pattern in _OTHER_METHODS.items() if pattern.search(text)), None)
        if method:
            other_methods[method] = (*other_methods.get(method, ()), text)
        elif _OTHER_MODELS.match(text):
            other_models.append(text)
        elif key := _understand(text):
            understood.append(key)
        else:
            unknown.append(text)
    return Keys(tuple(understood), other_methods, tuple(other_models), tuple(unknown))


def _understand(text: str) -> Key | None:
    for role, pattern in _SUFFIXES:
        found = next((match for match in pattern.finditer(text) if match.end() == len(text)), None)
        if found:
            module = text[: found.start()]
            return Key(text, module[len(_prefix(module)) :], role)
    return None


def _prefix(module: str) -> str:
    found = _PREFIX.match(module)
    return found.group() if found else ""


def module_names(parameters: Iterable[str]) -> dict[str, str]:
    """The model's own name of each module, by every name that a file may have for it."""
    names: dict[str, str] = {}
    modules = {name.removesuffix(".weight").removesuffix(".bias").removesuffix(".modulation") for name in parameters}
    for module in sorted(modules):
        for name in (module, _diffusers_name(module)):
            names[name] = names[name.replace(".", "_")] = module
    return names


def _diffusers_name(module: str) -> str:
    for pattern, there in _DIFFUSERS:
        module = re.sub(pattern, there, module)
    return module


def parameter_of(module: str, role: Role) -> str:
    """The parameter that a key changes."""
    match role:
        case "bias" | "up_bias":
            return f"{module}.bias"
        case "modulation":
            return f"{module}.modulation"
        case _:
            return f"{module}.weight"


def pair_shape(up: Shape, down: Shape, target: Shape) -> Shape:
    """Shape of a pair's product; that of a convolution has its inputs in one dimension, and fits all the same."""
    product = (up[0], math.prod(down[1:])) if up and down else ()
    return target if len(target) > 2 and product == (target[0], math.prod(target[1:])) else product
