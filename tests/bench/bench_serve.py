"""``make bench-serve``: one ``init-sync serve`` against nginx, with the same file, in turns, on one machine.

nginx has a worker for each core and sends by sendfile, as ours does. The client is curl, which drops what it gets; both
ends share the machine's cores. Then ``init-sync sync --peer`` makes a copy, which is written and hashed. Each figure is
the best of its rounds. ``NGINX`` names one that is not on PATH.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.measure import machine, run
from bench.page import publish
from bench.scenarios import BIN, Bench, Row, environment, hub_process, init_sync, random_repository
from support.peer import peer_process
from support.waiting import eventually

TITLE = "Serve"
REPO, FILE = "bench/one", "model.safetensors"
CLIENTS = (1, 8)
MANY = 64
TICKS = os.sysconf("SC_CLK_TCK")
NGINX = """\
daemon off; user {user}; worker_processes {cores}; pid {folder}/nginx.pid; error_log stderr;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, and where it has the file."""

    url: str
    pid: int

    def processes(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [self.pid, *map(int, children)]

    def cpu_s(self) -> float:
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.processes()]
        return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS

    def memory_bytes(self) -> int:
        """What is shared between its processes counted once."""
        lines = [
            line for pid in self.processes() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        ]
        return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one transfer by several clients at once."""

    bytes_per_s: float
    server_cpu_s_per_gb: float
    client_cpu_s_per_gb: float


def transfer(served: Served, clients: int, size: int) -> Figures:
    """Every client gets the whole file once."""
    server_before, own_before, began = served.cpu_s(), _children_cpu_s(), time.perf_counter()
    command = ["curl", "--silent", "--fail", "--output", os.devnull, served.url]
    started = [subprocess.Popen(command) for _ in range(clients)]
    if max(process.wait() for process in started):
        raise RuntimeError("curl failed")
    wall, gigabytes = time.perf_counter() - began, clients * size / 1e9
    server, own = served.cpu_s() - server_before, _children_cpu_s() - own_before
    return Figures(clients * size / wall, server / gigabytes, own / gigabytes)


def copied(served: Served, endpoint: str, volume: Path, bench: Bench) -> Figures:
    """A copy by ``sync --peer`` without a hub, from the start of the process to its end."""
    spec, pins, copy = bench.memory / f"{volume.name}.json", bench.memory / "pins.json", bench.memory / "copy"
    status = [str(BIN / "init-sync"), "status", "--json", "--spec", str(spec), "--volume", str(volume)]
    pins.write_bytes(subprocess.run(status, capture_output=True, check=True).stdout)
    before = served.cpu_s()
    command = [*init_sync(REPO, copy), "--peer", endpoint, "--pins", str(pins)]
    cost = run(command, environment("http://127.0.0.1:9", bench))
    shutil.rmtree(copy)
    gigabytes = bench.size / 1e9
    return Figures(bench.size / cost.wall_s, (served.cpu_s() - before) / gigabytes, cost.cpu_s / gigabytes)


def memory_with_many(served: Served) -> int:
    """While ``MANY`` clients are in the middle of the file."""
    host, port = served.url.split("/")[2].split(":")
    path = "/" + served.url.split("/", 3)[3]
    with ExitStack() as stack:
        for _ in range(MANY):
            client = stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert client.recv(1 << 20).startswith(b"HTTP/1.1 200")
        return served.memory_bytes()


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def nginx(program: str, folder: Path, root: Path) -> Iterator[Served]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(cores=os.cpu_count(), folder=folder, port=port, root=root, user=getuser()))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: socket.create_connection(("127.0.0.1", port)), "nginx listens").close()
        yield Served(f"http://127.0.0.1:{port}/model/{FILE}", process.pid)
    finally:
        process.terminate()
        process.wait()


def volume_with_the_file(bench: Bench) -> Path:
    root, volume = bench.memory / "hub", bench.memory / "volume"
    random_repository(root, REPO, [FILE], bench.size)
    with hub_process(root) as endpoint:
        run(init_sync(REPO, volume), environment(endpoint, bench))
    shutil.rmtree(root)
    return volume


def rows(bench: Bench, program: str | None) -> Iterator[Row]:
    volume = volume_with_the_file(bench)
    with ExitStack() as stack:
        peer, process, _ = stack.enter_context(peer_process(volume))
        servers = [Served(f"{peer.endpoint}/{REPO}/resolve/main/{FILE}", process.pid)]
        if program:
            servers.append(stack.enter_context(nginx(program, bench.memory, volume)))
        for clients in CLIENTS:
            taken = [[transfer(served, clients, bench.size) for served in servers] for _ in range(bench.rounds)]
            best = [max(turns, key=lambda each: each.bytes_per_s) for turns in zip(*taken, strict=True)]
            yield from compared(f"{clients} x {bench.size >> 20} MiB at once", best)
        copies = [copied(servers[0], peer.endpoint, volume, bench) for _ in range(bench.rounds)]
        best = [max(copies, key=lambda each: each.bytes_per_s)]
        yield from compared(f"1 x {bench.size >> 20} MiB by `init-sync sync --peer`, written and hashed", best)
        memory = [memory_with_many(served) for served in servers]
        yield _row(f"memory with {MANY} clients", memory, lambda value: f"{value / (1 << 20):.0f} MiB")


def compared(what: str, best: list[Figures]) -> Iterator[Row]:
    rates = [each.bytes_per_s for each in best]
    ratio = rates[0] / rates[1] if len(rates) > 1 else None
    shown = [f"{rate / 1e9:.2f} GB/s" for rate in rates]
    yield Row(what, shown[0], shown[-1] if ratio else "-", ratio, 0.8 if ratio else None)
    for end, values in (
        ("server", [each.server_cpu_s_per_gb for each in best]),
        ("client", [each.client_cpu_s_per_gb for each in best]),
    ):
        yield _row(f"... processor seconds for each GB, {end}", values, lambda value: f"{value:.2f} s")


def _row(what: str, values: list[float] | list[int], shown: Callable[[float], str]) -> Row:
    other = values[1] if len(values) > 1 else None
    better = other / values[0] if other is not None and values[0] else None
    return Row(what, shown(values[0]), "-" if other is None else shown(other), better, None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each server (default: 5)")
    parser.add_argument("--size-mib", type=int, default=1024, help="size of the file (default: 1024)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this page's chapter about serving")
    options = parser.parse_args()
    program = os.environ.get("NGINX") or shutil.which("nginx")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        bench = Bench(Path(folder), Path(folder), options.rounds, options.size_mib << 20)
        lines = [row.line() for row in rows(bench, program)]
        where = machine({"volume": Path(folder)})
    page = "\n".join(
        [
            f"Machine: {where}. Command: `NGINX=... make bench-serve` ({options.rounds} rounds, best of each).",
            "",
            "| what | init-sync serve | nginx | ratio | target | met |",
            "| --- | --- | --- | --- | --- | --- |",
            *lines,
        ]
    )
    publish(page, TITLE, options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
