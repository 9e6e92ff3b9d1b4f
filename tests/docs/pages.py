"""The documents as GitHub reads them: headings with their anchors, links, code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parent.parent.parent
SHELL = ("", "sh", "shell", "bash")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code."""

    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Page:
    """One file, relative to the root of the repository."""

    name: str
    headings: tuple[str, ...]
    links: tuple[str, ...]
    blocks: tuple[Block, ...]
    spans: tuple[str, ...]
    """Code in running text."""

    @property
    def anchors(self) -> frozenset[str]:
        return frozenset(_anchors(self.headings))

    def commands(self) -> Iterator[str]:
        """Lines of shell in blocks, continued ones joined, without comments and prompts."""
        for block in self.blocks:
            if block.language in SHELL:
                for line in block.text.replace("\\\n", " ").splitlines():
                    command = re.sub(r"(^|\s)#\s.*", "", line).strip().removeprefix("$ ")
                    if command:
                        yield " ".join(command.split())


@cache
def pages() -> tuple[Page, ...]:
    folders = ("docs", "charts", "examples", "init_sync", "operator", "inference", "tests")
    files = [*ROOT.glob("*.md"), *(path for folder in folders for path in (ROOT / folder).rglob("*.md"))]
    return tuple(_read(path) for path in sorted(files) if not any(part.startswith(".") for part in path.parts))


def page(name: str) -> Page:
    return next(each for each in pages() if each.name == name)


def _read(path: Path) -> Page:
    tokens = list(MarkdownIt("commonmark").enable("table").parse(path.read_text()))
    inline = [child for token in tokens for child in token.children or ()]
    return Page(
        name=path.relative_to(ROOT).as_posix(),
        headings=tuple(_text(body) for head, body in pairwise(tokens) if head.type == "heading_open"),
        links=tuple(str(each.attrs.get("href") or each.attrs.get("src")) for each in inline if _is_link(each)),
        blocks=tuple(
            Block(token.info.strip(), token.content) for token in tokens if token.type in ("fence", "code_block")
        ),
        spans=tuple(each.content for each in inline if each.type == "code_inline"),
    )


def _is_link(token: Token) -> bool:
    return token.type in ("link_open", "image")


def _text(heading: Token) -> str:
    return "".join(child.content for child in heading.children or () if child.type in ("text", "code_inline"))


def _anchors(headings: tuple[str, ...]) -> Iterator[str]:
    """GitHub's rule: lower case, punctuation dropped, spaces to hyphens, a number for what comes again."""
    seen: dict[str, int] = {}
    for heading in headings:
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        yield f"{anchor}-{count}" if count else anchor
