"""How version 0.1.0 wrote and read receipts, kept as it was: what this version writes must be read by that one.

``read_receipt`` and ``is_unchanged`` are those of 0.1.0 but for their arguments; of a model whose files are all
unchanged it hashed nothing and asked no hub. ``downgrade`` makes of a volume's receipts what 0.1.0 would have written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

KEYS = (
    *("format", "model", "path", "repo", "revision", "requirement", "commits", "chosen", "verifiedAt", "files"),
    "links",
)
FILE_KEYS = ("path", "size", "mtimeNs", "id", "blocks")


class OldFile(NamedTuple):
    """A file of a receipt."""

    path: str
    size: int
    mtime_ns: int
    content_id: str
    blocks: int


def read_receipt(path: Path) -> tuple[str, tuple[OldFile, ...]] | None:
    """The requirement and the files; None for what 0.1.0 took for no receipt."""
    try:
        data = json.loads(path.read_text())
        check = data.pop("check")
        if check != _check(data) or data["format"] != 1 or data["revision"] not in data["commits"] or not data["files"]:
            return None
        for link in data["links"]:
            str(link["at"]), str(link["target"]), str(link["kind"]), int(link["mtimeNs"]), str(link["text"])
        for key in ("model", "path", "repo", "verifiedAt"):
            str(data[key])
        dict(data["chosen"])
        return str(data["requirement"]), tuple(_file(each) for each in data["files"])
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return None


def _file(data: Mapping[str, Any]) -> OldFile:
    return OldFile(
        path=str(data["path"]),
        size=int(data["size"]),
        mtime_ns=int(data["mtimeNs"]),
        content_id=str(data["id"]),
        blocks=int(data["blocks"]),
    )


def is_unchanged(volume: Path, file: OldFile) -> bool:
    state = os.stat(volume / file.path)
    return state.st_size == file.size and state.st_mtime_ns == file.mtime_ns and not state.st_blocks < file.blocks // 2


def downgrade(volume: Path) -> None:
    """Receipts as 0.1.0 wrote them, with the times of their files kept."""
    for path in (volume / ".modelcache/receipts").iterdir():
        state = path.stat()
        data = json.loads(path.read_text())
        old = {key: data[key] for key in KEYS}
        old["files"] = [{key: each[key] for key in FILE_KEYS} for each in data["files"]]
        path.write_text(json.dumps({**old, "check": _check(old)}, ensure_ascii=False, indent=1))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def _check(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:32]
