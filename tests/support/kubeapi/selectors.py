"""Label and field selectors, without sets (``in``, ``notin``)."""

from __future__ import annotations

import re
from collections.abc import Callable

from support.kubeapi.errors import ApiError

Lookup = Callable[[str], str | None]


def selector(text: str | None) -> Callable[[Lookup], bool]:
    """``a=b,c!=d,e,!f`` as a test of a lookup function."""
    tests = [_test(term.strip()) for term in text.split(",")] if text else []
    return lambda lookup: all(test(lookup) for test in tests)


def _test(term: str) -> Callable[[Lookup], bool]:
    match = re.fullmatch(r"(!?)([\w./-]+)(?:\s*(!=|==?)\s*(\S*))?", term)
    if match is None:
        raise ApiError(400, "BadRequest", f"selector {term}: only name, !name, name=value and name!=value are known")
    absent, name, operator, value = match.groups()
    if operator:
        return lambda lookup: ((lookup(name) or "") == value) != (operator == "!=")
    return lambda lookup: (lookup(name) is None) == bool(absent)
