"""Reports from pods are untrusted: whatever comes in, what comes out is bounded, typed and one line a string."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from init_sync.core.reasons import Reason
from init_sync.core.report import Report
from modelcache_operator.core.observed_pods import Observation
from modelcache_operator.core.reports import MAX_COUNT, MAX_MESSAGE, MAX_MODELS, MAX_REPORT_BYTES, line, parse_report
from modelcache_operator.core.status import parse_status
from support.reports import complete, incomplete

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)
NEARLY = st.fixed_dictionaries(
    {"complete": st.booleans() | JSON},
    optional={
        **dict.fromkeys(
            ("bytesTotal", "bytesPresent", "bytesFetched", "bytesVerified", "bytesPerSecond", "etaSeconds"), JSON
        ),
        "manifest": JSON,
        "models": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"name": st.just("base") | JSON},
                optional=dict.fromkeys(
                    ("complete", "reason", "message", "commit", "chosen", "verifiedAt", "digest"), JSON
                ),
            ),
            max_size=4,
        ),
    },
)


@pytest.mark.fuzz
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_report_or_a_sound_one(data: bytes) -> None:
    _check(parse_report(data))


@pytest.mark.fuzz
@given(NEARLY)
def test_something_like_a_report_becomes_a_sound_one_or_none(data: dict[str, Any]) -> None:
    _check(parse_report(json.dumps(data)))


def _check(found: Observation | None) -> None:
    if found is None:
        return
    assert len(found.models) <= MAX_MODELS
    assert not found.complete or (found.models and all(model.complete for model in found.models))
    arrived = (found.bytes_total, found.bytes_present, found.bytes_fetched)
    for count in (*arrived, found.bytes_verified, found.bytes_per_second):
        assert 0 <= count <= MAX_COUNT
    for model in found.models:
        assert len(model.message) <= MAX_MESSAGE
        assert model.message.isprintable() or not model.message
        assert model.reason is None or model.reason in list(Reason)
        assert model.digest is None or (model.complete and len(model.digest) == 71)
        json.dumps(model.to_json())


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "7", "[]", "[" * 100_000, '{"complete": "yes"}', '{"models": []}', "x" * (MAX_REPORT_BYTES + 1)],
    ids=lambda text: text[:12] or "nothing",
)
def test_what_is_no_report_is_none(text: str) -> None:
    assert parse_report(text) is None


def test_a_report_of_init_sync_is_read_as_it_was_written() -> None:
    data = incomplete(Reason.GATED_REPO, "accept the license", fetched=7)
    found = parse_report(json.dumps(data))
    assert found is not None
    report = Report("cache", found.models, bytes_fetched=found.bytes_fetched)
    assert report.to_json() == data


DIGEST = f"sha256:{'ab' * 32}"


@pytest.mark.parametrize(
    ("digest", "complete_", "kept"),
    [
        (DIGEST, True, DIGEST),
        (DIGEST, False, None),
        (DIGEST.upper(), True, None),
        (f"{DIGEST}\n", True, None),
        (DIGEST[:-1], True, None),
        (f"{DIGEST}0", True, None),
        ("sha512:" + "0" * 128, True, None),
        (7, True, None),
        ([DIGEST], True, None),
        (None, True, None),
    ],
    ids=str,
)
def test_a_digest_is_kept_of_a_complete_model_alone_and_in_its_one_form(
    digest: Any, complete_: bool, kept: str | None
) -> None:
    model = {**complete()["models"][0], "complete": complete_, "digest": digest}
    found = parse_report(json.dumps({**complete(), "models": [model]}))
    assert found is not None
    assert found.models[0].digest == kept


def test_a_claim_to_be_complete_needs_models_that_are() -> None:
    whole = complete()
    for models in ([], [{**whole["models"][0], "complete": False}], None):
        found = parse_report(json.dumps({**whole, "models": models}))
        assert found is not None
        assert not found.complete


def test_control_characters_and_length_are_taken_away() -> None:
    assert line("a\x1b[31mb\n\u2028c") == "a [31mb c"
    assert line("no\u202egpj.exe") == "no gpj.exe"
    assert len(line("x" * 5000)) == MAX_MESSAGE
    assert line(7) == ""


def test_what_many_reports_say_is_kept_once() -> None:
    """Thousands of pods repeat the names, commits and digests of their caches."""
    first, second = (parse_report(json.dumps(complete("base"))) for _ in range(2))
    assert first
    assert second
    repeated = [(one.name, one.revision, one.commit, one.verified_at) for one in (first.models[0], second.models[0])]
    assert all(one and one is other for one, other in zip(*repeated, strict=True))


def test_a_status_says_each_time_once() -> None:
    stamp = "2026-01-01T00:00:00Z"
    text = json.dumps({"verifiedAt": stamp, "sync": {"provenAt": stamp}})
    found = parse_status(json.loads(text))
    assert found.verified_at is found.sync.proven_at
