"""``python -m e2e.in_pod.ask METHOD URL [BODY]``: prints the answer. Asked from inside, no port needs forwarding."""

from __future__ import annotations

import sys
import urllib.request


def main(method: str, url: str, body: str = "") -> int:
    request = urllib.request.Request(url, data=body.encode() or None, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        print(answer.read().decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
