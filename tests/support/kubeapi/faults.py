"""Faults on demand: error answers, cut connections, slowness, a forgotten history."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as RBAC sees it."""

    verb: str
    group: str
    resource: str
    """With the subresource, such as ``modelcaches/status``."""
    namespace: str
    name: str
    agent: str
    """Who made it, by its User-Agent; empty for the tests' own client."""


@dataclass(slots=True)
class Rule:
    """Spoils the next ``times`` calls of a verb and resource, those of the tests aside; an empty string matches all."""

    code: int
    """HTTP status; 0 cuts the connection without an answer; -1 carries the call out and then cuts it."""
    times: int
    verb: str = ""
    resource: str = ""
    retry_after: str = ""

    def matches(self, call: Call) -> bool:
        return (
            self.times > 0
            and bool(call.agent)
            and self.verb in ("", call.verb)
            and self.resource in ("", call.resource)
        )


@dataclass(slots=True)
class Faults:
    """Set by a test, from its thread; asked by the server, from its own."""

    rules: list[Rule] = field(default_factory=list)
    forget_history: bool = False
    """The next resumed watches are told 410 Gone, however young their version is."""
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, code: int, times: int = 1, verb: str = "", resource: str = "", retry_after: str = "") -> Rule:
        rule = Rule(code, times, verb, resource, retry_after)
        with self._guard:
            self.rules.append(rule)
        return rule

    def clear(self) -> None:
        with self._guard:
            self.rules.clear()
        self.forget_history = False

    def take(self, call: Call) -> Rule | None:
        with self._guard:
            for rule in self.rules:
                if rule.matches(call):
                    rule.times -= 1
                    return rule
        return None
