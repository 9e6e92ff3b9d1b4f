"""Looks into uploads: one request at a time, in a child process with limits on memory and time (`media.probe`).

However many uploads arrive together, one look is all the memory that they take: `MediaLimits.memory_bytes`. The child
is started for each request rather than kept: 0.3 s before minutes of generation, and no file meets what another left.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inference.generation import InvalidInput
from inference.media import probe
from inference.media.limits import MediaLimits

log = logging.getLogger(__name__)

TIME_S = 30
COMMAND = (sys.executable, "-I", "-B", "-m", probe.__name__)
ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""All that the child sees of ours."""


@dataclass(frozen=True, slots=True)
class MediaFiles:
    """The files of one request; None is a person who keeps silent."""

    picture: Path
    voices: tuple[Path | None, ...]

    def by_field(self) -> list[tuple[str, str]]:
        return [(probe.PICTURE, str(self.picture)), *(("audio", str(path)) for path in self.voices if path)]


@dataclass(frozen=True, slots=True)
class Media:
    """The picture's size in pixels, upright, and the length of each voice; 0 for a person who keeps silent."""

    width: int
    height: int
    seconds: tuple[float, ...]


class Prober:
    """Starts the program, one at a time."""

    def __init__(self, limits: MediaLimits, time_s: int = TIME_S) -> None:
        self._limits = limits
        self._time_s = time_s
        self._one_at_a_time = asyncio.Lock()

    async def look(self, files: MediaFiles) -> Media:
        """Decode all files to their end; raises `InvalidInput` for the first that cannot be used."""
        asked = files.by_field()
        async with self._one_at_a_time:
            lines, end = await self._run(asked)
        if not lines:
            raise RuntimeError(f"the program that looks into uploads did not start: {end}")
        answers = lines[1:]
        if answers and "refused" in answers[-1]:
            raise InvalidInput(asked[len(answers) - 1][0], str(answers[-1]["refused"]))
        if len(answers) < len(asked):
            field = asked[len(answers)][0]
            log.warning('event=probe_failed field=%s end="%s"', field, end)
            memory = f"{self._limits.memory_bytes >> 20} MiB of memory"
            raise InvalidInput(field, f"cannot be decoded within {memory} and {self._time_s} s.")
        return _media(answers, files)

    async def _run(self, asked: list[tuple[str, str]]) -> tuple[list[dict[str, Any]], str]:
        """The lines that it printed, no more than there can be, and how it ended."""
        question = {"limits": asdict(self._limits), "seconds": self._time_s, "files": asked}
        lines: list[dict[str, Any]] = []
        process = await asyncio.create_subprocess_exec(
            *COMMAND,
            env=ENVIRONMENT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # decoders write there what a file makes them write
            start_new_session=True,  # Ctrl-C is for the server
        )
        assert process.stdin
        assert process.stdout
        try:
            async with asyncio.timeout(self._time_s):
                process.stdin.write(json.dumps(question).encode())
                process.stdin.close()
                while line := await process.stdout.readline():
                    lines.append(json.loads(line))
                    if len(lines) > len(asked) + 1:  # nothing of ours says more than was asked
                        return lines, "endless lines"
                return lines, f"exit code {await process.wait()}"
        except TimeoutError:
            return lines, f"{self._time_s} s"
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()  # to wait alone would be in vain while there is something to read


def _media(answers: list[dict[str, Any]], files: MediaFiles) -> Media:
    picture, *voices = answers
    lengths = iter(voices)
    seconds = tuple(float(next(lengths)["seconds"]) if path else 0.0 for path in files.voices)
    return Media(int(picture["width"]), int(picture["height"]), seconds)
