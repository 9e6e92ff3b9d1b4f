"""Hooks of the documentation site (mkdocs.yml): the README is its home, and links out of docs/ become names of files.

Pages link to examples, charts and modules of the repository, which a site built without network cannot offer.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
TARGET = re.compile(r"\[([^\]]+)\]\(([^)\s:]+)\)")
"""Of a Markdown link or picture, without a scheme."""
LINK = re.compile(rf"(?<!!){TARGET.pattern}")
"""The same of links alone."""
BADGE = re.compile(r'^<a href="\.\./\.\./actions.*\n', re.MULTILINE)
"""It leads to where the repository is hosted."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the README as the page index.md."""
    files.append(File.generated(config, "index.md", content=home((ROOT / "README.md").read_text(encoding="utf-8"))))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Name what a link leads to where it is not part of the site."""
    return outside_named(markdown, posixpath.dirname(page.file.src_uri))


def home(readme: str) -> str:
    """The README with links as seen from docs/."""

    def moved(found: re.Match[str]) -> str:
        path = found[2]
        return f"[{found[1]}]({path if path.startswith('#') else posixpath.relpath(path, 'docs')})"

    return TARGET.sub(moved, BADGE.sub("", readme))


def outside_named(markdown: str, folder: str) -> str:
    """Replace links that lead out of docs/ by their text and the path from the root of the repository."""

    def named(found: re.Match[str]) -> str:
        path, _, _ = found[2].partition("#")
        target = posixpath.normpath(posixpath.join("docs", folder, path))
        if not path or target.startswith("docs/"):
            return found[0]
        text = found[1]
        return text if target.rstrip("/") in text else f"{text} (`{target}`)"

    return LINK.sub(named, markdown)
