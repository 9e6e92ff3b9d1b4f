"""Where syncs are ended and volumes spoiled: a hub with two models of which one changes, and what is right on a volume.

with laboratory(folder) as lab:
    lab.nursery.start("sync", lab.old.spec, volume, kill_at=17).wait()
    lab.audit(volume, lab.old)        # nothing half-written is taken for whole
    lab.finish(volume, lab.old)       # the next run ends complete, the one after that has nothing to do
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.sync import manifest, model, tree

MIB = 1 << 20
KIB = 1 << 10
PER_CONNECTION_BYTES = 8 * MIB
"""What a kill may cost at most, as the design promises."""

Files = dict[str, bytes]


def noise(seed: str, size: int) -> bytes:
    return random.Random(seed).randbytes(size)


@cache
def first_commit() -> Files:
    twin = noise("twin", 700 * KIB)
    return {
        "config.json": b'{"layers": 2}\n',
        "empty.txt": b"",
        "one.txt": b"1",
        "diffusion/index.json": noise("base index", 5000),
        "diffusion/shard-1.safetensors": noise("shard 1", 12 * MIB + 12345),
        "diffusion/shard-2.safetensors": noise("shard 2", 3 * MIB),
        "twin-a.bin": twin,
        "twin-b.bin": twin,
    }


@cache
def second_commit() -> Files:
    changed = {"diffusion/shard-2.safetensors": noise("shard 2, better", 2 * MIB + 1), "config.json": b"{}\n"}
    return {**first_commit(), **changed, "new.bin": noise("new", 1 * MIB)}


ADDON = {"audio.safetensors": noise("audio", 600 * KIB), "index.json": noise("joined index", 6000)}
LINKS = [
    {"file": "audio.safetensors", "at": "base/diffusion/audio.safetensors"},
    {"file": "index.json", "at": "base/diffusion/index.json"},
]


def on_volume(base: Files) -> Files:
    """Every path on a complete volume, links followed."""
    files = {f"base/{path}": content for path, content in base.items()}
    files["base/diffusion/index.json_old"] = files.pop("base/diffusion/index.json")
    files |= {f"addon/{path}": content for path, content in ADDON.items()}
    return files | {str(link["at"]): ADDON[link["file"]] for link in LINKS}


@dataclass(frozen=True)
class Release:
    """A manifest pinned to one commit, and what a complete volume holds then."""

    spec: Mapping[str, Any]
    files: Files


@dataclass
class Lab:
    """A hub, the process that starts commands, and complete volumes to begin with."""

    hub: LocalHub
    nursery: Nursery
    folder: Path
    old: Release
    new: Release
    golden: Path

    def audit(self, volume: Path, release: Release) -> None:
        """No name holds anything but a whole file, and ``verify`` agrees with the bytes."""
        found = tree(volume)
        for path, content in found.items():
            assert release.files.get(path) == content, f"{path} holds {len(content)} strange bytes"
        outcome = self.nursery.run("verify", release.spec, volume)
        code = outcome.wait()
        assert code in (0, 1), outcome.output
        if code == 0:
            assert {path: found.get(path) for path in release.files} == release.files

    def finish(self, volume: Path, release: Release) -> None:
        """The next run ends complete, and the one after that has nothing to do."""
        last = self.nursery.run("sync", release.spec, volume)
        assert last.wait() == 0, last.output
        found = tree(volume)
        assert {path: found.get(path) for path in release.files} == release.files
        sent, requests = self.hub.bytes_sent, self.hub.count()
        again = self.nursery.run("sync", release.spec, volume)
        assert again.wait() == 0, again.output
        assert "All models already complete!" in again.output.splitlines()
        assert (self.hub.bytes_sent, self.hub.count()) == (sent, requests)
        assert list((volume / ".modelcache/partial").glob("*.part")) == []


def release(commit: str, base: Files) -> Release:
    base_model = model("base", "owner/base", revision=commit)
    return Release(manifest(base_model, model("addon", "owner/addon", links=LINKS)), on_volume(base))


@contextmanager
def laboratory(folder: Path) -> Iterator[Lab]:
    base = RepoBuilder(folder / "hub", "owner/base")
    old = release(base.commit(first_commit()), first_commit())
    new = release(base.commit(second_commit()), second_commit())
    RepoBuilder(folder / "hub", "owner/addon").commit(ADDON)
    # A small send buffer and a rate below what a client reads: what the hub has sent, the client has got.
    with (
        LocalHub(folder / "hub", rate_per_connection=64 * MIB, send_buffer=64 * KIB) as hub,
        Nursery(hub.endpoint, folder) as nursery,
    ):
        golden = folder / "golden"
        golden.mkdir()
        made = Lab(hub, nursery, folder, old, new, golden)
        made.finish(golden, old)
        yield made
