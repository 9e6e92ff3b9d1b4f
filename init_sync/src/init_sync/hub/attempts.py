"""Attempts at one listing: a time limit on each request, retries that say what they wait for, and an end to them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from init_sync.core.errors import TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.settings import Settings
from init_sync.hub.deadline import within
from init_sync.hub.retry import RetryBudget, Transient

T = TypeVar("T")

log = logging.getLogger(__name__)

ATTEMPTS_BEFORE_ANOTHER_WAY = 2


class Attempts:
    """All requests of one listing share one limit on the time without progress."""

    def __init__(
        self, doing: str, endpoint: str, settings: Settings, stop: threading.Event, on_error: Callable[[Reason], None]
    ) -> None:
        self._doing = doing
        self._endpoint = endpoint
        self._give_up_s = settings.give_up_s
        self._budget = RetryBudget(settings.give_up_s)
        self._stop = stop
        self._on_error = on_error

    def received(self, count: int) -> None:
        """So many new bytes of the listing have arrived."""
        self._budget.progress(count)

    def run(self, call: Callable[[], T], otherwise: Callable[[], T | None] = lambda: None) -> T:
        """Try until it works, a refusal says that it never will, or nothing has arrived for too long.

        ``otherwise`` is another way to the same result, tried when ``call`` has failed twice.
        """
        if self._budget.idle_s() > self._give_up_s:  # every answer was a success, and together they bring nothing
            self._wait(Transient(Reason.STALLED, f"{self._doing}: too little arrives from {self._endpoint}"), 1)
        failures = 0
        while True:
            try:
                return self.once(call)
            except Transient as error:
                failures += 1
                self._on_error(error.reason)
                if failures >= ATTEMPTS_BEFORE_ANOTHER_WAY and error.reason is not Reason.RATE_LIMITED:
                    result = otherwise()
                    if result is not None:
                        self._budget.reset()
                        return result
                self._wait(error, failures)

    def once(self, call: Callable[[], T]) -> T:
        """Raises Transient when another attempt may work."""
        from httpx2 import HTTPError, InvalidURL, TimeoutException

        try:
            return within(self._give_up_s, call)
        except Transient as error:
            if error.message.startswith(self._doing):
                raise
            raise Transient(error.reason, f"{self._doing}: {error.message}", error.retry_after_s) from error
        except (TimeoutException, TimeoutError) as error:
            raise Transient(Reason.STALLED, f"{self._doing}: no answer from {self._endpoint} in time") from error
        except (HTTPError, OSError) as error:
            cause = str(error) or type(error).__name__
            raise Transient(
                Reason.HUB_UNREACHABLE, f"{self._doing}: no connection to {self._endpoint} ({cause})"
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError, InvalidURL) as error:
            raise Transient(
                Reason.HUB_UNREACHABLE,
                f"{self._doing}: {self._endpoint} does not answer like a hub ({error}). Check HF_ENDPOINT",
            ) from error

    def _wait(self, error: Transient, failures: int) -> None:
        delay = self._budget.delay_s(error, failures)
        log.warning("%s; trying again in %.1f s", error.message, delay)
        if self._stop.wait(delay):
            raise TryAgain(error.reason, f"{error.message}; interrupted") from error
