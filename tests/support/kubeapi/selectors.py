"""Label and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable

Lookup = Callable[[str], str | None]


def selector(text: str | None) -> Callable[[Lookup], bool]:
    """``a=b,c!=d,e in (f,g),h,!i`` as a test of a lookup function."""
    tests = [_test(term.strip()) for term in re.split(r",(?![^(]*\))", text)] if text else []
    return lambda lookup: all(test(lookup) for test in tests)


def _test(term: str) -> Callable[[Lookup], bool]:
    if match := re.fullmatch(r"([\w./-]+)\s+(in|notin)\s+\((.*)\)", term):
        values = {each.strip() for each in match[3].split(",")}
        return _among(match[1], values, match[2] == "notin")
    if match := re.fullmatch(r"([\w./-]+)\s*(!=|==?)\s*(.*)", term):
        return _among(match[1], {match[3].strip()}, match[2] == "!=")
    name = term.lstrip("!")
    return lambda lookup: (lookup(name) is not None) != term.startswith("!")


def _among(name: str, values: set[str], negated: bool) -> Callable[[Lookup], bool]:
    return lambda lookup: ((lookup(name) or "") in values) != negated
