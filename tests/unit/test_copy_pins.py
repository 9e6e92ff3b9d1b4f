"""Pins of another copy: what a file of them may be, and what a volume must be like to agree with them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from init_sync.core.copy_pins import Pin, held_against, parse_pins
from init_sync.core.model_check import ModelCheck
from init_sync.core.reasons import Reason
from init_sync.core.receipt import Receipt
from init_sync.core.spec import Model

PIN = Pin("a" * 40, "sha256:" + "b" * 64)
ENTRY = {"name": "base", "commit": PIN.commit, "digest": PIN.digest, "complete": True}
MODEL = Model(name="base", display_name="base", repo="owner/base", revision="main", path="base")


def receipt(digest: str) -> Receipt:
    return Receipt(
        model="base",
        path="base",
        repo="owner/base",
        revision="main",
        requirement="",
        commits={"main": PIN.commit},
        chosen={},
        files=(),
        links=(),
        verified_at="",
        digest=digest,
    )


def test_the_report_of_a_complete_copy_is_a_file_of_pins() -> None:
    assert parse_pins(json.dumps({"cache": "c", "models": [ENTRY]})) == {"base": PIN}


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ("{", "is not a report"),
        ("[]", "is not a report"),
        ("[" * 100_000, "is not a report"),
        ({"models": {}}, "is not a report"),
        ({"models": [1]}, "without a name"),
        ({"models": [{**ENTRY, "name": 1}]}, "without a name"),
        ({"models": [{**ENTRY, "commit": "main"}]}, "has no commit"),
        ({"models": [{**ENTRY, "commit": None}]}, "has no commit"),
        ({"models": [{**ENTRY, "digest": None}]}, "has no digest"),
        ({"models": [{**ENTRY, "digest": PIN.digest + "\n"}]}, "has no digest"),
    ],
)
def test_anything_else_is_refused_by_name(document: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_pins(document if isinstance(document, str) else json.dumps(document))


def test_a_model_with_the_pinned_content_is_complete() -> None:
    checks = {"base": ModelCheck(MODEL, receipt=receipt(PIN.digest))}
    assert held_against({"base": PIN}, checks) == checks


def test_a_model_that_has_no_pin_is_as_it_was() -> None:
    checks = {"base": ModelCheck(MODEL, Reason.FILE_MISSING)}
    assert held_against({"other": PIN}, checks) == checks


def test_a_model_with_other_content_is_not_complete_and_must_come_to_the_digest_of_its_pin() -> None:
    held = held_against({"base": PIN}, {"base": ModelCheck(MODEL, receipt=receipt("sha256:" + "c" * 64))})["base"]
    assert (held.complete, held.reason, held.model.anchor) == (False, Reason.NOT_VERIFIED, PIN.digest)


def test_the_digest_that_the_manifest_demands_stands_above_that_of_a_pin() -> None:
    model = MODEL._replace(anchor="sha256:" + "d" * 64)
    held = held_against({"base": PIN}, {"base": ModelCheck(model, Reason.FILE_MISSING)})["base"]
    assert held.model.anchor == model.anchor
