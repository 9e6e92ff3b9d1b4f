"""What the operator writes: patches, names of Jobs."""

from __future__ import annotations

import pytest

from modelcache_operator.core.names import job_name
from modelcache_operator.kube.writer import difference


def test_a_merge_patch_holds_only_what_changed() -> None:
    old = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1]}
    assert difference(old, old) == {}
    assert difference(old, {"a": 1, "b": {"c": 1, "d": 3}, "f": 4}) == {"b": {"d": 3}, "e": None, "f": 4}


@pytest.mark.parametrize("length", [1, 40, 63])
def test_job_names_fit_into_a_label_and_differ(length: int) -> None:
    found = {job_name("a" * length, attempt) for attempt in (1, 999, 123456789)}
    assert len(found) == 3
    assert all(len(name) <= 63 for name in found)


def test_long_names_that_begin_alike_have_different_jobs() -> None:
    assert job_name("a" * 62 + "b", 1) != job_name("a" * 62 + "c", 1)
