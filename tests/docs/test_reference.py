"""What is made of the manifest's table is up to date, and says everything."""

from __future__ import annotations

import re

import crd
import generate
from manifest_reference import REFERENCE, tables


def test_generated_files_are_up_to_date() -> None:
    assert generate.stale() == [], "run `make generated`"


def test_every_field_has_a_row_in_the_table_of_its_object() -> None:
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", REFERENCE.read_text(), re.MULTILINE | re.DOTALL))
    missing = [
        f"{path}.{name}"
        for path, each in tables(crd.root())
        for name in each["properties"]
        if f"| `{name}` |" not in sections[path]
    ]
    assert missing == []
