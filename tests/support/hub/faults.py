"""Fault switches: what a test makes the hub do wrong, to which requests and how often.

A fault is used up (``times``) only by a request on which it takes effect: one that its ``match``, ``repo`` and
``file`` choose and whose body is long enough, covers the offset, or carries a Range, whatever the fault is about. One
request can meet several faults of different kinds, but only the first of each kind that still has a turn left.

=================  ====================================================================================================
extra_delay        waits ``seconds`` before anything else; ends early when the hub stops
drop_fin           closes the connection after ``after_bytes`` of the body; 0: before any answer
drop_rst           the same with a TCP reset
stall              falls silent after ``after_bytes`` of the body, until client or hub leave; 0: before any answer
status             answers ``status`` with the given headers, ``error_code``, ``retry_after`` or ``ratelimit_reset``
headers            adds ``headers`` to a good answer, or replaces them there
no_link            leaves out Link, which names the next page of a tree
unlisted           leaves the files whose paths match ``names`` out of a description or a page
listed_as          describes these files with ``fields``, e.g. ``{"size": 135}``
ignore_range       answers 200 with the whole file to a request with Range
change_etag        the file's ETag is another one in each answer; an If-Range therefore never holds
truncate           Content-Length and body end after ``after_bytes``
wrong_bytes        inverts the byte at ``offset`` of the file
slow               ``bytes_per_second`` on each connection
die_every          resets each connection once it carried ``after_bytes`` of bodies
expire             signed URLs handed out so far answer 403; takes effect once, when it is added
=================  ====================================================================================================
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from .routes import KINDS, Route

FAULT_KINDS = (
    *("extra_delay", "drop_fin", "drop_rst", "stall", "status", "headers", "no_link", "unlisted", "listed_as"),
    *("ignore_range", "change_etag", "truncate", "wrong_bytes", "slow", "die_every", "expire"),
)


HeaderValue = str | Callable[[], str]
"""A function is called for each answer, so that a date in it does not age while a test gets going."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One switch; see the module's table for the kinds.

    ``match`` names request kinds (None: every kind), ``file``, ``repo`` and ``names`` (files in a listing) are globs,
    ``times`` None means for ever.
    """

    kind: str
    match: tuple[str, ...] | None = None
    file: str | None = None
    repo: str | None = None
    times: int | None = None
    after_bytes: int = 0
    status: int = 500
    retry_after: int | None = None
    ratelimit_reset: int | None = None
    error_code: str | None = None
    headers: Mapping[str, HeaderValue] = field(default_factory=dict)
    names: str = "*"
    fields: Mapping[str, Any] = field(default_factory=dict)
    offset: int = 0
    bytes_per_second: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in FAULT_KINDS:
            raise ValueError(f"fault kind {self.kind!r}: must be one of {', '.join(FAULT_KINDS)}")
        if isinstance(self.match, str):
            raise TypeError(f"fault match {self.match!r}: must be a tuple of request kinds, e.g. ({self.match!r},)")
        for kind in self.match or ():
            if kind not in KINDS:
                raise ValueError(f"fault match {kind!r}: must be one of {', '.join(KINDS)}")
        for needed, name in (("slow", "bytes_per_second"), ("die_every", "after_bytes"), ("extra_delay", "seconds")):
            if self.kind == needed and getattr(self, name) <= 0:
                raise ValueError(f"fault {self.kind}: {name} must be greater than 0")

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Fault:
        """Read the form that the control endpoint takes: the fields by name."""
        match = raw.get("match")
        return cls(**{**raw, "match": None if match is None else tuple(match)})

    def answer_headers(self) -> dict[str, str]:
        return {name: value() if callable(value) else value for name, value in self.headers.items()}

    def chooses(self, route: Route) -> bool:
        return (
            (self.match is None or route.kind in self.match)
            and (self.file is None or (route.file is not None and fnmatchcase(route.file, self.file)))
            and (self.repo is None or (route.repo is not None and fnmatchcase(route.repo, self.repo)))
        )


class FaultBook:
    """The active faults and how many turns each has left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._turns: list[tuple[Fault, list[int | None]]] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._turns.append((fault, [fault.times]))

    def clear(self) -> None:
        with self._lock:
            self._turns.clear()

    def claim(self, kind: str, route: Route, takes_effect: Callable[[Fault], bool] = lambda _: True) -> Fault | None:
        """Take one turn of the first fault of this kind that chooses the request and takes effect on it."""
        with self._lock:
            for fault, turns in self._turns:
                if fault.kind != kind or turns[0] == 0 or not fault.chooses(route) or not takes_effect(fault):
                    continue
                if turns[0] is not None:
                    turns[0] -= 1
                return fault
        return None
