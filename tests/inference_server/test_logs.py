"""The log: every line has a time, a level and an event, and fields that end where they end."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from inference.server.logs import Lines, quoted
from inference_server.process import ServerProcess

VALUE = r'([^\s"=]+|"([^"\\]|\\.)*")'
LINE = re.compile(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d,\d{{3}} level=[A-Z]+ event=\w+( \w+={VALUE})*")


def formatted(message: str, *arguments: object, logger: str = "inference.server.worker") -> str:
    return Lines().format(logging.LogRecord(logger, logging.INFO, "", 0, message, arguments, None))


def test_every_line_of_a_life_has_an_event(tmp_path: Path) -> None:
    process = ServerProcess(tmp_path)
    try:
        process.wait_ready()
        process.signal()
        assert process.exit_code() == 0
    finally:
        process.close()
    assert [line for line in process.log if not LINE.fullmatch(line)] == []
    whole = "\n".join(process.log)
    assert 'event=loading component="video autoencoder" bytes=2' in whole
    assert r'level=WARNING event=log logger=library text="two lines\nfrom elsewhere"' in whole
    assert re.search(r'event=log logger=py\.warnings text=".*old tensors', whole)


def test_the_servers_own_lines_stay_as_they_are() -> None:
    assert formatted("event=accepted id=%s people=%d", "video_1", 2).endswith(
        " level=INFO event=accepted id=video_1 people=2"
    )


def test_what_others_say_is_their_text() -> None:
    line = formatted("loaded component=%s tensors=%d", "text encoder", 22, logger="inference.engine.loading")
    assert line.endswith(' event=log logger=inference.engine.loading text="loaded component=text encoder tensors=22"')


@pytest.mark.parametrize(
    "value", ["", "a b", "a\nb event=forged", 'a"b', "a=b", "\x1b[31m", "ü ñ", "\u2028x y"], ids=repr
)
def test_a_value_that_would_not_end_by_itself_is_quoted(value: str) -> None:
    assert "\n" not in quoted(value)
    assert json.loads(quoted(value)) == value
    assert LINE.fullmatch(formatted("event=tried value=%s", quoted(value)))


@pytest.mark.parametrize("value", ["video_1", "/models/a-b.c", "3.5", "http://[::1]:8000", "ü"])
def test_a_plain_value_stays_plain(value: str) -> None:
    assert quoted(value) == value
