"""Listening, a thread for each connection, and an end in time.

At most ``MAX_CONNECTIONS``: the one that has been idle for longest makes room, and where none is idle the new one is
answered 503. When the server is told to stop, it takes no more requests, and what is being sent has ``STOP_S``.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
from dataclasses import dataclass
from email.utils import formatdate
from time import monotonic

from init_sync.serve.answers import Answer, error_answer
from init_sync.serve.connection import Connection, TooSlow
from init_sync.serve.content import Changed
from init_sync.serve.metrics import Metrics
from init_sync.serve.request import BadRequest, read_head
from init_sync.serve.routes import Kind, find_route
from init_sync.serve.service import Service
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 256
STOP_S = 7.0


@dataclass(slots=True, eq=False)
class Client:
    """An open connection; ``idle_since`` is None while a request of it is answered."""

    connection: Connection
    idle_since: float | None


class Server:
    """``run`` serves until ``stop`` is called, from a signal handler or another thread."""

    def __init__(self, listener: socket.socket, service: Service, metrics: Metrics) -> None:
        self._listener = listener
        self._service = service
        self._metrics = metrics
        self._stopped, self._stop = os.pipe()
        self._clients: dict[Client, None] = {}
        self._changed = threading.Condition()
        self._stopping = False
        metrics.watch("connections", "Open connections.", lambda: len(self._clients))

    def stop(self) -> None:
        os.write(self._stop, b"x")

    def close(self) -> None:
        """After ``run``; ``stop`` must not be called any more."""
        os.close(self._stopped)
        os.close(self._stop)

    def run(self) -> None:
        self._listener.setblocking(False)
        poll = select.poll()
        poll.register(self._listener, select.POLLIN)
        poll.register(self._stopped, select.POLLIN)
        while self._stopped not in [descriptor for descriptor, _ in poll.poll()]:
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                continue
            except OSError as error:  # too many open files, or a client that left before it was accepted
                log.warning("accepting a connection failed", extra=fields(cause=error.strerror))
                select.poll().poll(100)
                continue
            self._admit(Connection(client))
        self._listener.close()
        self._end_all()

    def _admit(self, connection: Connection) -> None:
        with self._changed:
            if len(self._clients) >= MAX_CONNECTIONS and not self._make_room():
                self._refuse(connection)
                return
            client = Client(connection, monotonic())
            self._clients[client] = None
        threading.Thread(target=self._converse, args=(client,), name="client", daemon=True).start()

    def _make_room(self) -> bool:
        idle = [(each.idle_since, each) for each in self._clients if each.idle_since is not None]
        if not idle:
            return False
        oldest = min(idle, key=lambda pair: pair[0])[1]
        oldest.connection.end()
        del self._clients[oldest]
        return True

    def _refuse(self, connection: Connection) -> None:
        answer = error_answer(503, "Too many connections", headers={"Retry-After": "5"})
        self._metrics.requests.labels(Kind.OTHER.value, "503").inc()
        try:
            connection.start_response()
            connection.send(answer.head(("Connection", "close")) + answer.body)
        except (OSError, TooSlow):
            pass
        connection.close()

    def _end_all(self) -> None:
        with self._changed:
            self._stopping = True
            for client in self._clients:
                if client.idle_since is not None:
                    client.connection.end()
            self._changed.wait_for(lambda: not self._clients, STOP_S)
            for client in self._clients:
                client.connection.end()
        if self._clients:
            log.warning("transfers were cut", extra=fields(count=len(self._clients), after_s=STOP_S))

    def _converse(self, client: Client) -> None:
        connection = client.connection
        try:
            while (head := connection.head()) is not None and self._begins(client):
                if not self._respond(connection, head) or not self._rests(client):
                    break
        except BadRequest as error:
            self._refused(connection, error)
        except (Changed, TooSlow) as error:
            connection.cut()
            self._metrics.cut.labels("changed" if isinstance(error, Changed) else "slow").inc()
        except OSError:
            connection.cut()  # the client has left, or the file cannot be read
        except Exception:
            log.exception("unexpected error; report it")
            connection.cut()
        finally:
            connection.close()
            with self._changed:
                self._clients.pop(client, None)
                self._changed.notify_all()

    def _begins(self, client: Client) -> bool:
        """Whether a request may be answered still."""
        with self._changed:
            client.idle_since = None
            return not self._stopping and client in self._clients

    def _rests(self, client: Client) -> bool:
        """Whether another request may come."""
        with self._changed:
            client.idle_since = monotonic()
            return not self._stopping

    def _respond(self, connection: Connection, head: bytes) -> bool:
        """Whether the connection can be used for another request."""
        request = read_head(head)
        route = find_route(request.target)
        answer = self._service.answer(request, route, connection.body(request.body_bytes))
        self._metrics.requests.labels(route.kind.value, str(answer.status)).inc()
        self._send(connection, answer, body=request.method != "HEAD", keep=request.keep_alive)
        return request.keep_alive

    def _send(self, connection: Connection, answer: Answer, *, body: bool, keep: bool) -> None:
        head = answer.head(("Date", formatdate(usegmt=True)), ("Connection", "keep-alive" if keep else "close"))
        connection.start_response()
        if answer.content is None:
            connection.send(head + answer.body if body else head)
            return
        with answer.content.file:
            connection.send(head, more=body and answer.length > 0)
            if body:
                answer.content.send(connection, answer.start, answer.end, self._metrics.sent.inc)

    def _refused(self, connection: Connection, error: BadRequest) -> None:
        self._metrics.requests.labels(Kind.OTHER.value, str(error.status)).inc()
        answer = error_answer(error.status, error.message)
        try:
            connection.start_response()
            connection.send(answer.head(("Connection", "close")) + answer.body)
        except (OSError, TooSlow):
            return
        connection.linger()
