"""Fault switches and the log over HTTP, for processes that are not the test's own.

==========================  ==========================================================================================
POST /_control/faults       a JSON list of faults, fields as in ``Fault``: ``[{"kind": "status", "times": 2}]``
DELETE /_control/faults     switches all off
GET /_control/log           ``{"requests": [...], "bytes_sent": n, "leaked_authorization": false}``
DELETE /_control/log        forgets the requests so far
==========================  ==========================================================================================

These requests are neither logged nor spoiled. Every request header is in the log, tokens too: for loopback only.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

from .faults import Fault
from .messages import Answer, Incoming, error_answer, json_answer
from .routes import Route

if TYPE_CHECKING:
    from .local_hub import LocalHub


class Control:
    """Answers /_control and hands everything else on."""

    def __init__(self, hub: LocalHub, otherwise: Callable[[Incoming, Route, str, str], Answer]) -> None:
        self._hub = hub
        self._otherwise = otherwise

    def answer(self, incoming: Incoming, route: Route, path: str, query: str) -> Answer:
        if route.kind != "control":
            return self._otherwise(incoming, route, path, query)
        match incoming.method, path:
            case "POST", "/_control/faults":
                return self._add_faults(incoming.body)
            case "DELETE", "/_control/faults":
                self._hub.clear_faults()
                return json_answer({})
            case "GET", "/_control/log":
                return json_answer(self._log())
            case "DELETE", "/_control/log":
                self._hub.reset_log()
                return json_answer({})
        return error_answer(404, f"no {incoming.method} {path}: POST or DELETE /_control/faults, GET /_control/log")

    def _add_faults(self, body: bytes) -> Answer:
        try:
            sent = json.loads(body)
            if not isinstance(sent, list):
                raise TypeError(f"a {type(sent).__name__} is no list")
            faults = [Fault.from_json(raw) for raw in sent]
        except (ValueError, TypeError, AttributeError) as e:
            return error_answer(400, f"reading faults: {e}. Send a JSON list of objects with the fields of Fault")
        for fault in faults:
            self._hub.add_fault(fault)
        return json_answer({"added": len(faults)})

    def _log(self) -> dict[str, object]:
        return {
            "requests": [asdict(request) for request in self._hub.requests],
            "bytes_sent": self._hub.bytes_sent,
            "leaked_authorization": self._hub.leaked_authorization,
        }
