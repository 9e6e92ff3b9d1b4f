"""Work that runs when nothing else wants to: idle priority for processor and disk, as far as the kernel knows one."""

from __future__ import annotations

import ctypes
import os
import platform
from contextlib import suppress

IOPRIO_SET = {"x86_64": 251, "aarch64": 30}
"""Number of the system call, which the C library does not wrap."""
IDLE_CLASS = 3 << 13
KNOWING = ("bfq", "mq-deadline")
"""Schedulers of disks that know priorities."""


def become_idle() -> tuple[str, str]:
    """This thread and those that it starts later; says what it is for the processor, and for disks."""
    processor = "plain"
    with suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        processor = "idle"
    if processor == "plain":
        with suppress(OSError):
            processor = f"nice {os.nice(19)}"
    number = IOPRIO_SET.get(platform.machine())
    failed = number is None or ctypes.CDLL(None).syscall(number, 1, 0, IDLE_CLASS)
    return processor, "plain" if failed else "idle"


def disk_scheduler(device: int) -> str:
    """What orders the requests to the disk of a file system, by ``st_dev``; empty where there is none to be seen."""
    block = f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"
    for path in (f"{block}/queue/scheduler", f"{block}/../queue/scheduler"):
        with suppress(OSError), open(path, encoding="ascii") as file:
            return file.read().partition("[")[2].partition("]")[0]
    return ""
