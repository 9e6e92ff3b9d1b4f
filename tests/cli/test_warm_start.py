"""A warm start: receipts and one stat per file. No network, no library for it, no byte of a model read.

What the process does is seen from inside, by Python's audit events (imports, sockets, files opened), and from outside,
by the hub's log; where ``strace`` is installed, by the kernel's too.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub
from support.release_0_1_0 import downgrade
from support.sync import command, environment, run_sync
from support.three_models import footprint

EVENTS = """
import json, os, sys
seen = []
def watch(event, arguments):
    if event in ("import", "subprocess.Popen") or event.startswith("socket."):
        seen.append((event, str(*arguments[:1])))
sys.addaudithook(watch)
stats = []
def full(path, dir_fd):
    return str(path) if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}") + "/" + str(path)
for name in ("stat", "open"):
    def counting(path, *rest, dir_fd=None, _name=name, _call=getattr(os, name), **more):
        if _name == "stat":
            stats.append(full(path, dir_fd))
        elif not rest[0] & os.O_DIRECTORY:
            seen.append(("open", full(path, dir_fd)))
        return _call(path, *rest, dir_fd=dir_fd, **more)
    setattr(os, name, counting)
from init_sync.app.cli import run
code = run(sys.argv[2:])
with open(sys.argv[1], "w") as file:
    json.dump({"code": code, "events": seen, "stats": stats, "modules": sorted(sys.modules)}, file)
"""

OPENED = (".modelcache/receipts/", ".modelcache/volume.json")
"""All that a warm start opens on the volume."""

HEAVY = {
    "importlib.metadata",
    "socket",
    "dataclasses",
    *("huggingface_hub", "httpx2", "httpcore2", "requests", "urllib3", "ssl", "asyncio", "prometheus_client", "tqdm"),
    *(
        "http.client",
        "http.server",
        "urllib.request",
        "concurrent.futures",
        "pathlib",
        "init_sync.hub",
        "init_sync.serve",
    ),
}


@dataclass(frozen=True, slots=True)
class Trace:
    """What a run did."""

    code: int
    events: list[tuple[str, str]]
    stats: list[str]
    modules: set[str]

    def opened(self, root: Path) -> set[str]:
        """Files below ``root`` that were opened, relative to it."""
        below = f"{root}{os.sep}"
        return {path.removeprefix(below) for event, path in self.events if event == "open" and path.startswith(below)}

    @property
    def sockets(self) -> list[str]:
        return [event for event, _ in self.events if event.startswith("socket.")]


def traced(
    spec: dict[str, Any],
    volume: Path,
    *arguments: str,
    hub: LocalHub | None = None,
    env: Mapping[str, str] | None = None,
) -> Trace:
    output = volume.parent / "trace.json"
    line = command("sync", spec, volume, *arguments)
    start = line.index("init_sync")
    done = subprocess.run(
        [sys.executable, "-c", EVENTS, str(output), *line[start + 1 :]],
        env=environment(hub, env),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert output.exists(), done.stderr
    data = json.loads(output.read_text())
    output.unlink()
    return Trace(data["code"], [tuple(each) for each in data["events"]], data["stats"], set(data["modules"]))


def model_files(volume: Path) -> list[Path]:
    return [path for path in volume.rglob("*") if path.is_file() and ".modelcache" not in path.parts]


def test_a_warm_start_asks_the_hub_nothing(spec: dict[str, Any], whole: Path, hub: LocalHub) -> None:
    assert traced(spec, whole, hub=hub).code == 0
    assert hub.requests == []


def test_it_opens_no_socket_and_starts_no_process(spec: dict[str, Any], whole: Path) -> None:
    trace = traced(spec, whole, "--metrics-port", "0")
    assert trace.code == 0
    assert trace.sockets == []
    assert "subprocess.Popen" not in [event for event, _ in trace.events]


def test_it_imports_no_library_for_the_network(spec: dict[str, Any], whole: Path) -> None:
    trace = traced(spec, whole)
    assert trace.code == 0
    assert "init_sync.app.sync_command" in trace.modules
    assert not HEAVY & trace.modules


def test_it_reads_nothing_but_receipts_and_the_volume_id_and_writes_nothing(spec: dict[str, Any], whole: Path) -> None:
    before = footprint(whole)
    trace = traced(spec, whole)
    assert trace.opened(whole)
    assert not [path for path in trace.opened(whole) if not path.startswith(OPENED)]
    assert footprint(whole) == before


def test_an_anchor_that_fits_opens_hashes_and_imports_no_more(spec: dict[str, Any], whole: Path, hub: LocalHub) -> None:
    plain = traced(spec, whole)
    for entry in spec["spec"]["models"]:
        (receipt,) = (whole / ".modelcache/receipts").glob(f"{entry['path']}-*.json")
        entry["digest"] = json.loads(receipt.read_text())["digest"]
    anchored = traced(spec, whole, hub=hub)
    assert anchored.code == 0
    assert (anchored.opened(whole), anchored.stats, anchored.modules) == (
        plain.opened(whole),
        plain.stats,
        plain.modules,
    )
    assert hub.requests == []


def test_receipts_of_0_1_0_are_completed_by_the_first_start_alone(spec: dict[str, Any], whole: Path) -> None:
    downgrade(whole)
    first, second = (traced(spec, whole) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    small = {"base/config.json", "base/index.json_old", "wav2vec/config.json", "multitalk/index.json"}
    assert {path for path in first.opened(whole) if not path.startswith(".modelcache/")} == small
    assert not [path for path in second.opened(whole) if not path.startswith(OPENED)]
    assert not HEAVY & second.modules


def test_it_stats_each_file_once(spec: dict[str, Any], whole: Path) -> None:
    counts = Counter(traced(spec, whole).stats)
    files = [path for path in model_files(whole) if not path.is_symlink()]
    assert {path.name: counts[str(path)] for path in files} == {path.name: 1 for path in files}


def test_it_works_while_the_hub_is_down(spec: dict[str, Any], whole: Path, hub: LocalHub) -> None:
    hub.stop()
    done = run_sync(spec, whole, hub)
    assert done.returncode == 0
    assert done.report["complete"]


@pytest.mark.parametrize(
    "fault",
    [Fault("status", status=401), Fault("status", status=429), Fault("status", status=500), Fault("stall")],
    ids=["401", "429", "500", "stalled"],
)
def test_it_works_whatever_the_hub_would_answer(fault: Fault, spec: dict[str, Any], whole: Path, hub: LocalHub) -> None:
    hub.add_fault(fault)
    assert run_sync(spec, whole, hub).returncode == 0
    assert hub.requests == []


@pytest.mark.parametrize(
    "env",
    [
        {"HF_HUB_OFFLINE": "1"},
        {"HF_ENDPOINT": "not a url"},
        {"HF_ENDPOINT": ""},
        {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
        {"HF_TOKEN": "hf_wrong"},
        {"HF_HOME": "/nonexistent", "HOME": "/nonexistent"},
        {"HF_HUB_DOWNLOAD_TIMEOUT": "never"},
    ],
    ids=str,
)
def test_it_works_whatever_the_environment_says_of_the_hub(
    env: dict[str, str], spec: dict[str, Any], whole: Path
) -> None:
    done = run_sync(spec, whole, env=env)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_that_was_only_touched_is_hashed_once_and_then_remembered(
    spec: dict[str, Any], whole: Path, hub: LocalHub
) -> None:
    touched = whole / "base" / "weights.safetensors"
    os.utime(touched)
    inode = touched.stat().st_ino
    first, second = (traced(spec, whole, hub=hub) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    assert "base/weights.safetensors" in first.opened(whole)
    assert not [path for path in second.opened(whole) if not path.startswith(".modelcache/")]
    assert touched.stat().st_ino == inode
    assert hub.requests == []


def test_a_volume_that_was_moved_or_copied_with_its_times_is_still_complete(
    spec: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    whole.rename(elsewhere)
    trace = traced(spec, elsewhere)
    assert trace.code == 0
    assert not [path for path in trace.opened(elsewhere) if not path.startswith(OPENED)]


def test_a_deep_check_reads_every_file_and_needs_no_network_either(spec: dict[str, Any], whole: Path) -> None:
    trace = traced(spec, whole, "--verify", "deep")
    assert (trace.code, trace.sockets) == (0, [])
    files = {str(path.relative_to(whole)) for path in model_files(whole) if not path.is_symlink()}
    assert files <= trace.opened(whole)


def strace_works() -> bool:
    strace = shutil.which("strace")
    return bool(strace) and subprocess.run([str(strace), "-o", os.devnull, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not strace_works(), reason="strace is not installed or not allowed here; the audit events remain")
def test_the_kernel_saw_one_stat_for_each_file_no_socket_and_no_second_process(
    spec: dict[str, Any], whole: Path, tmp_path: Path
) -> None:
    log = tmp_path / "strace.log"
    line = ["strace", "-f", "-y", "-o", str(log), "-e", "trace=%file,%network,%process", *command("sync", spec, whole)]
    assert subprocess.run(line, env=environment(None), capture_output=True, timeout=60).returncode == 0
    text = log.read_text()
    assert not re.search(r"\b(socket|connect|fork|vfork)\(", text)
    for path in model_files(whole):
        if not path.is_symlink():
            directory, name = re.escape(str(path.parent)), re.escape(path.name)
            calls = re.findall(rf'(\w+)\(\d+<{directory}>, "{name}"', text)
            assert len(calls) == 1, calls
            assert "stat" in calls[0]
