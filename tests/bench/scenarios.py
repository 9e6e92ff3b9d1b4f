"""What is measured, and against whom. Each function sets up, lets the clients take turns, and returns rows."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import init_sync as init_sync_package
from bench.measure import Cost, run
from support.hub import LocalHub, RepoBuilder

MIB = 1 << 20
CAPPED_BYTES_PER_SECOND = 50 * MIB
WARM_FILES = 60
WARM_BYTES = 80 * 10**9
WARM_TURNS = 15
TESTS = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; ``better`` is how many times better than the other ours is."""

    what: str
    ours: str
    other: str
    better: float | None
    target: float | None

    def line(self) -> str:
        ratio = f"{self.better:.2f}x" if self.better is not None else "-"
        target = f">= {self.target:g}x" if self.target is not None else "-"
        met = "-" if self.better is None or self.target is None else "yes" if self.better >= self.target else "**no**"
        return f"| {self.what} | {self.ours} | {self.other} | {ratio} | {target} | {met} |"


@dataclass(frozen=True, slots=True)
class Bench:
    """Where to work, and how much."""

    memory: Path
    disk: Path
    rounds: int
    size: int


def four_files(bench: Bench, *, on_disk: bool) -> list[Row]:
    """Four large files at once: throughput with verification against clients that verify less or nothing."""
    files = [f"model-{number}.safetensors" for number in range(4)]
    root = bench.memory / "hub"
    random_repository(root, "bench/four", files, bench.size)
    target = (bench.disk if on_disk else bench.memory) / "target"
    with hub_process(root) as endpoint:
        urls = [f"{endpoint}/bench/four/resolve/main/{name}" for name in files]
        clients = {
            "init-sync": lambda: run(init_sync("bench/four", target), environment(endpoint, bench), flush=on_disk),
            "hf download": lambda: run(hf("bench/four", target), environment(endpoint, bench), flush=on_disk),
            "curl": lambda: run(_curl(urls, target), environment(endpoint, bench), flush=on_disk),
            "aria2c": lambda: run(_aria2(urls, target), environment(endpoint, bench), flush=on_disk),
        }
        best = take_turns(clients, bench.rounds, target)
    where = "to disk, synced" if on_disk else "to memory"
    volume = 4 * bench.size
    ours = best["init-sync"]
    what = f"4 x {bench.size // MIB} MiB {where}, against hf download"
    rows = [_throughput(what, ours, best["hf download"], volume, 1.2 if on_disk else 2.0)]
    others = {name: cost for name, cost in best.items() if name in ("curl", "aria2c")}
    for name, cost in others.items():
        what = f"... against {name}, which verifies nothing"
        rows.append(_throughput(what, ours, cost, volume, (0.9 if on_disk else 1.0) if name == "curl" else None))
    rows.append(_cpu(f"... processor time {where}", ours, best["hf download"]))
    if not on_disk:
        peak = max(ours.peak_bytes, 1)
        rows.append(Row("... peak memory (target: 64 MiB)", f"{peak / MIB:.0f} MiB", "64 MiB", 64 * MIB / peak, 1.0))
    return rows


def capped_connection(bench: Bench) -> list[Row]:
    """One file from a hub that gives each connection 50 MiB/s, as content networks do."""
    root = bench.memory / "hub"
    random_repository(root, "bench/one", ["model.safetensors"], bench.size)
    target = bench.memory / "target"
    with hub_process(root, "--rate-per-connection", str(CAPPED_BYTES_PER_SECOND)) as endpoint:
        url = f"{endpoint}/bench/one/resolve/main/model.safetensors"
        clients = {
            "init-sync": lambda: run(init_sync("bench/one", target), environment(endpoint, bench)),
            "aria2c": lambda: run(_aria2([url], target, 8), environment(endpoint, bench)),
            "hf download": lambda: run(hf("bench/one", target), environment(endpoint, bench)),
        }
        best = take_turns(clients, min(bench.rounds, 3), target)
    what = f"1 x {bench.size // MIB} MiB at 50 MiB/s for each connection, against"
    rows = [_throughput(f"{what} hf download", best["init-sync"], best["hf download"], bench.size, None)]
    if "aria2c" in best:
        rows.insert(0, _throughput(f"{what} aria2c -x8", best["init-sync"], best["aria2c"], bench.size, 1.0))
    return rows


def warm_start(bench: Bench) -> list[Row]:
    """A complete volume of 60 files and 80 GB apparent size, as a whole process, with the hub counting requests."""
    root, target = bench.memory / "warm-hub", bench.memory / "warm"
    size = WARM_BYTES // WARM_FILES
    names = [f"shard-{number:02}.safetensors" for number in range(WARM_FILES)]
    RepoBuilder(root, "bench/warm").sparse_files(dict.fromkeys(names, size))
    with LocalHub(root) as hub:
        env = environment(hub.endpoint, bench)
        ours, theirs = init_sync("bench/warm", target / "ours"), hf("bench/warm", target / "theirs")
        for folder in (target / "ours" / "model", target / "theirs"):
            folder.mkdir(parents=True)
            for name in names:
                with (folder / name).open("wb") as file:
                    file.truncate(size)
        compileall.compile_dir(os.path.dirname(init_sync_package.__file__), quiet=1)  # as an installed package is
        run(ours, env)  # adopts what is there: hashes it once, fetches nothing
        run(theirs, env)
        hub.reset_log()
        commands = {"ours": ours, "bare": [sys.executable, "-c", "pass"]}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(WARM_TURNS):
            for name, line in commands.items():
                times[name].append(run(line, env).wall_s)
        requests = hub.count()
        hub.reset_log()
        hf_s = median(run(theirs, env).wall_s for _ in range(5))
        their_requests = hub.count() / 5
    shutil.rmtree(target)
    ours_s, bare_s = median(times["ours"]), median(times["bare"])
    warm = f"{1000 * ours_s:.0f} ms, {requests} requests"
    return [
        Row(
            f"warm start, {WARM_FILES} files, 80 GB, against hf download",
            warm,
            f"{1000 * hf_s:.0f} ms, {their_requests:.0f} requests",
            hf_s / ours_s,
            None,
        ),
        Row(
            f"... whole process, against three bare interpreters (medians of {WARM_TURNS} in turns)",
            warm,
            f"3 x {1000 * bare_s:.1f} ms",
            3 * bare_s / ours_s,
            1.0,
        ),
    ]


def killed_half_way(bench: Bench) -> list[Row]:
    """SIGKILL at half of a large file: how much of what the first run received is received again."""
    root, target = bench.memory / "hub", bench.memory / "target"
    random_repository(root, "bench/one", ["model.safetensors"], bench.size)
    connections = 8
    worst = 0
    for _ in range(bench.rounds):
        clear(target)
        # A small send buffer, or bytes that the killed process never saw would count as received.
        with LocalHub(root, rate_per_connection=CAPPED_BYTES_PER_SECOND, send_buffer=64 * 1024) as hub:
            env = environment(hub.endpoint, bench)
            command = [*init_sync("bench/one", target), "--connections", str(connections)]
            victim = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
            while hub.bytes_sent < bench.size // 2 and victim.poll() is None:
                time.sleep(0.001)
            victim.kill()
            victim.wait()
            run(command, env)
            worst = max(worst, hub.bytes_sent - bench.size)
    clear(target)
    each = worst / connections
    return [
        Row(
            f"SIGKILL at half of {bench.size // MIB} MiB: fetched again for each of {connections} connections",
            f"{each / MIB:.1f} MiB (worst of {bench.rounds})",
            "8 MiB",
            8 * MIB / each if each else None,
            1.0,
        )
    ]


def take_turns(clients: dict[str, Callable[[], Cost]], rounds: int, target: Path) -> dict[str, Cost]:
    """The best cost of each client that is installed."""
    programs = {"curl": "curl", "aria2c": "aria2c"}
    present = {name: client for name, client in clients.items() if name not in programs or shutil.which(programs[name])}
    costs: dict[str, list[Cost]] = {name: [] for name in present}
    for _ in range(rounds):
        for name, client in present.items():
            clear(target)
            costs[name].append(client())
    clear(target)
    return {name: min(each, key=lambda cost: cost.wall_s) for name, each in costs.items()}


def _throughput(what: str, ours: Cost, other: Cost, volume: int, target: float | None) -> Row:
    rates = [f"{volume / cost.wall_s / 1e9:.2f} GB/s" for cost in (ours, other)]
    return Row(what, rates[0], rates[1], other.wall_s / ours.wall_s, target)


def _cpu(what: str, ours: Cost, other: Cost) -> Row:
    return Row(what, f"{ours.cpu_s:.1f} s", f"{other.cpu_s:.1f} s", other.cpu_s / ours.cpu_s, None)


def init_sync(repo: str, volume: Path) -> list[str]:
    spec = volume.parent / f"{volume.name}.json"
    volume.mkdir(parents=True, exist_ok=True)
    spec.write_text(
        json.dumps(
            {
                "apiVersion": "modelcache.dev/v1alpha1",
                "kind": "ModelCache",
                "metadata": {"name": "bench"},
                "spec": {"models": [{"name": "model", "repo": repo, "path": "model"}]},
            }
        )
    )
    return [str(BIN / "init-sync"), "sync", "--spec", str(spec), "--volume", str(volume)]


def hf(repo: str, folder: Path) -> list[str]:
    return [str(BIN / "hf"), "download", repo, "--local-dir", str(folder)]


def _curl(urls: list[str], folder: Path) -> list[str]:
    pairs = [word for url in urls for word in ("-o", str(folder / url.rpartition("/")[2]), url)]
    return ["curl", "--silent", "--fail", "--location", *pairs]


def _aria2(urls: list[str], folder: Path, connections: int = 4) -> list[str]:
    listed = folder.parent / "urls.txt"
    listed.write_text("\n".join(urls))
    split = [f"-x{connections}", f"-s{connections}", f"-j{len(urls)}"]
    return ["aria2c", "--quiet", "--file-allocation=none", *split, "-i", str(listed), "-d", str(folder)]


def environment(endpoint: str, bench: Bench) -> dict[str, str]:
    dropped = {"http_proxy", "https_proxy", "all_proxy"}
    kept = {name: value for name, value in os.environ.items() if name.lower() not in dropped}
    return {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(bench.memory / "hf-home"), "HF_HUB_DISABLE_XET": "1"}


def random_repository(root: Path, repo: str, names: list[str], size: int) -> None:
    """Fill a repository with incompressible bytes, once."""
    if (root / repo / "commits").exists():
        return
    shutil.rmtree(root, ignore_errors=True)  # memory is finite: one repository at a time
    source = root.parent / "source"
    source.mkdir(exist_ok=True)
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        with (source / name).open("wb") as file:
            for start in range(0, size, 16 * MIB):
                file.write(os.urandom(min(16 * MIB, size - start)))
    RepoBuilder(root, repo).commit({name: source / name for name in names}, link=True)
    shutil.rmtree(source)


def clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


@contextmanager
def hub_process(root: Path, *options: str) -> Iterator[str]:
    """The local hub as a process of its own, so that it does not share our interpreter."""
    command = [sys.executable, "-m", "support.hub", "--root", str(root), *options]
    process = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().removeprefix("endpoint: ").strip()
    finally:
        process.terminate()
        process.wait()
