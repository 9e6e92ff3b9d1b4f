"""Attempts at one listing: one limit on the time without progress, whichever request it is spent on."""

from __future__ import annotations

import threading

import pytest

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.settings import Settings
from init_sync.hub.attempts import Attempts
from init_sync.hub.retry import PROGRESS_BYTES, Transient


def attempts(give_up_s: float = 0.5) -> Attempts:
    settings = Settings(give_up_s=give_up_s)
    return Attempts("listing a/b at main", "http://hub", settings, threading.Event(), lambda reason: None)


def test_requests_that_succeed_and_bring_nothing_are_given_up() -> None:
    tries = attempts(give_up_s=0.0)
    with pytest.raises(TryAgain, match="too little arrives from http://hub; no progress for 0 s") as told:
        tries.run(lambda: 1)
    assert told.value.reason is Reason.STALLED


def test_requests_that_bring_bytes_go_on() -> None:
    tries = attempts(give_up_s=30.0)
    tries.received(PROGRESS_BYTES)
    assert tries.run(lambda: 1) == 1


def test_the_reason_of_the_last_failure_is_the_one_that_is_given() -> None:
    def call() -> int:
        raise Transient(Reason.HUB_UNREACHABLE, "the hub answered 503")

    with pytest.raises(TryAgain, match="503") as told:
        attempts().run(call)
    assert told.value.reason is Reason.HUB_UNREACHABLE


def test_another_way_is_tried_after_the_second_failure_and_not_when_the_hub_limits_requests() -> None:
    asked: list[str] = []

    def fail(reason: Reason) -> int:
        asked.append("first")
        raise Transient(reason, "no")

    def other() -> int:
        asked.append("other")
        return 7

    assert attempts(5.0).run(lambda: fail(Reason.HUB_UNREACHABLE), other) == 7
    assert asked == ["first", "first", "other"]
    with pytest.raises(TryAgain):
        attempts().run(lambda: fail(Reason.RATE_LIMITED), other)
    assert asked.count("other") == 1


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), TypeError("x"), AttributeError("x")])
def test_an_answer_that_no_hub_gives_names_the_variable_to_look_at(error: Exception) -> None:
    def call() -> int:
        raise error

    with pytest.raises(Transient, match=r"does not answer like a hub .*HF_ENDPOINT"):
        attempts().once(call)
