"""What the hub of the demo has: the official MultiTalk repositories with a checkpoint that a processor can run.

Every file of the miniature set is there, in the official places, ``refs/pr/1`` with the speech model's safetensors
too; those that the engine reads come from the tiny checkpoint instead, whose weights are small but fit together.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.hub import RepoBuilder, multitalk_set
from support.hub.demo import BASE, MULTITALK, WAV2VEC

Contents = dict[str, bytes | Path]
SPEECH_WEIGHTS = "model.safetensors"


def write_checkpoint(folder: Path) -> subprocess.Popen[bytes]:
    """In a process of its own: it has torch to load, which takes a while. And out of reach of a terminal's Ctrl-C."""
    command = [sys.executable, "-m", "inference.tiny", str(folder), "--shards", "7"]
    temporary = {"TMPDIR": str(folder.parent)}  # torch makes folders there
    env = {**os.environ, **temporary}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, env=env, start_new_session=True)


def build_multitalk(hub: Path, checkpoint: Path) -> None:
    """The three repositories, under their official names."""
    base: Contents = {**multitalk_set.base_files(), **_files(checkpoint / Path(BASE).name)}
    RepoBuilder(hub, BASE).commit(base)
    speech = _files(checkpoint / Path(WAV2VEC).name)
    weights = speech.pop(SPEECH_WEIGHTS)
    wav2vec = RepoBuilder(hub, WAV2VEC)
    main: Contents = {**multitalk_set.wav2vec_files(), **speech}
    wav2vec.commit(main)
    wav2vec.commit({SPEECH_WEIGHTS: weights}, ref="refs/pr/1", base="main")
    audio: Contents = {**multitalk_set.multitalk_files(), **_files(checkpoint / Path(MULTITALK).name)}
    RepoBuilder(hub, MULTITALK).commit(audio)


def _files(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
