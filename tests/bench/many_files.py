"""Repositories of many files: what each file costs, and how long nothing seems to happen."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from bench.measure import run
from bench.scenarios import Bench, Row, clear, environment, hf, hub_process, init_sync, random_repository, take_turns
from support.hub import LocalHub, RepoBuilder

SMALL_BYTES = 4096
SILENCE_TARGET_S = 2.0


def seven_files(bench: Bench) -> list[Row]:
    """Seven shards of 160 MB, as a model of one billion parameters has them."""
    names = [f"shard-{number}.safetensors" for number in range(7)]
    return [_against_hf(bench, "7 x 160 MB", "bench/seven", names, 160_000_000)]


def small_files(bench: Bench) -> list[Row]:
    """2,000 files of 4 kB: requests and names, not bytes."""
    names = [f"data/part-{number:04}.json" for number in range(2000)]
    return [_against_hf(bench, "2,000 x 4 kB", "bench/small", names, SMALL_BYTES)]


def silence(bench: Bench) -> list[Row]:
    """12,000 files: from the last page of the listing to the first request for a file."""
    root, target = bench.memory / "hub", bench.memory / "target"
    content = {f"data/{number // 1000}/part-{number:05}.json": b"%d" % number for number in range(12_000)}
    RepoBuilder(root, "bench/many").commit(content)
    best = min(_silence_s(root, target, bench) for _ in range(min(bench.rounds, 3)))
    what = "12,000 files: from the end of the listing to the first request for a file"
    return [Row(what, f"{best:.1f} s", f"{SILENCE_TARGET_S:g} s", SILENCE_TARGET_S / best, 1.0)]


def _against_hf(bench: Bench, what: str, repo: str, names: list[str], size: int) -> Row:
    root, target = bench.memory / "hub", bench.memory / "target"
    random_repository(root, repo, names, size)
    with hub_process(root) as endpoint:
        clients = {
            "init-sync": lambda: run(init_sync(repo, target), environment(endpoint, bench)),
            "hf download": lambda: run(hf(repo, target), environment(endpoint, bench)),
        }
        best = take_turns(clients, min(bench.rounds, 3), target)
    ours, theirs = best["init-sync"], best["hf download"]
    return Row(
        f"{what}, against hf download",
        f"{ours.wall_s:.1f} s",
        f"{theirs.wall_s:.1f} s",
        theirs.wall_s / ours.wall_s,
        2.0,
    )


def _silence_s(root: Path, target: Path, bench: Bench) -> float:
    clear(target)
    with LocalHub(root) as hub:
        victim = subprocess.Popen(
            init_sync("bench/many", target), env=environment(hub.endpoint, bench), stdout=subprocess.DEVNULL
        )
        while not hub.count("resolve") and victim.poll() is None:
            time.sleep(0.001)
        victim.kill()
        victim.wait()
        listed = max(request.started for request in hub.requests if request.kind == "tree")
        first = min(request.started for request in hub.requests if request.kind == "resolve")
    return first - listed
