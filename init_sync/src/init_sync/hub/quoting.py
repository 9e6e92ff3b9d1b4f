"""What a server sent, in words that are fit for one line of a log or report.

A header is quoted with a limit and without control characters: whatever sits at that address chose it. A body is never
quoted, only named by its kind: it may be a page that holds secrets of others.
"""

from __future__ import annotations

from init_sync.shell.formatting import printable

KINDS = (
    (b"version https://git-lfs", "a git-lfs pointer"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<", "XML or HTML"),
    (b"{", "JSON"),
    (b"[", "JSON"),
    (b"\x1f\x8b", "gzip"),
)
LONGEST_KIND = max(len(start) for start, _ in KINDS)


def quoted(text: str, most: int = 200) -> str:
    """``text`` on one line, cut, with everything escaped that a terminal or a reader might take for something else."""
    line = printable(_decoded(text[: 4 * most]))
    return line if len(line) <= most else f"{line[: most - 3]}..."


def kind(beginning: bytes) -> str:
    """What a body is, by its first bytes."""
    if not beginning:
        return "nothing"
    start = beginning.lstrip().lower() if beginning[:1] != b"\x1f" else beginning
    for known, name in KINDS:
        if start.startswith(known):
            return name
    return "text" if beginning.isascii() else "binary data"


def _decoded(text: str) -> str:
    """Headers are read as Latin-1; most servers mean UTF-8."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text
