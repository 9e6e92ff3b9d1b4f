"""Checkpoints that people have and this engine does not read: told from what lies there, with what to take instead.

Pure but for the listing of a folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from inference.multitalk import SINGLE_FILE

_OFFICIAL = "take the official files (Wan-AI/Wan2.1-I2V-14B-480P in its original layout)"
_QUANTO_CURE = f"{_OFFICIAL}, with multitalk.safetensors or infinitetalk.safetensors"
_FILES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r".*\.gguf"), f"a GGUF file, which is not read; {_OFFICIAL}"),
    (re.compile(r"(?:quantization|dit_model|t5|quant_model)_?map.*\.json"
                r"|(?:dit_model|quant_model|t5|infinitetalk_(?:single|multi))_(?:int8|fp8)\w*\.(?:safetensors|json)"),
     f"a file that optimum-quanto made, which is not read; {_QUANTO_CURE}"),
    (re.compile(r"(?:single|multi)/"),
     "one of the two folders of MeiGen-AI/InfiniteTalk; name it as the directory of the weights (--audio-dir)"),
    (re.compile(r"infinitetalk.+\.safetensors"),
     "weights of InfiniteTalk in another form; take infinitetalk.safetensors of MeiGen-AI/InfiniteTalk"),
    (re.compile(r"quant_models/"), f"a folder of files that optimum-quanto made, which are not read; {_QUANTO_CURE}"),
    (re.compile(r"model_index\.json|transformer/"), f"a model in diffusers' layout, which is not read; {_OFFICIAL}"),
    (re.compile(r"(?!diffusion_pytorch_model|multitalk\.|infinitetalk\.).*\.safetensors"),
     f"a file of another name. If it is all of the transformer, call it {SINGLE_FILE}; else {_OFFICIAL}"),
)  # fmt: skip
_PREFIX = re.compile(r"(?:model\.)?diffusion_model\.|transformer\.|module\.|_orig_mod\.")
_QUANTO = (".weight._data", ".weight._scale", ".weight._shift")
"""Of a frozen linear layer: int8 and fp8 have data and one scale for each row, int4 has a shift too."""
_SCALED = (
    ".scale_weight", ".scale_input", ".weight_scale", ".input_scale", ".output_scale", ".weight_qtype", ".comfy_quant",
    ".absmax",
)  # fmt: skip
"""Of fp8 with scales as ComfyUI and others have it, of bitsandbytes."""


def unusable(folder: Path) -> str | None:
    """What a folder holds instead of the files that were looked for."""
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.glob("*"))
    for pattern, text in _FILES:
        found = next((name for name in names if pattern.fullmatch(name)), None)
        if found:
            return f"{found}: {text}"
    return None


def foreign_names(names: Collection[str]) -> str | None:
    """Why the tensors of a transformer have none of the expected names."""
    if any(name.endswith(_QUANTO) for name in names):
        return f"its tensors were quantised by optimum-quanto, which is not read; {_QUANTO_CURE}"
    if any(name.endswith(_SCALED) for name in names):
        return f"its tensors are quantised, which is not read; {_OFFICIAL}"
    if any("condition_embedder." in name for name in names):
        return f"its tensors have diffusers' names, which are not read; {_OFFICIAL}"
    prefixed = next((found.group() for name in sorted(names) if (found := _PREFIX.match(name))), None)
    if prefixed:
        return f"its tensors have names that begin with {prefixed}, as a merge tool writes them; {_OFFICIAL}"
    return None
