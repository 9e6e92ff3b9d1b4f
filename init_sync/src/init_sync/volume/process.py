"""Which process a lock names, and whether it is gone, as far as that can be seen from here."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from typing import Any


def own_identity() -> dict[str, Any]:
    """What tells this process from every other one, on any node."""
    host = socket.gethostname()
    return {
        "owner": f"{host} (process {os.getpid()})",  # in a pod, the host's name is the pod's
        "host": host,
        "pid": os.getpid(),
        "started": (_process(os.getpid()) or (0, ""))[0],
        "pidNamespace": _pid_namespace(),
        "bootId": _boot_id(),
        "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def is_dead(holder: dict[str, Any]) -> bool:
    """Whether the holder was a process that we would see, and it is gone."""
    if holder.get("bootId") != _boot_id() or holder.get("pidNamespace") != _pid_namespace() or not _boot_id():
        return False
    pid = holder.get("pid")
    process = _process(pid) if isinstance(pid, int) else None
    return process is None or process[0] != holder.get("started") or process[1] in "ZX"


def _process(pid: int) -> tuple[int, str] | None:
    """Start time in clock ticks and state letter of a process; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return int(fields[19]), fields[0]


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""
