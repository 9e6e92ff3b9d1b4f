"""``python -m e2e.in_pod.hub --root DIR ...``: builds the small repositories in DIR, then is the local hub.

They bear the names that the chart's default manifest asks for: the tiny MultiTalk in the official layout, with
wav2vec2's safetensors on a pull request alone, and all-MiniLM-L6-v2 with its real weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

from inference.layout import AUDIO, BASE, WAV2VEC
from inference.tiny import TinySizes, write_tiny
from support.hub import RepoBuilder
from support.hub import __main__ as hub
from support.hub.demo import BASE as BASE_REPO
from support.hub.demo import MULTITALK as AUDIO_REPO
from support.hub.demo import WAV2VEC as WAV2VEC_REPO
from support.hub.demo import build_minilm

PULL_REQUEST = "refs/pr/1"


def build(root: Path) -> None:
    checkpoint = write_tiny(root.parent / "checkpoint", TinySizes(shards=7))
    base = files_in(checkpoint / BASE)
    RepoBuilder(root, BASE_REPO).commit({**base, "xlm-roberta-large/config.json": b"{}\n"})
    RepoBuilder(root, AUDIO_REPO).commit(files_in(checkpoint / AUDIO))
    voice = files_in(checkpoint / WAV2VEC)
    weights = voice.pop("model.safetensors")
    wav2vec = RepoBuilder(root, WAV2VEC_REPO)
    wav2vec.commit(dict(voice))
    wav2vec.commit({"model.safetensors": weights}, ref=PULL_REQUEST, base="main")
    print(build_minilm(root), flush=True)


def files_in(folder: Path) -> dict[str, bytes | Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


if __name__ == "__main__":
    if "--root" in sys.argv:
        build(Path(sys.argv[sys.argv.index("--root") + 1]))
    sys.exit(hub.main())
