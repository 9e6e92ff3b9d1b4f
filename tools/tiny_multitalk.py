"""Write a tiny MultiTalk checkpoint: ``python tools/tiny_multitalk.py DIR``."""

from __future__ import annotations

import argparse
from pathlib import Path

from inference.multitalk import AUDIO, BASE, WAV2VEC
from multitalk_checkpoint.tiny import write_tiny


def main() -> None:
    parser = argparse.ArgumentParser(description="Write a tiny MultiTalk checkpoint in the official layout.")
    parser.add_argument("folder", type=Path, help="directory that shall hold the three model directories")
    folder = write_tiny(parser.parse_args().folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {BASE}, {WAV2VEC}, {AUDIO}, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
