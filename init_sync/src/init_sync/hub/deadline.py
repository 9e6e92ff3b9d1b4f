"""A limit on how long a call may take in all, for libraries whose timeouts count from byte to byte only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import NoReturn, TypeVar

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T]) -> T:
    """The result of ``call``, which may take ``seconds`` in all; the library's timeouts count from byte to byte only.

    Raises:
        TimeoutError: when it takes longer. The call is left to itself; it ends with the process.
    """
    results: SimpleQueue[Callable[[], T]] = SimpleQueue()

    def work() -> None:
        try:
            result = call()
        except BaseException as error:
            results.put(partial(_raise, error))
        else:
            results.put(lambda: result)

    threading.Thread(target=work, name="listing", daemon=True).start()
    try:
        outcome = results.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    return outcome()


def _raise(error: BaseException) -> NoReturn:
    raise error
