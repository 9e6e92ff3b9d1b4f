"""`make bench-start`: how long a server takes until it is ready, from the models and from their prepared copy.

A synthetic MultiTalk in float32, large enough that reading it is what takes the time, is synced to a volume and
prepared. Then servers start in turns, the copy's receipt moved aside for every other one: from a cold page cache (each
file of the volume is dropped from it before) and from a warm one. On the CPU in bfloat16: what differs is reading and
casting.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.measure import machine
from bench.page import publish
from bench.scenarios import BIN
from inference.multitalk import AUDIO, BASE, WAV2VEC
from multitalk_checkpoint.full_size import RepeatedNoise
from multitalk_checkpoint.tiny import TinySizes, tiny_networks
from multitalk_checkpoint.writing import write_checkpoint
from support.hub import LocalHub, RepoBuilder
from support.sync import manifest, model, run_sync

TITLE = "A faster start"
DIRECTORIES = {"base": BASE, "wav2vec": WAV2VEC, "multitalk": AUDIO}
SPEC = manifest(*(model(name, f"bench/{name}", path=path) for name, path in DIRECTORIES.items()), name="bench")
DIM, HEADS = 2048, 16
READY_WITHIN_S = 600.0


@dataclass(frozen=True, slots=True)
class Start:
    """One server, from its start to the answer that it is ready."""

    ready_s: float
    transformer_s: float
    transformer_bytes: int
    disk_bytes: int
    """What the kernel fetched from the disk for it."""


class Ground:
    """The volume that servers start from."""

    def __init__(self, folder: Path, layers: int) -> None:
        self.volume, self._spec = folder / "volume", folder / "spec.json"
        self._scratch = folder / "scratch"
        self.volume.mkdir()
        self._spec.write_text(json.dumps(SPEC))
        networks = tiny_networks(TinySizes(dim=DIM, heads=HEADS, layers=layers))
        write_checkpoint(folder / "made", networks, RepeatedNoise())
        for name, path in DIRECTORIES.items():
            files = {str(each.relative_to(folder / "made" / path)): each for each in below(folder / "made" / path)}
            RepoBuilder(folder / "hub", f"bench/{name}").commit(files, link=True)
        with LocalHub(folder / "hub") as hub:
            done = run_sync(SPEC, self.volume, hub, timeout=READY_WITHIN_S)
        if done.returncode:
            raise RuntimeError(done.stderr)

    def prepare(self) -> tuple[float, int]:
        """Seconds, and the most memory that it had."""
        began = time.perf_counter()
        process = subprocess.Popen(self._command("prepare"), stdout=subprocess.DEVNULL)
        peak_kib = 0
        while process.poll() is None:  # getrusage would tell our own peak, which a child begins with
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak_kib = max([peak_kib, *map(int, re.findall(r"VmHWM:\s+(\d+)", status))])
            time.sleep(0.02)
        if process.returncode:
            raise RuntimeError("multitalk-server prepare failed")
        return time.perf_counter() - began, peak_kib << 10

    def start(self, prepared: bool, cold: bool) -> Start:
        with self._copy_is_there(prepared):
            os.sync()
            for path in below(self.volume):
                with path.open("rb") as file:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED if cold else os.POSIX_FADV_WILLNEED)
                    while not cold and file.read(1 << 24):
                        pass
            return self._started(prepared)

    def _started(self, prepared: bool) -> Start:
        flags = ["--device", "cpu", "--host", "127.0.0.1", "--port", "0", "--scratch", str(self._scratch)]
        command = [*self._command(), *flags, "--log-format", "json"]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            lines: list[dict[str, object]] = []
            for line in process.stdout:
                lines.append(json.loads(line))
                if lines[-1].get("message") == "loaded":
                    break
            url = next(str(each["url"]) for each in lines if each.get("message") == "listening")
            wait_ready(url)
            ready_s = time.perf_counter() - began
            disk = int(re.findall(r"read_bytes: (\d+)", Path(f"/proc/{process.pid}/io").read_text())[0])
        finally:
            process.terminate()
            process.stdout.read()
            process.wait()
        if any("loading prepared" in str(each["message"]) for each in lines) is not prepared:
            raise RuntimeError(f"the copy was{' not' if prepared else ''} taken")
        (loaded,) = [each for each in lines if each.get("component") == "transformer" and "seconds" in each]
        return Start(ready_s, float(str(loaded["seconds"])), int(str(loaded["bytes"])), disk)

    def _command(self, *verb: str) -> list[str]:
        flags = ["--spec", str(self._spec), "--volume", str(self.volume), "--dtype", "bfloat16"]
        return [str(BIN / "multitalk-server"), *verb, *flags]

    @contextmanager
    def _copy_is_there(self, wanted: bool) -> Iterator[None]:
        receipts = [] if wanted else list((self.volume / ".modelcache/receipts").glob("prepared--*"))
        for each in receipts:
            each.rename(self.volume / each.name)
        try:
            yield
        finally:
            for each in receipts:
                (self.volume / each.name).rename(each)


def below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


def wait_ready(url: str) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise TimeoutError(url)


def rows(ground: Ground, rounds: int) -> Iterator[str]:
    for cold in (True, False):
        taken = [[ground.start(prepared, cold) for prepared in (False, True)] for _ in range(rounds)]
        one, other = (list(each) for each in zip(*taken, strict=True))
        cache = "cold" if cold else "warm"
        for what, values in (
            ("bytes of the transformer", [median(each.transformer_bytes for each in side) for side in (one, other)]),
            ("bytes from the disk", [median(each.disk_bytes for each in side) for side in (one, other)]),
        ):
            yield row(f"{cache}: {what}", [f"{value / 1e9:.2f} GB" for value in values], values)
        for what, values in (
            ("seconds to load the transformer", [median(each.transformer_s for each in side) for side in (one, other)]),
            (
                "seconds to ready, from the start of the process",
                [median(each.ready_s for each in side) for side in (one, other)],
            ),
        ):
            yield row(f"{cache}: {what}", [f"{value:.1f} s" for value in values], values)


def row(what: str, shown: list[str], values: list[float]) -> str:
    ratio = f"{values[1] / values[0]:.2f}x" if values[0] > 1e-3 else "-"
    return f"| {what} | {shown[0]} | {shown[1]} | {ratio} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns of each (default: 3)")
    parser.add_argument("--layers", type=int, default=10, help="blocks of the transformer, 268 MB each (default: 10)")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; default: the temporary one")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this page's chapter")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        ground = Ground(Path(folder), options.layers)
        seconds, memory = ground.prepare()
        lines = list(rows(ground, options.rounds))
        where = machine({"volume": Path(folder)})
    page = "\n".join(
        [
            f"Machine: {where}. Command: `make bench-start` ({options.rounds} rounds in turns, medians).",
            "",
            "| what | from the models | from the copy | ratio |",
            "| --- | --- | --- | --- |",
            *lines,
            "",
            f"`multitalk-server prepare` took {seconds:.0f} s and {memory >> 20} MiB of memory for it.",
        ]
    )
    publish(page, TITLE, options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
