"""The program that checks uploads, in a process of its own with limits on memory and time.

Decoders of pictures, clips and sound are large and written in C. A file that exhausts or takes over a decoder must not
reach the process that holds the model; it ends this process alone. Each run decodes the files of one request to their
ends, so that a damaged file is refused when it is sent and not minutes later on the device. Only sizes are reported;
the engine decodes the files again.

    stdin   {"limits": {"pixels": 50000000, "seconds": 40.0}, "clips": true, "time_s": 30,
             "files": [["input_reference", "/..."], ...]}
    stdout  {"ready": true}
            {"width": 64, "height": 48}
            {"seconds": 0.8, "start": 0.0}
            {"refused": "holds no sound.", "code": "invalid_audio"}

One line for each file, in their order; the first refusal is the last line.

`inference.server.prober` starts it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from inference.generation import FileField, InvalidInput
from inference.media.limits import INVALID, MediaLimits


def main() -> None:
    """Read the question, confine this process, decode."""
    question = json.load(sys.stdin)
    limits = MediaLimits(**question["limits"])
    _confine(limits.memory_bytes, question["time_s"])
    import inference.media.audio_file
    import inference.media.reference  # noqa: F401 - what is imported under the limits fits into them

    print(json.dumps({"ready": True}), flush=True)
    for field, path in question["files"]:
        result = _decode(field, Path(path), limits, question["clips"])
        print(json.dumps(result), flush=True)
        if "refused" in result:
            return


def _confine(memory_bytes: int, seconds: int) -> None:
    """The kernel enforces these, whatever a decoder is made to do; none can be raised again."""
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),  # no file is written
        (resource.RLIMIT_NPROC, 0),  # no process and no thread is started
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    # FFmpeg would start a thread for each processor that it sees.
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])


def _decode(field: FileField, path: Path, limits: MediaLimits, clips: bool) -> dict[str, float | str]:
    from inference.media.audio_file import measure_audio
    from inference.media.reference import measure_reference

    try:
        if field == "input_reference":
            width, height = measure_reference(path, limits, clips=clips)
            return {"width": width, "height": height}
        return asdict(measure_audio(path, limits))
    except InvalidInput as refusal:
        return {"refused": refusal.message, "code": refusal.code}
    except Exception as error:  # damaged files make Pillow raise nearly anything
        return {"refused": f"cannot be decoded ({type(error).__name__}).", "code": INVALID[field]}


if __name__ == "__main__":
    main()
