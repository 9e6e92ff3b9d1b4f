"""Links lead somewhere, within the repository."""

from __future__ import annotations

import pytest

from .pages import ROOT, Page, pages

OUTSIDE = ("http://", "https://", "mailto:")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Page) -> None:
    assert [link for link in page.links if (problem := _problem(page, link)) and print(problem) is None] == []


def test_every_page_of_docs_can_be_reached_from_the_readme() -> None:
    reached, open_pages = set(), ["README.md"]
    by_name = {page.name: page for page in pages()}
    while open_pages:
        name = open_pages.pop()
        if name in by_name and name not in reached:
            reached.add(name)
            open_pages += [_target(by_name[name], link)[0] for link in by_name[name].links]
    assert {name for name in by_name if name.startswith("docs/")} <= reached


def _problem(page: Page, link: str) -> str | None:
    if link.startswith(OUTSIDE):
        return None
    name, anchor = _target(page, link)
    if not (ROOT / name).exists():
        return f"{page.name}: {link}: there is no {name}"
    anchors = next((each.anchors for each in pages() if each.name == name), frozenset())
    return f"{page.name}: {link}: {name} has no such heading" if anchor and anchor not in anchors else None


def _target(page: Page, link: str) -> tuple[str, str]:
    """Name of the file, from the root, and the anchor in it."""
    path, _, anchor = link.partition("#")
    if not path:
        return page.name, anchor
    target = (ROOT / page.name).parent / path
    return target.resolve().relative_to(ROOT).as_posix(), anchor
