"""``python -m support.hub``: the local hub as a process of its own."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from .local_hub import LocalHub

_EPILOG = """\
The first line of output names the endpoint. To fetch from it with any Hugging Face client:

  HF_ENDPOINT=http://127.0.0.1:8090 HF_HUB_DISABLE_XET=1 hf download owner/name --local-dir DIR

The folder is one that RepoBuilder has filled.

With --control, faults are switched on and off while it runs:

  curl -X POST ENDPOINT/_control/faults -d '[{"kind": "status", "status": 503, "match": ["blob"], "times": 2}]'
  curl -X DELETE ENDPOINT/_control/faults
  curl ENDPOINT/_control/log
"""


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    hub = LocalHub(
        options.root,
        port=options.port,
        cdn_port=options.cdn_port,
        rate_per_connection=options.rate_per_connection,
        control=options.control,
        host=options.host,
        name=options.name,
    )
    with hub:
        print(f"endpoint: {hub.endpoint}")
        print(f"cdn: {hub.cdn_endpoint}")
        for repo in hub.store.repositories():
            print(f"serving {repo.name}: {', '.join(sorted(repo.settings.refs)) or 'no revision'}")
        sys.stdout.flush()
        stopped.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m support.hub",
        description="Serve a folder of model repositories over the Hugging Face hub's HTTP API.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--root", type=Path, required=True, metavar="DIR", help="the folder of repositories")
    parser.add_argument("--port", type=int, default=0, metavar="N", help="port of the API (default: a free one)")
    parser.add_argument("--cdn-port", type=int, default=0, metavar="N", help="port that serves large files")
    parser.add_argument("--host", default="127.0.0.1", metavar="IP", help="address to listen on (default: loopback)")
    parser.add_argument("--name", metavar="HOST", help="how clients call it, if not by that address")
    parser.add_argument(
        "--rate-per-connection", type=int, metavar="BYTES", help="bytes per second that each connection gets"
    )
    parser.add_argument("--control", action="store_true", help="take fault switches at ENDPOINT/_control/faults")
    return parser


if __name__ == "__main__":
    sys.exit(main())
