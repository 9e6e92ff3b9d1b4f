"""The program that looks into uploads, in a process of its own with little memory and time.

Decoders of pictures and sound are large and written in C. What an upload makes of them must not reach the process that
holds the model: a file that takes too much, or takes a decoder over, ends this process alone. Each run looks into the
files of one request and decodes each to its end, so that a damaged file is refused when it is sent and not minutes
later on the device. Nothing is kept but sizes; the engine decodes again for itself.

    stdin   {"limits": {"pixels": 50000000, "voice_s": 600.0}, "seconds": 30, "files": [["image", "/scratch/..."], ...]}
    stdout  {"ready": true}
            {"width": 64, "height": 48}
            {"refused": "holds no sound."}       one line for each file, in their order; the first refusal is the last

`inference.server.prober` starts it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

from inference.generation import InvalidInput
from inference.media.limits import MediaLimits

PICTURE = "image"
"""The field whose file is a picture; the others are voices."""


def main() -> None:
    """Read the question, give up what is not needed, answer."""
    question = json.load(sys.stdin)
    limits = MediaLimits(**question["limits"])
    _confine(limits.memory_bytes, question["seconds"])
    import inference.media.image_file
    import inference.media.voice_file  # noqa: F401 - what is imported under the limits fits into them

    print(json.dumps({"ready": True}), flush=True)
    for field, path in question["files"]:
        answer = _look(field, Path(path), limits)
        print(json.dumps(answer), flush=True)
        if "refused" in answer:
            return


def _confine(memory_bytes: int, seconds: int) -> None:
    """The kernel keeps these for us, whatever a decoder is made to do; none can be raised again."""
    for limit, value in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),  # it writes no file
        (resource.RLIMIT_NPROC, 0),  # and starts no process and no thread
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(limit, (value, value))
    # FFmpeg would start a thread for each processor that it sees.
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])


def _look(field: str, path: Path, limits: MediaLimits) -> dict[str, float | str]:
    from inference.media.image_file import decode_image
    from inference.media.voice_file import voice_seconds

    try:
        if field == PICTURE:
            picture = decode_image(path, limits)
            return {"width": picture.width, "height": picture.height}
        return {"seconds": voice_seconds(path, field, limits)}
    except InvalidInput as refusal:
        return {"refused": refusal.message}
    except Exception as error:  # damaged files make Pillow raise nearly anything
        return {"refused": f"cannot be decoded ({type(error).__name__})."}


if __name__ == "__main__":
    main()
