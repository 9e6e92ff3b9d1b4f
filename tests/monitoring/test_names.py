"""Names of metrics follow Prometheus: ``_total`` on counters alone, base units, the unit last."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from monitoring.exported import Exported

PARTS = re.compile(r"_(total|bucket|sum|count)$")
OTHER_UNITS = re.compile(
    r"_(ms|(milli|micro)seconds|minutes|hours|days|bits|[kmgt]i?b|(kilo|mega|giga|tera|kibi|mebi|gibi)bytes|percent)(_|$)"
)
UNIT_INSIDE = re.compile(r"_(bytes|seconds)_(?!per_second$)")


def breaches(name: str, kind: str) -> Iterator[str]:
    """What is wrong with the name of one series; ``kind`` is the type of its family."""
    if (kind == "counter") != name.endswith("_total"):
        yield f"{name}: _total is for counters, and this is a {kind}"
    stem = PARTS.sub("", name)
    if found := OTHER_UNITS.search(stem):
        yield f"{name}: {found[1]} is no base unit"
    if UNIT_INSIDE.search(stem):
        yield f"{name}: the unit comes last"


def test_every_name_follows_the_rules(exported: Exported) -> None:
    assert exported
    assert [breach for name, series in exported.items() for breach in breaches(name, series.kind)] == []


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("modelcache_sync_bytes_total", "gauge", "this is a gauge"),
        ("modelcache_syncs", "counter", "this is a counter"),
        ("modelcache_wait_minutes", "gauge", "minutes is no base unit"),
        ("modelcache_wait_ms_bucket", "histogram", "ms is no base unit"),
        ("modelcache_size_gib", "gauge", "gib is no base unit"),
        ("modelcache_bytes_fetched_total", "counter", "unit comes last"),
    ],
)
def test_a_wrong_name_is_found(name: str, kind: str, problem: str) -> None:
    (found,) = breaches(name, kind)
    assert problem in found


def test_promtool_has_nothing_to_say(promtool: str, expositions: dict[str, str]) -> None:
    for program, text in expositions.items():
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), program
