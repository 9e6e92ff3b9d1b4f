"""What the defaults render to, whole: a change to the chart shows as a change to these files.

MODELCACHE_UPDATE_GOLDEN=1 .venv/bin/python -m pytest tests/chart/test_golden.py
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from chart.sets import SETS
from support.helm import CHART, Helm

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["defaults", "standalone", "copies"])
def test_the_objects_are_those_of_the_golden_file(helm: Helm, name: str) -> None:
    release = SETS[name]
    arguments = ["template", release.name, str(CHART), "--namespace", release.namespace]
    text = plain(helm.run(*arguments, values=release.values))
    path = GOLDEN / f"{name}.yaml"
    if os.environ.get("MODELCACHE_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), "if that is meant, run again with MODELCACHE_UPDATE_GOLDEN=1"


def test_the_notes_are_those_of_the_golden_file(helm: Helm) -> None:
    arguments = ["install", "multitalk", str(CHART), "--namespace", "models", "--dry-run=client"]
    notes = plain(helm.run(*arguments, values={})).partition("NOTES:\n")[2]
    path = GOLDEN / "notes.txt"
    if os.environ.get("MODELCACHE_UPDATE_GOLDEN"):
        path.write_text(notes)
    assert notes == path.read_text(), "if that is meant, run again with MODELCACHE_UPDATE_GOLDEN=1"


def plain(text: str) -> str:
    """Helm's versions differ in the empty lines around documents."""
    return re.sub(r"\n+(---\n|$)", r"\n\1", text)
