"""A hub to fill, and a volume on a file system with quirks to sync it to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.crash import Nursery
from support.hub import LocalHub, RepoBuilder
from support.outages import content
from support.quirks import Quirks

GIB = 1 << 30
PLAIN = Quirks()
WEIGHTS = content(300_000)
FILES = {"config.json": b"{}\n", "text/vocab.json": b"[]\n", "weights.safetensors": WEIGHTS}
SIZE = sum(map(len, FILES.values()))
Json = dict[str, Any]
Quirky = Callable[[Quirks], Path]


@dataclass(frozen=True)
class Desk:
    """A hub to fill, and commands to run."""

    hub: LocalHub
    nursery: Nursery
    root: Path

    def offer(self, repo: str, files: Mapping[str, bytes]) -> None:
        RepoBuilder(self.root, f"owner/{repo}").commit(dict(files))

    def sync(self, spec: Json, volume: Path, *arguments: str) -> tuple[int, str, Json]:
        """Exit code, output and report."""
        self.hub.reset_log()
        report = volume.with_name("report.json")
        run = self.nursery.run("sync", spec, volume, "--report", str(report), *arguments)
        assert "Traceback" not in run.output
        return run.wait(), run.output, json.loads(report.read_text())

    def verify(self, spec: Json, volume: Path) -> int:
        return self.nursery.run("verify", spec, volume, "--deep").wait()

    def refused(self, spec: Json, volume: Path, reason: str, *words: str) -> None:
        """With exit code 2, in one line, before a byte was sent; and nobody calls it complete."""
        code, output, report = self.sync(spec, volume)
        assert code == 2, output
        line = output.splitlines()[-1]
        assert line.startswith(f"init-sync: error: {reason}: ")
        assert [word for word in words if word not in line] == [], line
        assert self.hub.bytes_sent == 0
        assert reason in {model["reason"] for model in report["models"]}
        assert report["complete"] is False
        assert self.verify(spec, volume) == 1

    def completes(self, spec: Json, volume: Path, wanted: Mapping[str, bytes]) -> None:
        """At once, with the right content; what follows hashes each file once at most, and then none."""
        code, output, _ = self.sync(spec, volume)
        assert code == 0, output
        assert {path: (volume / path).read_bytes() for path in wanted} == wanted
        assert self.verify(spec, volume) == 0
        for most in (sum(map(len, wanted.values())), 0):
            code, output, report = self.sync(spec, volume)
            assert "All models already complete!" in output.splitlines()
            assert self.hub.count() == 0
            assert report["bytesVerified"] <= most
