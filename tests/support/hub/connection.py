"""One client connection: requests in, faults considered, answers out, until one side has enough.

Order of faults on a request: extra_delay, then the end before any answer (drop_fin, drop_rst, stall), then status,
and on the answer's content and delivery the rest.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from .delivery import end_connection, send_body
from .faults import Fault, FaultBook
from .log import LogEntry, Request, RequestLog
from .messages import Answer, BadRequestError, Incoming, answer_head, error_answer, read_request
from .routes import Route, split_target
from .spoiling import Claim, Delivery, ending_before_answer, plan_delivery, spoil, status_answer

_LOG = logging.getLogger(__name__)
_METHODS = ("GET", "HEAD", "POST", "DELETE")


@dataclass(frozen=True, slots=True)
class Service:
    """What every connection of one origin shares."""

    origin: str
    route: Callable[[str], Route]
    answer: Callable[[Incoming, Route, str, str], Answer]
    log: RequestLog
    faults: FaultBook
    stopping: threading.Event
    rate_per_connection: int | None


class Connection:
    """Serves one accepted socket in the calling thread."""

    def __init__(self, sock: socket.socket, service: Service) -> None:
        self._sock = sock
        self._service = service
        self._carried = 0

    def serve(self) -> None:
        with contextlib.suppress(OSError), self._sock.makefile("rb") as stream:
            try:
                while (incoming := read_request(stream)) is not None and self._exchange(incoming):
                    pass
            except BadRequestError as e:
                self._sock.sendall(answer_head(Answer(400, {"X-Error-Message": str(e)}), keep_alive=False))

    def _exchange(self, incoming: Incoming) -> bool:
        """Answer one request; say whether the connection lives on."""
        path, query = split_target(incoming.target)
        route = self._service.route(path)
        if route.kind == "control":  # neither logged nor spoiled
            answer = self._service.answer(incoming, route, path, query)
            return self._send(incoming, answer, Delivery(), LogEntry(_record("control", incoming, route)))
        entry = self._service.log.open(_record(self._service.origin, incoming, route))

        def claim(kind: str, takes_effect: Callable[[Fault], bool] = lambda _: True, /) -> Fault | None:
            return self._service.faults.claim(kind, route, takes_effect)

        if delay := claim("extra_delay"):
            self._service.stopping.wait(delay.seconds)
        if ending := ending_before_answer(claim):
            end_connection(self._sock, ending)
            return False
        answer = self._spoiled_answer(incoming, route, claim)
        silent = incoming.method == "HEAD"
        plan = Delivery() if silent else plan_delivery(answer, self._carried, self._service.rate_per_connection, claim)
        return self._send(incoming, answer, plan, entry)

    def _spoiled_answer(self, incoming: Incoming, route: Route, claim: Claim) -> Answer:
        if fault := claim("status"):
            return status_answer(fault)
        if incoming.method not in _METHODS:
            return error_answer(405, f"method {incoming.method} is not served here")
        path, query = split_target(incoming.target)
        try:
            answer = self._service.answer(incoming, route, path, query)
        except Exception as e:  # a defect of the hub must reach the test as more than a closed connection
            _LOG.exception("answering %s", incoming.target)
            return error_answer(500, f"local hub: {type(e).__name__}: {e}", "LocalHubDefect")
        return spoil(answer, incoming, claim)

    def _send(self, incoming: Incoming, answer: Answer, plan: Delivery, entry: LogEntry) -> bool:
        entry.status = answer.status
        head = answer_head(answer, keep_alive=incoming.keep_alive)
        if incoming.method == "HEAD" or answer.length == 0:
            self._sock.sendall(head)
            return incoming.keep_alive
        # MSG_MORE: the head travels in one packet with the body's beginning.
        self._sock.sendall(head, 0 if plan.cut_at == 0 else socket.MSG_MORE)
        send_body(self._sock, answer.body, plan, entry, self._service.stopping)
        self._carried += entry.body_bytes
        if plan.ending is not None:
            end_connection(self._sock, plan.ending)
            return False
        return incoming.keep_alive


def _record(origin: str, incoming: Incoming, route: Route) -> Request:
    path, _, query = incoming.target.partition("?")
    return Request(
        origin=origin,
        method=incoming.method,
        path=path,
        query=query,
        headers=incoming.headers,
        kind=route.kind,
        repo=route.repo,
        revision=route.revision,
        file=route.file,
        started=0.0,
    )
