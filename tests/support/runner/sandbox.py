"""Runs a Python module as a container's program: ``python -P sandbox.py MODULE ARGUMENT...``.

Stands in for the two things of a container that a plain process lacks and these programs rely on:

- a network namespace: listening on every address means listening on the pod's address, ``SANDBOX_ADDRESS``, and
  addresses of pods are loopback ones, which the operator asks nowhere else;
- ``/dev/termination-log``, for init-sync writes its report there: it is the file ``SANDBOX_TERMINATION_LOG``.

It imports nothing that the program would not import itself: what a start costs here is what it costs there.
"""

from __future__ import annotations

import os
import runpy
import socket
import sys
from typing import Any

EVERY_ADDRESS = ("", "0.0.0.0", "::")


def main() -> None:
    module, *arguments = sys.argv[1:]
    _bind_to(os.environ["SANDBOX_ADDRESS"])
    if module == "init_sync":
        from init_sync.app import report_file

        report_file.TERMINATION_LOG = os.environ["SANDBOX_TERMINATION_LOG"]
    if module == "modelcache_operator":
        from modelcache_operator.kube import progress

        progress.is_pod_address = lambda text: bool(text)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _bind_to(address: str) -> None:
    bind = socket.socket.bind

    def bind_to_pod(self: socket.socket, where: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and where[0] in EVERY_ADDRESS:
            mapped = f"::ffff:{address}" if self.family is socket.AF_INET6 else address
            where = (mapped, *where[1:])
        bind(self, where)

    socket.socket.bind = bind_to_pod  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    main()
