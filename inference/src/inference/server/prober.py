"""Checks uploads: one request at a time, in a child process with limits on memory and time (`media.probe`).

However many uploads arrive together, they take the memory of one check: `MediaLimits.memory_bytes`. The child is
started for each request rather than kept: 0.3 s before minutes of generation, and no file meets what another left.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.generation import FileField, InvalidInput, MediaInfo, VoiceInfo
from inference.media import probe
from inference.media.kinds import is_clip
from inference.media.limits import INVALID, INVALID_CLIP, MediaLimits
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

TIME_S = 30
COMMAND = (sys.executable, "-I", "-B", "-m", probe.__name__)
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""The child inherits no other variable."""


@dataclass(frozen=True, slots=True)
class MediaFiles:
    """The files of one request; None is a person who is silent."""

    reference: Path
    """A picture, or a clip."""
    voices: tuple[Path | None, ...]

    def by_field(self) -> list[tuple[FileField, Path]]:
        return [("input_reference", self.reference), *(("audio", path) for path in self.voices if path)]


class Prober:
    """Starts the program, one at a time."""

    def __init__(self, limits: MediaLimits, time_s: int = TIME_S) -> None:
        self._limits = limits
        self._time_s = time_s
        self._one_at_a_time = asyncio.Lock()

    async def probe(self, files: MediaFiles, *, clips: bool = False) -> MediaInfo:
        """Decode all files to their ends; raises `InvalidInput` for the first that cannot be used.

        A clip may take as long as the longest one plays, beside the time for everything else.
        """
        asked = files.by_field()
        clip = clips and is_clip(files.reference)
        time_s = self._time_s + (math.ceil(self._limits.seconds) if clip else 0)
        async with self._one_at_a_time:
            lines, end = await self._run(asked, clips, time_s)
        if not lines:
            raise RuntimeError(f"the program that checks uploads did not start: {end}")
        results = lines[1:]
        if results and "refused" in results[-1]:
            field, _ = asked[len(results) - 1]
            raise InvalidInput(field, str(results[-1]["refused"]), str(results[-1]["code"]))
        if len(results) < len(asked):
            field, _ = asked[len(results)]
            log.warning("upload not decoded", extra=fields(field=field, end=end))
            memory = f"{self._limits.memory_bytes >> 20} MiB of memory"
            code = INVALID_CLIP if clip and field == "input_reference" else INVALID[field]
            raise InvalidInput(field, f"cannot be decoded within {memory} and {time_s} s.", code)
        return _info(results, files)

    async def _run(
        self, asked: list[tuple[FileField, Path]], clips: bool, time_s: int
    ) -> tuple[list[dict[str, Any]], str]:
        """The lines that it printed, no more than expected, and how it ended."""
        files = [(field, str(path)) for field, path in asked]
        question = {"limits": asdict(self._limits), "clips": clips, "time_s": time_s, "files": files}
        lines: list[dict[str, Any]] = []
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            env=ENVIRONMENT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # an upload can make a decoder write anything there
            start_new_session=True,  # Ctrl-C is for the server
        )
        assert process.stdin
        assert process.stdout
        try:
            async with asyncio.timeout(time_s):
                process.stdin.write(json.dumps(question).encode())
                process.stdin.close()
                while line := await process.stdout.readline():
                    lines.append(json.loads(line))
                    if len(lines) > len(asked) + 1:  # our program never prints more
                        return lines, "endless lines"
                return lines, f"exit code {await process.wait()}"
        except TimeoutError:
            return lines, f"{time_s} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()  # wait() alone would hang while the pipe is full


def _info(results: list[dict[str, Any]], files: MediaFiles) -> MediaInfo:
    reference, *voices = results
    found = iter(voices)
    return MediaInfo(
        int(reference["width"]),
        int(reference["height"]),
        tuple(VoiceInfo(**next(found)) if path else None for path in files.voices),
    )
