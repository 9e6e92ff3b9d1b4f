"""``python -m support.kubeapi --port 18090 --kubeconfig FILE``: the in-memory API by hand."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from support.kubeapi.local import LocalApi


def main() -> None:
    parser = argparse.ArgumentParser(prog="support.kubeapi", description="An in-memory Kubernetes API on loopback.")
    parser.add_argument("--port", type=int, default=18090, help="default: 18090; 0 picks a free one")
    parser.add_argument("--kubeconfig", type=Path, help="folder to write a kubeconfig into")
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with LocalApi(options.port) as api:
        print(f"serving {api.url}", flush=True)
        if options.kubeconfig:
            print(f"kubeconfig {api.kubeconfig(options.kubeconfig)}", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
