"""JSON with one part of it changed, for tests that feed what nobody wrote."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.sampled_from(["a\0b", "\ud800", "../../etc/passwd", "/etc/passwd", "sha256:", "md5:00", "x" * 5000, 1e999]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def mutated(value: Any, data: st.DataObject) -> Any:
    """The value with one part of it, chosen anywhere, replaced or left out."""
    holder: dict[str, Any] = {"root": copy.deepcopy(value)}
    at: Any = holder
    key: Any = "root"
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.integers(0, 5)):
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    if at is not holder and isinstance(at, dict) and data.draw(st.booleans()):
        del at[key]
    else:
        at[key] = data.draw(JSON)
    return holder["root"]
