"""The reference of the manifest says what the custom resource definition says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from support.manifest_reference import (
    REFERENCE,
    RULES,
    WORDINGS,
    Schema,
    Wording,
    pattern_at,
    reference,
    schema,
    tables,
)


def test_the_page_is_up_to_date() -> None:
    assert REFERENCE.read_text() == reference(schema()), "run `make docs`"


def test_every_field_has_a_row_in_the_table_of_its_object() -> None:
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", REFERENCE.read_text(), re.MULTILINE | re.DOTALL))
    missing = [
        f"{path}.{name}"
        for path, each in tables(schema())
        for name in each["properties"]
        if f"| `{name}` |" not in sections[path]
    ]
    assert missing == []


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda wording: wording.field)
def test_the_words_for_a_pattern_fit_it(wording: Wording) -> None:
    pattern = re.compile(pattern_at(schema(), wording.field))
    assert [each for each in wording.accepts if not pattern.search(each)] == []
    assert [each for each in wording.refuses if pattern.search(each)] == []


def test_every_rule_in_words_is_a_rule_of_the_schema() -> None:
    assert set(RULES) <= set(_messages(schema()))


def _messages(field: Schema) -> Iterator[str]:
    yield from (rule["message"] for rule in field.get("x-kubernetes-validations", ()))
    for inner in (*field.get("properties", {}).values(), *([field["items"]] if "items" in field else [])):
        yield from _messages(inner)
