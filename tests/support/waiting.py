"""Waiting for what another thread, process or machine brings about."""

from __future__ import annotations

import time
from collections.abc import Callable
from http.client import HTTPException
from typing import Any, TypeVar, overload

T = TypeVar("T")
Errors = tuple[type[Exception], ...]
TIMEOUT_S = 20.0
INTERVAL_S = 0.02
NOBODY_ANSWERS: Errors = (OSError, HTTPException)
"""A file that is not there yet, a server that does not listen yet, an API that is away."""


@overload
def eventually(
    ask: Callable[[], T | None],
    what: str,
    timeout_s: float = TIMEOUT_S,
    *,
    not_yet: Errors = NOBODY_ANSWERS,
    interval_s: float = INTERVAL_S,
) -> T: ...


@overload
def eventually(
    ask: Callable[[], T],
    what: str,
    timeout_s: float = TIMEOUT_S,
    *,
    wanted: Callable[[T], object],
    not_yet: Errors = NOBODY_ANSWERS,
    interval_s: float = INTERVAL_S,
) -> T: ...


def eventually(
    ask: Callable[[], Any],
    what: str,
    timeout_s: float = TIMEOUT_S,
    *,
    wanted: Callable[[Any], object] = bool,
    not_yet: Errors = NOBODY_ANSWERS,
    interval_s: float = INTERVAL_S,
) -> Any:
    """Ask until the answer is ``wanted``, by default anything true, and return it.

    Errors of ``not_yet`` count as an answer that is not wanted; others end the waiting.

    Raises:
        AssertionError: after ``timeout_s``, with ``what`` was waited for and the last answer.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        error = None
        try:
            if wanted(answer := ask()):
                return answer
        except not_yet as caught:
            answer = error = caught
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s in vain: {what}; the last answer: {answer!r:.500}") from error
        time.sleep(interval_s)
