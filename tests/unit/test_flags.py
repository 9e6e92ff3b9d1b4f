"""Settings that are declared once: flags, variables, defaults, bounds and all mistakes at once."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import pytest

from init_sync.shell.flags import (
    PORT,
    Settings,
    WrongSettings,
    add_flags,
    boolean,
    declared,
    flag,
    make_parser,
    matching,
    number,
    one_of,
    read_settings,
    several,
    whole,
)


class Shared(Settings):
    log_format: str = flag("a format", one_of("text", "json"), default="text")


class Program(Shared):
    PREFIX = "PROG_"
    spec: str = flag("the manifest; 100 % of it", metavar="FILE")
    port: int = flag("port", PORT, variable="PROG_LISTEN_PORT", default=80)
    max_seconds: float = flag("longest video", number(0, above=True), group="limits", default=40.0)
    names: tuple[str, ...] = flag("names", several(), default=())
    compile: bool = flag("compile", default=False)
    derived: str = ""

    def problems(self) -> Iterator[str]:
        if self.port == self.max_seconds:
            yield "--port and --max-seconds are equal"


class WithoutVariables(Settings):
    spec: str = flag("the manifest")
    deep: bool = flag("all of it", default=False)


def read(*arguments: str, **environment: str) -> Program:
    parser = parser_of(Program)
    return read_settings(Program, parser.parse_args(arguments), environment)


def parser_of(settings: type[Settings]) -> argparse.ArgumentParser:
    parser = make_parser("prog", "Does it.", "examples", lambda: "1.2")
    add_flags(parser, settings)
    return parser


def problems(*arguments: str, **environment: str) -> list[str]:
    with pytest.raises(WrongSettings) as wrong:
        read(*arguments, **environment)
    return wrong.value.problems


def test_a_flag_beats_the_variable_and_that_the_default() -> None:
    assert read("--spec", "a", "--port", "1", PROG_LISTEN_PORT="2").port == 1
    assert read("--spec", "a", PROG_LISTEN_PORT="2").port == 2
    assert read("--spec", "a", PROG_PORT="2").port == 80
    assert read(PROG_SPEC="a").spec == "a"


def test_an_empty_variable_is_unset_and_an_empty_flag_is_not() -> None:
    assert read("--spec", "a", PROG_LISTEN_PORT="").port == 80
    assert problems("--spec", "a", "--port", "") == ["--port: '' is not a whole number from 0 to 65535"]


@pytest.mark.parametrize("arguments", [("--names=a, b",), ("--names", "a", "--names", "b")], ids=" ".join)
def test_several_values_come_by_commas_or_flag_by_flag(arguments: tuple[str, ...]) -> None:
    assert read("--spec", "a", *arguments).names == ("a", "b")
    assert read("--spec", "a", PROG_NAMES="a,b").names == ("a", "b")


def test_a_switch_can_be_switched_off_again_where_a_variable_may_have_switched_it_on() -> None:
    assert read("--spec", "a", PROG_COMPILE="yes").compile is True
    assert read("--spec", "a", "--no-compile", PROG_COMPILE="yes").compile is False
    assert "--no-deep" not in parser_of(WithoutVariables).format_help()


def test_all_mistakes_are_named_at_once_by_flag_or_variable() -> None:
    assert problems("--port", "x", PROG_MAX_SECONDS="nan", PROG_COMPILE="maybe", PROG_LOG_FORMAT="xml") == [
        "PROG_LOG_FORMAT: 'xml' is not valid; use text or json",
        "--spec (or PROG_SPEC) is required",
        "--port: 'x' is not a whole number from 0 to 65535",
        "PROG_MAX_SECONDS: 'nan' is not a number above 0",
        "PROG_COMPILE: 'maybe' is not valid; use true or false",
    ]


def test_values_that_do_not_go_together_are_named_beside_the_others() -> None:
    found = problems("--spec", "a", "--max-seconds", "80", "--log-format", "xml")
    assert found == ["--log-format: 'xml' is not valid; use text or json", "--port and --max-seconds are equal"]
    found = problems("--spec", "a", "--max-seconds", "80", "--port", "x")
    assert found == ["--port: 'x' is not a whole number from 0 to 65535"], "nothing can be said of a pair with it"


def test_what_has_no_variable_and_is_missing_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser_of(WithoutVariables).parse_args([])
    assert end.value.code == 2
    assert "required: --spec" in capsys.readouterr().err


def test_the_help_has_every_flag_once_with_one_default() -> None:
    text = " ".join(parser_of(Program).format_help().split())
    assert "--spec FILE the manifest; 100 % of it (required)" in text
    assert "limits: --max-seconds SECONDS longest video (default: 40)" in text
    assert "--names NAMES names --compile" in text
    assert "--log-format FORMAT a format (default: text)" in text
    assert "derived" not in text
    assert [each.name for each in declared(Program)] == [
        *("log_format", "spec", "port", "max_seconds", "names", "compile")
    ]


def test_settings_do_not_change_but_give_others() -> None:
    found = read("--spec", "a", "--port", "1")
    with pytest.raises(AttributeError, match="port: settings do not change"):
        found.port = 2  # type: ignore[misc]
    other = found.replace(derived="x")
    assert (other.spec, other.port, other.derived, found.derived) == ("a", 1, "x", "")


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (whole(1, 64), "64", 64),
        (whole(1), "1000000", 1000000),
        (number(0.1, 5), "0.1", 0.1),
        (number(0), "0", 0),
        (boolean, "ON", True),
        (one_of("a", "b"), "b", "b"),
        (matching("[a-z]+", "a word"), "abc", "abc"),
        (several(whole(1)), "1, 2,", (1, 2)),
    ],
)
def test_text_becomes_a_value(parse: Any, text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (whole(1, 64), "1.5", "'1.5' is not a whole number from 1 to 64"),
        (whole(1, 64), "65", "'65' is not a whole number from 1 to 64"),
        (whole(1), "0", "'0' is not a whole number of 1 or more"),
        (number(0.1, 5, unit="seconds"), "5m", "'5m' is not a number of seconds from 0.1 to 5"),
        (number(0, above=True), "0", "'0' is not a number above 0"),
        (number(0), "inf", "'inf' is not a number of 0 or more"),
        (number(0), "-1", "'-1' is not a number of 0 or more"),
        (one_of("a", "b", "c"), "d", "'d' is not valid; use a, b or c"),
        (matching("[a-z]+", "a word"), "A", "'A' is not a word"),
        (several(whole(1)), "1,x", "'x' is not a whole number of 1 or more"),
    ],
)
def test_text_that_is_no_value_is_refused_with_what_would_be(parse: Any, text: str, words: str) -> None:
    with pytest.raises(ValueError) as wrong:  # noqa: PT011
        parse(text)
    assert str(wrong.value) == words


def test_mistakes_are_told_a_line_each_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert WrongSettings(["a", "b"]).tell("prog") == 2
    assert capsys.readouterr().err == "prog: error: a\nprog: error: b\n"
