"""HTTP/1.1 connections of one worker: the one way out, for listings and files alike.

Proxies are chosen by ``routes``, certificates by ``dial``, and ``reach`` says where a redirect may lead. Redirects are
not followed here but by ``redirects``, which knows whom the token may be sent.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import urllib.request
from collections.abc import Mapping
from functools import partial

from init_sync.core.reasons import Reason
from init_sync.hub.dial import Destination, ProxyRefused, dial, tls_context
from init_sync.hub.failures import proxy_refusal, refused_redirect, untrusted_certificate
from init_sync.hub.origin import origin, request_target
from init_sync.hub.reach import Forbidden
from init_sync.hub.response import ConnectionBroken, Response, describe
from init_sync.hub.retry import Transient
from init_sync.hub.routes import Routes, read_routes
from init_sync.hub.watchdog import Watchdog

__all__ = ["ConnectionBroken", "Connections", "Response", "origin"]


FAILURES = (OSError, http.client.HTTPException, ValueError, Forbidden, ProxyRefused)


class Connections:
    """The open connections of one worker, one for each server it talks to."""

    def __init__(self, timeout_s: float, watchdog: Watchdog) -> None:
        self._timeout_s = timeout_s
        self._watchdog = watchdog
        self._open: dict[Destination, http.client.HTTPConnection] = {}
        self._routes: Routes | None = None

    def get(
        self, url: str, headers: Mapping[str, str], named_by: str | None = None, *, direct: bool = False
    ) -> Response:
        """Send a GET; see ``send``."""
        return self.send("GET", url, headers, named_by=named_by, direct=direct)

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        named_by: str | None = None,
        *,
        direct: bool = False,
    ) -> Response:
        """Send a request and read the head of the response.

        ``named_by`` is the address whose redirect led here. ``direct``: by no proxy.

        Raises:
            Transient: no connection, or no answer.
            NeedsChange: no retry will help: an untrusted certificate, a proxy that refuses, a place out of reach.
        """
        destination = Destination(origin(url), None, origin(named_by) if named_by else None)
        reused = False
        try:
            destination = self._routed(destination, direct)
            reused = destination in self._open
            response, watched = self._exchange(destination, method, url, headers, body)
        except FAILURES as error:
            self._drop(destination)
            if reused and not isinstance(error, TimeoutError):  # the server closed it while it was idle: no failure
                return self.send(method, url, headers, body, named_by, direct=direct)
            raise self._failure(destination, error) from error
        _remove_token(headers, response.headers)
        limit = partial(self._watchdog.limit, watched, self._timeout_s)
        return Response(destination.target, response, lambda: self._drop(destination), self._timeout_s, limit)

    def close(self) -> None:
        for destination in list(self._open):
            self._drop(destination)

    def _routed(self, destination: Destination, direct: bool) -> Destination:
        target, named_by = destination.target, destination.named_by
        if self._routes is None and not direct:
            self._routes = read_routes(urllib.request.getproxies())
        proxy = None if direct or self._routes is None else self._routes.proxy_for(target)
        return Destination(target, proxy, None if named_by == target else named_by)

    def _exchange(
        self, destination: Destination, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[http.client.HTTPResponse, socket.socket | None]:
        connection = self._open.get(destination) or self._connect(destination)
        sent, asked = dict(headers), request_target(url)
        if destination.proxy and destination.target.scheme == "http":  # then the proxy sees the whole address
            asked = f"http://{destination.target}{asked}"
            if destination.proxy.authorization:
                sent["Proxy-Authorization"] = destination.proxy.authorization
        watched = connection.sock  # the connection forgets it when the server says that it will close
        with self._watchdog.limit(watched, self._timeout_s):
            connection.request(method, asked, body=body, headers=sent)
            return connection.getresponse(), watched

    def _connect(self, destination: Destination) -> http.client.HTTPConnection:
        target = destination.target
        connected = dial(destination, self._timeout_s, self._watchdog)
        connection: http.client.HTTPConnection
        if target.scheme == "https":
            connection = http.client.HTTPSConnection(target.host, target.port, context=tls_context())
        else:
            connection = http.client.HTTPConnection(target.host, target.port)
        connection.sock = connected
        connection.auto_open = 0  # it must not connect by itself, past ``dial``
        self._open[destination] = connection
        return connection

    def _failure(self, destination: Destination, error: Exception) -> Exception:
        target = destination.target
        if isinstance(error, TimeoutError):
            return Transient(Reason.STALLED, f"no answer within {self._timeout_s:g} s from {destination}")
        if isinstance(error, ssl.SSLCertVerificationError):
            return untrusted_certificate(str(destination), error.verify_message, os.environ)
        if isinstance(error, Forbidden):
            return refused_redirect(f"asking {target}", str(destination.named_by), f"leads to {error}")
        if isinstance(error, ProxyRefused):
            return proxy_refusal(str(destination.proxy), str(target), error.status, error.headers)
        if isinstance(error, ValueError):  # a redirect may lead to a host that cannot be put into a request
            return Transient(Reason.HUB_UNREACHABLE, f"{target} cannot be asked: {error}")
        return Transient(Reason.HUB_UNREACHABLE, f"no connection to {destination} ({describe(error)})")

    def _drop(self, destination: Destination) -> None:
        connection = self._open.pop(destination, None)
        if connection:
            connection.close()


def _remove_token(sent: Mapping[str, str], received: http.client.HTTPMessage) -> None:
    """A server that repeats the token would have it quoted in logs and reports. Location is never quoted whole."""
    sent_fields = {name.lower(): value for name, value in sent.items()}
    token = sent_fields.get("authorization", "").rpartition(" ")[2]
    for name in {name for name, value in received.items() if token and token in value and name.lower() != "location"}:
        values = received.get_all(name, [])
        del received[name]
        for value in values:
            received[name] = value.replace(token, "[token]")
