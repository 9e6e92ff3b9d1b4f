"""One entry of the manifest's table is all that a field needs: reader, definition, page and Helm schema follow."""

from __future__ import annotations

from typing import Any

import pytest

import chart_docs
import crd
import manifest_reference
from init_sync.core.fields import Flag, Group, Rule, Text
from init_sync.core.problems import Problems

HOURS = Rule("[0-9]+h", "use hours such as '24h'", without=("00",))
SCRUB = Group(
    "How the volume is read again.",
    {
        "every": Text("How often it is read.", rule=HOURS, max_length=8, required=True),
        "now": Flag("At once.", default=True),
    },
)


def read(value: Any) -> tuple[Any, list[str]]:
    problems = Problems()
    return SCRUB.read(value, "spec.scrub", problems), [str(each) for each in problems.found]


def test_it_is_read_with_its_defaults() -> None:
    assert read({"every": "24h"}) == ({"every": "24h", "now": True}, [])
    assert read(None) == (None, []), "absent, and incomplete without what is required"


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({}, "spec.scrub.every: is required; use hours such as '24h'"),
        ({"every": "a day"}, "spec.scrub.every: 'a day' is not valid; use hours such as '24h'"),
        ({"every": "100h"}, "spec.scrub.every: '100h' is not valid; use hours such as '24h'"),
        ({"every": "1h", "noww": True}, "spec.scrub.noww: is not a known field; did you mean 'now'?"),
    ],
    ids=["missing", "another form", "a part that is not allowed", "misspelt"],
)
def test_its_problems_are_reported_with_its_path(value: Any, problem: str) -> None:
    assert read(value)[1] == [problem]


def test_the_definition_has_its_rule_as_a_sentence() -> None:
    schema = crd.schema(SCRUB)
    assert schema["required"] == ["every"]
    assert schema["properties"]["every"] == {
        "type": "string",
        "description": "How often it is read.",
        "minLength": 1,
        "maxLength": 8,
        "x-kubernetes-validations": [
            {"rule": "self.matches(r'^[0-9]+h$') && !self.contains('00')", "message": "use hours such as '24h'"}
        ],
    }


def test_the_page_has_a_row_for_it() -> None:
    page = manifest_reference.page({"properties": {"scrub": crd.schema(SCRUB), "status": crd.root()}})
    assert "| `every` | string | **required** | How often it is read. | use hours such as '24h'; at most 8" in page
    assert "| `now` | boolean | `true` | At once. |  |" in page


def test_the_helm_schema_has_its_type_and_refuses_other_keys() -> None:
    schema = chart_docs.of_manifest(SCRUB)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["now"] == {"type": "boolean", "description": "At once."}


def test_a_misspelt_option_of_an_entry_is_an_error() -> None:
    with pytest.raises(AttributeError):
        Flag("At once.", defualt=True)
