"""A line of the log: plain text for people, or one JSON object for log collectors.

    text   Base model complete: False
    json   {"time": "2026-11-23T01:02:03.456Z", "level": "info", "message": "Base model complete: False"}

Text lines carry no time: a container runtime adds its own. Warnings and errors say so in front.
"""

from __future__ import annotations

import time

from init_sync.core.formatting import printable


def text_line(level: str, message: str, exception: str = "") -> str:
    """One line, and below it the traceback of a fault of our own."""
    text = printable(message) if level == "info" else f"{level}: {printable(message)}"
    return f"{text}\n{exception}" if exception else text


def json_line(level: str, message: str, exception: str = "", at_s: float | None = None) -> str:
    import json

    seconds = time.time() if at_s is None else at_s
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}Z"
    fields = {"time": stamp, "level": level, "message": message, **({"exception": exception} if exception else {})}
    line = json.dumps(fields, ensure_ascii=False)
    # Letters of all languages stay; what moves a cursor or turns the writing is escaped, as JSON does it.
    return line if line.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in line)
