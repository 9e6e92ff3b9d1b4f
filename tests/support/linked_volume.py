"""Two models joined by links on a volume that was complete, commands to run on it, and ways to damage it."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.crash import Nursery
from support.hub import LocalHub
from support.sync import manifest, model, tree

KIB = 1 << 10
INDEX = "diffusion_pytorch_model.safetensors.index.json"
AUDIO = "multitalk.safetensors"
BASE = {
    "config.json": b'{"dim": 64}\n',
    "shard-1.safetensors": random.Random(1).randbytes(300 * KIB),
    "shard-2.safetensors": random.Random(2).randbytes(200 * KIB),
    INDEX: b'{"weight_map": {"a": "shard-1.safetensors"}}\n',
}
ADDON = {AUDIO: random.Random(3).randbytes(100 * KIB), INDEX: b'{"weight_map": {"a": "x", "audio": "y"}}\n'}
LINKS = [{"file": AUDIO, "at": f"base/{AUDIO}"}, {"file": INDEX, "at": f"base/{INDEX}"}]
BASE_MODEL = model("base", "owner/base")
ADDON_MODEL = model("addon", "owner/addon", links=LINKS)
SPEC = manifest(BASE_MODEL, ADDON_MODEL)
SHARD = "base/shard-1.safetensors"
WHOLE = {
    **{f"base/{path}": content for path, content in BASE.items()},
    f"base/{INDEX}_old": BASE[INDEX],
    **{f"addon/{path}": content for path, content in ADDON.items()},
    f"base/{AUDIO}": ADDON[AUDIO],
    f"base/{INDEX}": ADDON[INDEX],
}


@dataclass(frozen=True)
class LinkedVolume:
    """A volume that was complete, the hub it came from, and commands to run on it."""

    volume: Path
    hub: LocalHub
    nursery: Nursery

    def sync(self, spec: Any = SPEC, *arguments: str, code: int = 0) -> str:
        return self._run("sync", spec, arguments, code)

    def verify(self, *arguments: str, code: int, spec: Any = SPEC) -> str:
        return self._run("verify", spec, arguments, code)

    def _run(self, verb: str, spec: Any, arguments: tuple[str, ...], code: int) -> str:
        self.hub.reset_log()
        run = self.nursery.run(verb, spec, self.volume, *arguments)
        assert run.wait() == code, run.output
        assert "Traceback" not in run.output
        return run.output

    def repaired(self, *paths: str, deep: bool = False) -> str:
        """Sync; exactly the files ``paths`` are fetched, and every other one is left as it is."""
        others = {path: self.state(path) for path in WHOLE if path not in paths}
        output = self.sync(SPEC, *(["--verify", "deep"] if deep else []))
        assert self.hub.bytes_sent == sum(len(WHOLE[path]) for path in paths)
        assert {path: self.state(path) for path in others} == others
        assert self.whole()
        self.verify("--deep", code=0)
        return output

    def whole(self) -> bool:
        found = tree(self.volume)
        return {path: found.get(path) for path in WHOLE} == WHOLE

    def state(self, path: str) -> tuple[int, int] | None:
        try:
            state = (self.volume / path).lstat()
        except FileNotFoundError:
            return None
        return state.st_ino, state.st_mtime_ns

    def receipts(self) -> list[Path]:
        return sorted((self.volume / ".modelcache/receipts").iterdir())


def keeping_mtime(change: Callable[[Path], None]) -> Callable[[Path], None]:
    def changed(path: Path) -> None:
        state = path.stat()
        change(path)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    return changed


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty_out(path: Path) -> None:
    os.truncate(path, 0)


def hollow(path: Path) -> None:
    size = path.stat().st_size
    os.truncate(path, 0)
    os.truncate(path, size)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"\0")


def flip(path: Path, at: float = 0.5) -> None:
    """Another bit in the byte at this share of the file."""
    with path.open("r+b") as file:
        position = int((path.stat().st_size - 1) * at)
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 4]))


def zero(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
