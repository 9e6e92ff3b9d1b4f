"""Settings of one repository: the optional file ``repo.json`` in its folder.

Format, every key optional::

    {"gated": false, "private": false, "token": "hf_x", "lfs_threshold": 10485760, "lfs_globs": ["*.safetensors"],
     "refs": {"main": "commits/3f2a...", "refs/pr/1": "pr-folder"}}

``refs`` values are folders relative to the repository's own. An unknown key is an error: a typing mistake in a fixture
must not turn into a repository that is open to everybody.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

FILE_NAME = "repo.json"
# What the hub's default .gitattributes sends to LFS, as far as model repositories use it.
DEFAULT_LFS_GLOBS = (
    "*.bin",
    "*.ckpt",
    "*.h5",
    "*.model",
    "*.msgpack",
    "*.onnx",
    "*.pt",
    "*.pth",
    "*.safetensors",
    "*.tar",
    "*.zip",
)
# The hub refuses larger files outside of LFS.
DEFAULT_LFS_THRESHOLD = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RepoSettings:
    """Who may read a repository, which of its files are in LFS and where its revisions lie."""

    gated: bool = False
    private: bool = False
    token: str | None = None
    lfs_threshold: int = DEFAULT_LFS_THRESHOLD
    lfs_globs: tuple[str, ...] = DEFAULT_LFS_GLOBS
    refs: dict[str, str] = field(default_factory=dict)


def read_settings(folder: Path) -> RepoSettings:
    file = folder / FILE_NAME
    try:
        raw = json.loads(file.read_text())
    except FileNotFoundError:
        return RepoSettings()
    known = {one.name for one in fields(RepoSettings)}
    if unknown := sorted(set(raw) - known):
        raise ValueError(f"reading {file}: unknown key {unknown[0]!r}. Known keys: {', '.join(sorted(known))}")
    if "lfs_globs" in raw:
        raw["lfs_globs"] = tuple(raw["lfs_globs"])
    return RepoSettings(**raw)


def write_settings(folder: Path, settings: RepoSettings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"{FILE_NAME}.new"
    temporary.write_text(json.dumps(asdict(settings), indent=2) + "\n")
    temporary.replace(folder / FILE_NAME)
