"""Faults on demand: error answers and cut connections, by verb and resource."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from support.kubeapi.calls import Call

CUT_BEFORE = 0
"""Instead of an HTTP status: the connection is cut without an answer, and the call is not carried out."""
CUT_AFTER = -1
"""The call is carried out, and nobody hears of it."""
SILENT = -2
"""A watch is opened and says nothing, for as long as it is kept."""


@dataclass(slots=True)
class Rule:
    """Spoils the next ``times`` calls of a verb, resource and namespace; an empty string matches all."""

    code: int
    """HTTP status, or one of the above."""
    times: int
    verb: str = ""
    resource: str = ""
    retry_after: str = ""
    namespace: str = ""
    spoilt: list[Call] = field(default_factory=list, init=False)

    def matches(self, call: Call) -> bool:
        wanted = ((self.verb, call.verb), (self.resource, call.resource), (self.namespace, call.namespace))
        return len(self.spoilt) < self.times and all(mine in ("", its) for mine, its in wanted)


@dataclass(slots=True)
class Faults:
    """Set by a test, from its thread; asked by the server, from its own."""

    _rules: list[Rule] = field(default_factory=list)
    _guard: threading.Lock = field(default_factory=threading.Lock)

    def add(self, code: int, times: int = 1, verb: str = "", resource: str = "", **more: str) -> Rule:
        rule = Rule(code, times, verb, resource, **more)
        with self._guard:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        with self._guard:
            self._rules.clear()

    def take(self, call: Call) -> Rule | None:
        with self._guard:
            rule = next((rule for rule in self._rules if rule.matches(call)), None)
            if rule:
                rule.spoilt.append(call)
            return rule
