"""The report: one schema everywhere, and at most 4096 bytes of it where Kubernetes keeps no more."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from init_sync.app import report_file
from init_sync.app.report_file import destination, write_report, write_text
from init_sync.core.reasons import Reason
from init_sync.core.report import TERMINATION_MESSAGE_BYTES, ModelReport, Report
from support.schemas import SCHEMA, check_report, check_shortened

LONG = "Wan-AI/Wan2.1-I2V-14B-480P/模型-" * 12
DIGEST = f"sha256:{'ab' * 32}"
COMMIT = "0123456789abcdef0123456789abcdef01234567"

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
COUNTS = st.integers(0, 1 << 53)


@st.composite
def model_reports(draw: st.DrawFn) -> ModelReport:
    complete = draw(st.booleans())
    return ModelReport(
        name=draw(NAMES),
        complete=complete,
        revision=draw(TEXT),
        files_total=draw(COUNTS),
        files_present=draw(COUNTS),
        bytes_total=draw(COUNTS),
        bytes_present=draw(COUNTS),
        commit=draw(st.none() | st.just(COMMIT)),
        chosen=draw(st.dictionaries(TEXT, TEXT, max_size=2)),
        verified_at=draw(st.none() | st.just("2026-11-23T01:02:03Z")),
        digest=draw(st.none() | st.just(DIGEST)) if complete else None,
        reason=None if complete else draw(st.sampled_from(Reason)),
        message="" if complete else draw(TEXT),
    )


REPORTS = st.builds(
    Report,
    cache=NAMES,
    models=st.lists(model_reports(), max_size=60).map(tuple),
    bytes_fetched=COUNTS,
    bytes_verified=COUNTS,
    bytes_per_second=COUNTS,
    eta_seconds=st.none() | COUNTS,
    manifest=st.just("") | st.binary(max_size=9).map(lambda data: f"sha256:{sha256(data).hexdigest()}"),
    volume_id=st.none() | st.just("5b0c9f0e2d1a4c7fb7a9d2c3e4f50617"),
)


def incomplete(number: int, message: str = LONG) -> ModelReport:
    name = f"model-{number:02d}-{'x' * 50}"
    return ModelReport(
        name, False, "refs/pr/1", 9, 3, 10**11, 10**9, COMMIT, reason=Reason.CHECKSUM_MISMATCH, message=message
    )


def complete(number: int) -> ModelReport:
    return ModelReport(
        f"model-{number:02d}",
        True,
        "main",
        9,
        9,
        10**11,
        10**11,
        COMMIT,
        {LONG[:60]: "main"},
        "2026-11-23T01:02:03Z",
        DIGEST,
    )


def fitted(report: Report, limit: int = TERMINATION_MESSAGE_BYTES) -> dict[str, Any]:
    text = report.fit(limit)
    assert len(text.encode()) <= limit
    found: dict[str, Any] = json.loads(text)
    check_shortened(found)
    return found


def test_the_schema_itself_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_schema_knows_exactly_the_reasons_that_exist() -> None:
    assert set(SCHEMA["$defs"]["reason"]["enum"]) == {reason.value for reason in Reason}


def test_every_field_of_the_report_is_in_the_schema() -> None:
    assert len(SCHEMA["$defs"]["model"]["properties"]) == len(fields(ModelReport))


@given(REPORTS)
def test_any_report_satisfies_the_schema(report: Report) -> None:
    check_report(json.loads(report.text()))


@given(REPORTS)
def test_totals_are_sums_and_complete_means_every_model_and_at_least_one(report: Report) -> None:
    found = json.loads(report.text())
    assert found["bytesTotal"] == sum(model["bytesTotal"] for model in found["models"])
    assert found["bytesPresent"] == sum(model["bytesPresent"] for model in found["models"])
    assert found["complete"] == (bool(found["models"]) and all(model["complete"] for model in found["models"]))


@given(REPORTS)
def test_any_report_fits_and_its_totals_stay_true(report: Report) -> None:
    short, whole = fitted(report), report.to_json()
    assert {**short, "models": None} == {**whole, "models": None}
    statuses = {(model.name, model.complete, model.reason) for model in report.models}
    assert {(model["name"], model["complete"], model.get("reason")) for model in short["models"]} <= statuses


def test_complete_models_are_dropped_before_any_incomplete_one() -> None:
    mixed = [each for number in range(30) for each in (complete(number), complete(number + 30), incomplete(number))]
    short = fitted(Report("cache", tuple(mixed)))
    assert len(short["models"]) < len(mixed)
    assert sum(not model["complete"] for model in short["models"]) == 30


@pytest.mark.parametrize("number", [5, 20, 30])
def test_complete_models_keep_their_digest_when_a_report_is_cut(number: int) -> None:
    short = fitted(Report("cache", tuple(complete(each) for each in range(number))))
    assert [model["digest"] for model in short["models"]] == [DIGEST] * number


def test_digests_that_do_not_fit_go_before_the_names_of_models() -> None:
    short = fitted(Report("cache", tuple(complete(each) for each in range(80))))
    assert len(short["models"]) == 80
    kept = ["digest" in model for model in short["models"]]
    assert kept == sorted(kept, reverse=True)
    assert sum(kept) > 10


def test_digests_go_before_a_model_that_is_not_complete() -> None:
    models = [complete(number) for number in range(40)] + [incomplete(number) for number in range(30)]
    short = fitted(Report("cache", tuple(models)))
    assert sum(not model["complete"] for model in short["models"]) == 30


def test_a_small_report_is_left_as_it_is() -> None:
    report = Report("cache", (incomplete(1), complete(2)))
    assert report.fit() == report.text()


def test_fifty_incomplete_models_keep_their_reasons_where_these_fit() -> None:
    models = tuple(replace(incomplete(number), name=f"model-{number:02d}") for number in range(50))
    short = fitted(Report("cache", models))
    assert [model["reason"] for model in short["models"]] == ["ChecksumMismatch"] * 50
    assert short["bytesTotal"] == 50 * 10**11


def test_fifty_models_with_the_longest_names_lose_only_what_does_not_fit() -> None:
    short = fitted(Report("c" * 63, tuple(incomplete(number) for number in range(50))))
    one_more = {"name": incomplete(0).name, "complete": False, "reason": "ChecksumMismatch"}
    room = TERMINATION_MESSAGE_BYTES - len(json.dumps(short, ensure_ascii=False, separators=(",", ":")).encode())
    assert room <= len(json.dumps(one_more))
    assert all(model["reason"] for model in short["models"])


def test_the_only_incomplete_model_of_fifty_keeps_its_message() -> None:
    models = (*(complete(number) for number in range(49)), incomplete(49, "no connection to the hub"))
    short = fitted(Report("cache", models))
    (failed,) = [model for model in short["models"] if not model["complete"]]
    assert (failed["reason"], failed["message"]) == ("ChecksumMismatch", "no connection to the hub")
    assert len(short["models"]) == 50


def test_a_cut_message_keeps_its_beginning_and_says_that_it_was_cut() -> None:
    short = fitted(Report("cache", (incomplete(1, "listing a/b: " + "é" * 5000),)))
    assert short["models"][0]["message"].startswith("listing a/b: é")
    assert short["models"][0]["message"].endswith("…")


@given(REPORTS, st.integers(400, 4096))
def test_any_limit_that_holds_the_totals_is_kept(report: Report, limit: int) -> None:
    fitted(report, limit)


def leave(report: Report, path: str | None) -> None:
    """As a run does at its end: ``path`` is what ``--report`` said."""
    if place := destination(path):
        write_report(report, place)


class TestTheTerminationLog:
    @pytest.fixture
    def log(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        path = tmp_path / "termination-log"
        monkeypatch.setattr(report_file, "TERMINATION_LOG", str(path))
        return path

    long = Report("cache", tuple(incomplete(number) for number in range(50)))

    def test_gets_the_report_by_default_cut_to_what_kubernetes_keeps(self, log: Path) -> None:
        log.touch()
        inode = log.stat().st_ino
        leave(self.long, None)
        assert log.stat().st_size <= TERMINATION_MESSAGE_BYTES
        check_shortened(json.loads(log.read_text()))
        assert log.stat().st_ino == inode, "a mount point can be written to, not replaced"

    def test_gets_it_cut_when_it_is_named_too(self, log: Path) -> None:
        log.touch()
        leave(self.long, str(log))
        assert log.stat().st_size <= TERMINATION_MESSAGE_BYTES
        assert [path.name for path in log.parent.iterdir()] == [log.name]

    def test_keeps_nothing_of_a_longer_text_before(self, log: Path) -> None:
        log.write_text("x" * 9000)
        leave(Report("cache", (complete(1),)), None)
        check_report(json.loads(log.read_text()))

    def test_is_not_created_outside_a_container(self, log: Path) -> None:
        leave(self.long, None)
        assert not log.exists()

    def test_is_left_alone_when_another_file_is_named(self, log: Path, tmp_path: Path) -> None:
        log.touch()
        leave(self.long, str(tmp_path / "report.json"))
        assert log.read_text() == ""


class TestAFileOfTheUsers:
    report = Report("cache", tuple(incomplete(number) for number in range(50)))

    def test_gets_the_whole_report(self, tmp_path: Path) -> None:
        write_report(self.report, str(tmp_path / "report.json"))
        assert json.loads((tmp_path / "report.json").read_text()) == self.report.to_json()
        assert [path.name for path in tmp_path.iterdir()] == ["report.json"]

    def test_is_replaced_whole_so_that_a_reader_never_sees_half_of_it(self, tmp_path: Path) -> None:
        path = tmp_path / "report.json"
        path.write_text("before")
        with path.open() as opened_before:
            write_report(self.report, str(path))
            assert opened_before.read() == "before"
        check_report(json.loads(path.read_text()))

    def test_may_be_a_device(self) -> None:
        write_report(self.report, "/dev/null")
        assert Path("/dev/null").is_char_device()

    def test_in_a_directory_that_is_not_there_is_an_error_and_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="No such file"):
            write_report(self.report, str(tmp_path / "missing" / "report.json"))
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["a pipe", "a file", "nothing", "a link to a file", "a link to nothing"])
def test_a_report_is_never_written_through_a_link(what: str, tmp_path: Path) -> None:
    place, victim = tmp_path / "report.json", tmp_path / "victim"
    victim.write_text("precious")
    match what:
        case "a file":
            place.write_text("the one before")
        case "a link to a file":
            place.symlink_to(victim)
        case "a link to nothing":
            place.symlink_to(tmp_path / "nothing")
        case "a pipe":
            os.mkfifo(place)
            reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    write_text("{}", str(place))
    assert os.read(reader, 10) == b"{}" if what == "a pipe" else place.read_text() == "{}"
    assert place.is_fifo() or not place.is_symlink()
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nothing").exists()


def test_a_pipe_that_becomes_a_link_to_a_file_after_it_was_looked_at_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "report.json").symlink_to(victim)
    monkeypatch.setattr(os.path, "isfile", lambda _path: False)
    write_text("{}", str(tmp_path / "report.json"))
    assert victim.read_text() == "precious"
