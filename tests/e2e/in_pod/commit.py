"""``python -m e2e.in_pod.commit ROOT REPO FILE=EDITION...``: a commit of these files moves main; prints it.

Each has a mebibyte of bytes that follow from its name and edition. The hub reads where main is for every request.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from support.hub import RepoBuilder

SIZE = 1 << 20


def main(root: str, repo: str, *editions: str) -> int:
    files = {each.partition("=")[0]: hashlib.shake_256(each.encode()).digest(SIZE) for each in editions}
    print(RepoBuilder(Path(root), repo).commit(files))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
