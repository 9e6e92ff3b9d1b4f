"""Numbers, times and text from elsewhere, as people read them."""

from __future__ import annotations

import time
from io import TextIOWrapper


def size(count: float) -> str:
    """Bytes in binary units, with three digits at most: ``86.2 GiB``, ``310 MiB``."""
    number, prefix = _scaled(count)
    return f"{number} {prefix}B"


def quantity(count: float) -> str:
    """The same as Kubernetes writes it: ``86.2Gi``."""
    return "".join(_scaled(count))


def _scaled(count: float) -> tuple[str, str]:
    value, prefixes = float(count), ["", "Ki", "Mi", "Gi", "Ti", "Pi"]
    while value >= 999.5 and len(prefixes) > 1:
        value, prefixes = value / 1024, prefixes[1:]
    return f"{value:.{0 if value >= 99.95 or not prefixes[0] else 1}f}", prefixes[0]


def duration(seconds: float) -> str:
    """``0.3s``, ``42s``, ``5m03s``, ``2h10m``."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def timestamp(at_s: float) -> str:
    """``2026-11-23T01:02:03.456789Z``: RFC 3339, and what Kubernetes calls a MicroTime."""
    seconds, micros = divmod(round(at_s * 1e6), 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{micros:06d}Z"


def percent(part: int, total: int) -> int:
    """Rounded down, so that 100 % means all of it."""
    return 100 * part // total if total else 0


def listed(names: list[str], most: int = 5) -> str:
    """A few names, and how many more there are."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def accept_any_text(stream: object) -> None:
    """Names come from elsewhere, and what a stream cannot write must cost no line: it is escaped, under LANG=C too."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    """Text from elsewhere on one line: what would move the cursor, break the line or turn the writing is escaped."""
    if text.isprintable():
        return text
    import json  # escapes as in the other format of the log

    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
