"""Lines of the log: one printable line each, whatever they quote; in text and in JSON."""

from __future__ import annotations

import json
import logging
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from init_sync.shell.lines import json_line, text_line
from init_sync.shell.logs import LineFormatter, fields

HOSTILE = {
    "line feed": "x\ngate removed namespace=prod",
    "carriage return": "x\rgate removed",
    "escape": "x\x1b[2J\x1b[31m",
    "C1 control sequence": "x\x9b31m",
    "next line": "x\x85gate removed",
    "line separator": "x\u2028gate removed",
    "right to left": "x\u202edevomer etag",
    "isolate": "x\u2066y",
    "delete": "x\x7f",
    "lone surrogate": "x\ud800",
    "tag": "x\U000e0001",
}
FORMATS = ("text", "json")
VALUE = r'([^\s"=]+|"([^"\\]|\\.)*")'
FIELDS = re.compile(rf"message( \w+={VALUE})*")


def written(log_format: str, message: str, *arguments: object, level: int = logging.INFO, **values: object) -> str:
    record = logging.LogRecord("library.part", level, "f", 1, message, arguments, None)
    vars(record).update(fields(**values))
    return LineFormatter(log_format).format(record)


@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_is_one_printable_line(text: str, log_format: str) -> None:
    line = written(log_format, "%s", text, cache=text)
    assert line.isprintable()
    if log_format == "json":
        assert json.loads(line)["cache"] == json.loads(line)["message"] == text


@given(st.text(alphabet=st.characters(), max_size=40))
def test_any_text_is_one_line_and_json_says_all_of_it(message: str) -> None:
    line = json_line("info", message)
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["message"] == message
    assert text_line("info", message).isprintable()


@pytest.mark.parametrize("value", ["", "a b", "a\nb c=forged", 'a"b', "a=b", "\x1b[31m", "ü ñ", "\u2028x y"], ids=repr)
def test_a_value_that_would_not_end_by_itself_is_quoted_as_in_json(value: str) -> None:
    line = text_line("info", "message", {"value": value, "next": 1})
    assert FIELDS.fullmatch(line)
    assert json.loads(line.removeprefix("message value=").removesuffix(" next=1")) == value


@pytest.mark.parametrize("value", ["video_1", "/models/a-b.c", 3.5, "http://[::1]:8000", "ü"])
def test_a_plain_value_stays_plain(value: object) -> None:
    assert text_line("info", "message", {"value": value}) == f"message value={value}"


@pytest.mark.parametrize("text", ["größe 86 GiB", "模型", "a\\nb", 'say "x"'])
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert written("text", text, level=logging.WARNING) == f"warning: {text}"


def test_json_says_when_who_and_what() -> None:
    line = json_line("warning", "gate removed", {"pod": "serve-0"}, "Traceback", "modelcache_operator", 1795395723.5)
    assert list(json.loads(line).items()) == [
        ("time", "2026-11-23T01:02:03.500000Z"),
        ("level", "warning"),
        ("logger", "modelcache_operator"),
        ("message", "gate removed"),
        ("pod", "serve-0"),
        ("exception", "Traceback"),
    ]


@pytest.mark.parametrize("log_format", FORMATS)
def test_a_traceback_begins_no_line_that_could_be_taken_for_another_record(log_format: str) -> None:
    try:
        raise ValueError("bad\ngate removed namespace=prod\x1b[0m")
    except ValueError:
        record = logging.LogRecord("kopf", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    first, *rest = LineFormatter(log_format).format(record).split("\n")
    if log_format == "json":
        assert not rest
        assert "Traceback" in json.loads(first)["exception"]
    else:
        assert first == "error: failed"
        assert all(line.startswith("    ") and line.isprintable() for line in rest)
        assert rest[-1].endswith("\\u001b[0m")
