"""Log lines cannot be forged by what they quote: names, messages of the API, errors; in text and in JSON."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from modelcache_operator.app import logs

HOSTILE = {
    "line feed": "x\ngate opened namespace=prod",
    "carriage return": "x\rgate opened",
    "escape": "x\x1b[2J\x1b[31m",
    "C1 control sequence": "x\x9b31m",
    "next line": "x\x85gate opened",
    "line separator": "x\u2028gate opened",
    "right to left": "x\u202ednepo etag",
    "isolate": "x\u2066y",
    "delete": "x\x7f",
    "lone surrogate": "x\ud800",
}
FORMATS = {"text": logs.TextFormat(), "json": logs.JsonFormat()}


def written(log_format: str, message: str, name: str = "modelcache_operator", **fields: str) -> str:
    record = logging.LogRecord(name, logging.WARNING, "f", 1, "%s", (message,), None)
    record.fields = fields
    return FORMATS[log_format].format(record)


@pytest.mark.parametrize("name", ["modelcache_operator.app", "kopf.reactor"])
@pytest.mark.parametrize("log_format", FORMATS)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_line_is_one_printable_line(text: str, log_format: str, name: str) -> None:
    line = written(log_format, text, name, cache=text)
    assert line.isprintable()
    assert len(line.splitlines()) == 1
    if log_format == "json":
        assert json.loads(line)["cache"] == json.loads(line)["message"] == text


@pytest.mark.parametrize("text", ["größe 86 GiB", "模型", "a\\nb", 'say "x"'])
def test_other_text_is_left_as_it_is(text: str) -> None:
    assert written("text", text) == f"warning: {text}"
    assert json.loads(written("json", text))["message"] == text


def test_a_traceback_begins_no_line_that_could_be_taken_for_another_record() -> None:
    try:
        raise ValueError("bad\ngate opened namespace=prod\x1b[0m")
    except ValueError:
        record = logging.LogRecord("kopf", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    first, *rest = FORMATS["text"].format(record).split("\n")
    assert first == "error: failed"
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert rest[-1].endswith("\\u001b[0m")
