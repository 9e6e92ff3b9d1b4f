"""What to fetch, and in which order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from init_sync.core.requirement import RequiredFile


@dataclass(frozen=True, slots=True)
class Wanted:
    """Content to fetch, and every place on the volume where it belongs."""

    content_id: str
    size: int
    places: tuple[str, ...]
    label: str
    """How log lines call it."""


def group(files: Iterable[RequiredFile]) -> list[Wanted]:
    """Each content once, however many places want it."""
    places: dict[tuple[str, int], list[RequiredFile]] = defaultdict(list)
    for file in files:
        places[file.content_id, file.size].append(file)
    return [
        Wanted(content_id, count, tuple(file.path for file in files_of_it), files_of_it[0].path)
        for (content_id, count), files_of_it in places.items()
    ]


def small_first(wanted: list[Wanted], sources: Mapping[str, RequiredFile]) -> list[Wanted]:
    """The smallest file of each repository first: a refused one shows before the first large file is fetched."""
    smallest: dict[str, Wanted] = {}
    for each in wanted:
        repo = sources[each.places[0]].repo
        if repo not in smallest or each.size < smallest[repo].size:
            smallest[repo] = each
    first = list(smallest.values())
    return first + [each for each in wanted if each not in first]
