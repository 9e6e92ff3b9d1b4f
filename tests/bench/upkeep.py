"""What keeping a volume costs: a scrub beside a reader of resident files, and a prune of many files."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import quantiles

from bench.measure import Cost
from bench.scenarios import Bench, Row
from init_sync.app.specfile import read_manifest
from init_sync.core.receipt import Receipt
from init_sync.core.spec import Model
from init_sync.volume.owned import OwnedFiles
from init_sync.volume.receipts import as_receipt_file, store_receipt
from init_sync.volume.volume import Volume
from support.sync import command, environment, manifest, model

RATE_MIB = 50
SCRUB_S = 20
SHARD_BYTES = 50 << 20
PRUNED_FILES = 100_000
DIRECTORY_FILES = 1000
RESIDENT_BYTES = 256 << 20
READ_BYTES = 64 << 10
READS_APART_S = 0.001


def scrub(bench: Bench) -> list[Row]:
    """The reader takes 64 KiB out of memory each millisecond, as a server that has mapped its weights might."""
    root = bench.disk / "scrub"
    volume = root / "volume"
    (volume / "it").mkdir(parents=True)
    shards = [f"it/{number:02}.safetensors" for number in range(RATE_MIB * SCRUB_S * (1 << 20) // SHARD_BYTES)]
    for path in shards:
        _write(volume / path, SHARD_BYTES)
    _write(root / "resident", RESIDENT_BYTES)
    spec = manifest(model("it", "bench/it"))
    line = command("scrub", spec, volume, "--older-than", "0s", "--rate", f"{RATE_MIB}Mi")
    _record(volume, read_manifest(line[5]).models[0], shards)
    plain: list[float] = []
    beside: list[float] = []
    (root / "resident").read_bytes()
    for _ in range(bench.rounds):
        plain += _latencies(root / "resident", seconds=SCRUB_S / 2)
        process = subprocess.Popen(line, env=environment(None), stdout=subprocess.DEVNULL)
        beside += _latencies(root / "resident", until=process)
    cost = _run(line)
    shutil.rmtree(root)
    share = 100 * cost.cpu_s / cost.wall_s
    rows = [
        Row(
            f"scrub of {len(shards)} x 50 MiB at {RATE_MIB} MiB/s: share of a processor, whole process",
            f"{share:.0f}% ({cost.cpu_s:.1f} s in {cost.wall_s:.1f} s), {cost.peak_bytes >> 20} MiB",
            "-",
            None,
            None,
        )
    ]
    for name, at in (("p50", 49), ("p99", 98)):
        ours, without = (1e6 * quantiles(each, n=100)[at] for each in (beside, plain))
        what = f"... a read of 64 KiB of resident files beside it, {name}, against without it"
        rows.append(Row(what, f"{ours:.0f} us", f"{without:.0f} us", without / ours, None))
    return rows


def prune(bench: Bench) -> list[Row]:
    """A model of 100,000 files that the manifest no longer names."""
    root = bench.memory / "prune"
    volume = root / "volume"
    (volume / "kept").mkdir(parents=True)
    _write(volume / "kept/a", 4096)
    owned = OwnedFiles(Volume(str(volume)), "cache")
    paths = [f"gone/{number // DIRECTORY_FILES}/{number}" for number in range(PRUNED_FILES)]
    for path in paths:
        (volume / path).parent.mkdir(parents=True, exist_ok=True)
        (volume / path).write_bytes(path.encode())
        owned.add(path, path)
    spec = manifest(model("kept", "bench/kept"))
    line = command("prune", spec, volume, "--report", str(root / "report.json"))
    kept = read_manifest(line[5]).models[0]
    _record(volume, kept, ["kept/a"])
    for part in range(4):  # a receipt holds some 50,000 files at most
        _record(volume, kept._replace(path=f"gone/{part}"), paths[part::4])
    cost = _run(line)
    removed = json.loads((root / "report.json").read_text())["filesRemoved"]
    if (removed, sorted(os.listdir(volume))) != (PRUNED_FILES, [".modelcache", "kept"]):
        raise RuntimeError(f"{removed} files were removed, and {os.listdir(volume)} are left")
    shutil.rmtree(root)
    figures = f"{cost.wall_s:.1f} s ({cost.cpu_s:.1f} s), {cost.peak_bytes >> 20} MiB"
    return [
        Row(
            f"prune of {PRUNED_FILES:,} files in memory, whole process: time (processor) and peak memory",
            figures,
            "-",
            None,
            None,
        )
    ]


def _run(line: list[str]) -> Cost:
    """With the peak of this very process: what ``wait4`` tells includes that of its parent."""
    began, peak = time.perf_counter(), 0
    process = subprocess.Popen(line, env=environment(None), stdout=subprocess.DEVNULL)
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process.pid}/status").read_text())
        peak = max(peak, int(found[1]) << 10 if found else 0)
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    return Cost(time.perf_counter() - began, ended[2].ru_utime + ended[2].ru_stime, peak)


def _write(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for start in range(0, size, 1 << 20):
            file.write(random.randbytes(min(1 << 20, size - start)))
        os.fsync(file.fileno())


def _record(volume: Path, model: Model, paths: list[str]) -> None:
    opened = Volume(str(volume))
    files = []
    for path in paths:
        checksum = hashlib.sha256((volume / path).read_bytes()).hexdigest()
        files.append(as_receipt_file(path, f"sha256:{checksum}", opened.stat(path)))
    receipt = Receipt(
        model.name,
        model.path,
        model.repo,
        "main",
        model.requirement_digest(),
        {"main": "0" * 40},
        {},
        tuple(files),
        (),
        "2026-01-01T00:00:00Z",
        cache="cache",
    )
    store_receipt(opened, model, receipt)


def _latencies(path: Path, seconds: float = 0.0, until: subprocess.Popen[bytes] | None = None) -> list[float]:
    found = []
    buffer = bytearray(READ_BYTES)
    ends = time.monotonic() + seconds
    with path.open("rb") as file:
        while (until.poll() is None) if until else (time.monotonic() < ends):
            position = random.randrange(RESIDENT_BYTES - READ_BYTES)
            began = time.perf_counter()
            os.preadv(file.fileno(), [buffer], position)
            found.append(time.perf_counter() - began)
            time.sleep(READS_APART_S)
    if until and until.returncode not in (0, 1):
        sys.exit("the scrub failed")
    return found
