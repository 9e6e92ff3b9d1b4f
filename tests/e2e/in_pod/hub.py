"""``python -m e2e.in_pod.hub --root DIR ...``: builds the small repositories in DIR, then is the local hub.

They bear the names that the chart's default manifest asks for: the tiny MultiTalk, and all-MiniLM-L6-v2 with its real
weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

from multitalk_checkpoint.tiny import write_tiny
from support.hub import __main__ as hub
from support.hub.models import build_minilm, build_multitalk


def build(root: Path) -> None:
    build_multitalk(root, write_tiny(root.parent / "checkpoint"))
    print(build_minilm(root), flush=True)


if __name__ == "__main__":
    if "--root" in sys.argv:
        build(Path(sys.argv[sys.argv.index("--root") + 1]))
    sys.exit(hub.main())
