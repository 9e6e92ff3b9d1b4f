"""Command line of the measurements; each prints one JSON line.

python tools/bench_multitalk.py step --people 2         a step of the transformer, random weights, nothing read
python tools/bench_multitalk.py checkpoint /models      write files of the published sizes (90 GB)
python tools/bench_multitalk.py volume /models          load a volume and make a short video, real files or those
python tools/bench_multitalk.py length --minutes 1 5    peak memory of long videos, on a tiny checkpoint
python tools/bench_multitalk.py exchange --devices 4    compute what several GPUs exchange in a step, and its time
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch

from inference.engine.device import choose_device
from inference.engine.errors import EngineError
from inference.engine.video.buckets import SIZES
from inference.generation import InvalidInput
from multitalk_bench.exchange import Exchange
from multitalk_bench.length import measure_apart
from multitalk_bench.step import Setting, describe, measure
from multitalk_bench.volume import Task, measure_volume
from multitalk_checkpoint import official
from multitalk_checkpoint.full_size import RepeatedNoise
from multitalk_checkpoint.writing import write_checkpoint

GIB = 2**30


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description="Measure MultiTalk on this machine.")
    commands = parser.add_subparsers(required=True)
    _add_step(commands.add_parser("step", help="time a step of the transformer with random weights"))
    _add_checkpoint(commands.add_parser("checkpoint", help="write files of the published sizes with random numbers"))
    _add_volume(commands.add_parser("volume", help="load the models of a volume and make a short video"))
    _add_length(commands.add_parser("length", help="watch the memory that long videos take, on a tiny checkpoint"))
    _add_exchange(commands.add_parser("exchange", help="compute what several GPUs exchange in a step, and its time"))
    options = vars(parser.parse_args())
    try:
        options.pop("run")(options)
    except (EngineError, InvalidInput, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


def _count(text: str) -> int:
    """A whole number above 0."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _add_step(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--people", type=int, choices=(1, 2), default=1)
    parser.add_argument("--two-passes", action="store_true", help="text guidance 1, as with distilled LoRAs")
    parser.add_argument("--height", type=_count, default=640)
    parser.add_argument("--width", type=_count, default=640)
    parser.add_argument("--frames", type=_count, default=81)
    parser.add_argument("--steps", type=_count, default=3)
    parser.add_argument(
        "--layers", type=_count, default=official.DIT.num_layers, help="fewer layers fit smaller devices"
    )
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--one-by-one", dest="batch_passes", action="store_false", help="do not batch the passes")
    parser.set_defaults(run=_step)


def _step(options: dict[str, object]) -> None:
    config = replace(official.DIT, num_layers=options.pop("layers"))  # type: ignore[arg-type]
    setting = Setting(device=choose_device(str(options.pop("device"))), **options)  # type: ignore[arg-type]
    print(json.dumps(describe(setting, measure(config, setting))))


def _add_checkpoint(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("volume", type=Path, help="directory that shall hold the three model directories")
    parser.add_argument("--layers", type=_count, default=official.DIT.num_layers)
    parser.add_argument("--bfloat16", action="store_true", help="half the size; the published shards are float32")
    parser.set_defaults(run=_checkpoint)


def _checkpoint(options: dict[str, object]) -> None:
    volume = Path(str(options["volume"]))
    dtype = torch.bfloat16 if options["bfloat16"] else torch.float32
    dit = replace(official.DIT, num_layers=int(str(options["layers"])))
    write_checkpoint(volume, replace(official.networks(), dit=dit, dit_dtype=dtype), RepeatedNoise())
    size = sum(path.stat().st_size for path in volume.rglob("*") if path.is_file())
    print(json.dumps({"volume": str(volume), "bytes": size}))


def _add_volume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("volume", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--memory-limit-gib", type=float)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--resolution", choices=tuple(SIZES), default="multitalk-480")
    parser.add_argument("--room-for", choices=tuple(SIZES), default="multitalk-480")
    parser.add_argument("--people", type=int, choices=(1, 2), default=1)
    parser.add_argument("--frames", type=_count, default=81, help="length of the video at 25 frames a second")
    parser.add_argument("--steps", type=_count, default=3)
    parser.set_defaults(run=_volume)


def _volume(options: dict[str, object]) -> None:
    limit = options.pop("memory_limit_gib")
    task = Task(**options, memory_limit_bytes=None if limit is None else int(float(str(limit)) * GIB))  # type: ignore[arg-type]
    print(json.dumps(measure_volume(task)))


def _add_length(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5, 10])
    parser.set_defaults(run=_length)


def _length(options: dict[str, object]) -> None:
    for minutes in cast("list[float]", options["minutes"]):
        print(json.dumps(measure_apart(60 * minutes)), flush=True)


def _add_exchange(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--devices", type=_count, required=True)
    parser.add_argument("--tokens", type=_count, default=33_600, help="of a window; 33,600 is 480p, 75,600 is 720p")
    parser.add_argument("--people", type=int, choices=(1, 2), default=1)
    parser.add_argument("--alone-s", type=float, required=True, help="seconds of the step on one GPU, as measured")
    parser.add_argument("--gigabytes-per-second", type=float, required=True, help="what a GPU sends to the others")
    parser.set_defaults(run=_exchange)


def _exchange(options: dict[str, object]) -> None:
    rates = {name: float(str(options.pop(name))) for name in ("alone_s", "gigabytes_per_second")}
    print(json.dumps(Exchange(**options).describe(official.DIT, **rates)))  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
