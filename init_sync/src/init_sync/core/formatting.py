"""Numbers as people read them."""

from __future__ import annotations

from io import TextIOWrapper


def size(count: float) -> str:
    """Bytes in binary units, as Kubernetes shows them: ``86.2 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


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
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )
