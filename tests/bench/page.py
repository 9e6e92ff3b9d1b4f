"""Replacing one chapter of a Markdown page, leaving the others as they are."""

from __future__ import annotations

from pathlib import Path


def publish(text: str, title: str, path: Path | None) -> None:
    """Print a chapter, and put it into a page if one is named."""
    print(text)
    if path:
        rewrite(path, title, text)


def rewrite(path: Path, title: str, text: str) -> None:
    """Put ``text`` under the heading ``## title``; the chapter is added when there is none."""
    page = path.read_text() if path.exists() else "# Benchmarks\n"
    before, heading, rest = page.partition(f"## {title}\n")
    after = rest[rest.index("\n## ") :] if "\n## " in rest else "\n"
    if not heading:
        before, after = page.rstrip("\n") + "\n\n", "\n"
    path.write_text(f"{before}## {title}\n\n{text}\n{after}")
