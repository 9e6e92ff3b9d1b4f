"""Checkpoints that people have and this engine does not read: told from what lies there, with what to take instead.

Pure but for the listing of a folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from inference.multitalk import SINGLE_FILE

_OFFICIAL = "take the official files (Wan-AI/Wan2.1-I2V-14B-480P in its original layout)"
_FILES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r".*\.gguf"), f"a GGUF file, which is not read; {_OFFICIAL}"),
    (re.compile(r"(?:quantization|dit_model|t5|quant_model)_?map.*\.json|.*(?:int8|fp8)_FusionX\.safetensors"),
     f"files that optimum-quanto made, which are not read; {_OFFICIAL}"),
    (re.compile(r"(?:single|multi)/"),
     "one of the two folders of MeiGen-AI/InfiniteTalk; name it as the directory of the weights (--audio-dir)"),
    (re.compile(r"infinitetalk.+\.safetensors"),
     "weights of InfiniteTalk in another form; take infinitetalk.safetensors of MeiGen-AI/InfiniteTalk"),
    (re.compile(r"model_index\.json|transformer/"), f"a model in diffusers' layout, which is not read; {_OFFICIAL}"),
    (re.compile(r"(?!diffusion_pytorch_model|multitalk\.|infinitetalk\.).*\.safetensors"),
     f"a file of another name. If it is all of the transformer, call it {SINGLE_FILE}; else {_OFFICIAL}"),
)  # fmt: skip
_PREFIX = re.compile(r"(?:model\.)?diffusion_model\.|transformer\.|module\.|_orig_mod\.")
_QUANTISED = (".weight._data", ".weight._scale", ".weight_qtype", ".scale_weight", ".input_scale", ".output_scale")


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
    if any(name.endswith(_QUANTISED) for name in names):
        return f"its tensors are quantised, which is not read; {_OFFICIAL}"
    if any("condition_embedder." in name for name in names):
        return f"its tensors have diffusers' names, which are not read; {_OFFICIAL}"
    prefixed = next((found.group() for name in sorted(names) if (found := _PREFIX.match(name))), None)
    if prefixed:
        return f"its tensors have names that begin with {prefixed}, as a merge tool writes them; {_OFFICIAL}"
    return None
