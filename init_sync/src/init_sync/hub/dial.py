"""Connections to servers: directly or by a proxy, with TLS, and only to where a redirect may lead.

The certificates that are trusted are those of the library that the rest of Python's Hugging Face tools use:
SSL_CERT_FILE, or SSL_CERT_DIR, or those of the system.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import httpx2

from init_sync.hub.origin import Origin
from init_sync.hub.reach import addresses, check_redirect
from init_sync.hub.routes import Proxy
from init_sync.hub.watchdog import Watchdog


class ProxyRefused(Exception):
    """A proxy does not make the connection that it was asked for."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(f"answered {status}")
        self.status = status
        self.headers = headers


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to connect, by which way, and on whose word."""

    target: Origin
    proxy: Proxy | None
    named_by: Origin | None
    """The server whose redirect leads there; None when the user named it."""

    def __str__(self) -> str:
        return f"{self.target} by {self.proxy}" if self.proxy else str(self.target)


def dial(destination: Destination, timeout_s: float, watchdog: Watchdog) -> socket.socket:
    """A connected socket, with TLS for https.

    Raises:
        OSError: no connection; ssl.SSLCertVerificationError when the certificate cannot be trusted.
        Forbidden: a redirect must not lead there.
        ProxyRefused: the proxy answered something else than "connected".
    """
    target, proxy = destination.target, destination.proxy
    if proxy is None:
        connected = _connect(target, timeout_s, destination.named_by)
    else:
        if destination.named_by:  # names are looked up by the proxy, so only what is written out can be checked
            for address in addresses(target.host, only_literal=True):
                check_redirect(address, destination.named_by.host)
        connected = _connect(Origin("http", proxy.host, proxy.port), timeout_s, None)
    try:
        if target.scheme != "https":
            return connected
        if proxy:
            with watchdog.limit(connected, timeout_s):
                answered, headers = _open_tunnel(connected, target, proxy)
            if answered != http.HTTPStatus.OK:
                raise ProxyRefused(answered, headers)
        return tls_context().wrap_socket(connected, server_hostname=target.host)
    except BaseException:
        connected.close()
        raise


def tls_context() -> ssl.SSLContext:
    """The certificates that are trusted, read once."""
    return _tls_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _tls_context(_file: str | None, _folder: str | None) -> ssl.SSLContext:
    return httpx2.create_ssl_context()


def _connect(target: Origin, timeout_s: float, named_by: Origin | None) -> socket.socket:
    """The first address that answers; each is checked before it is asked."""
    failure: OSError = OSError("no address")
    for *_, address in socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM):
        if named_by:
            check_redirect(str(address[0]), named_by.host)
        try:
            connected = socket.create_connection((str(address[0]), target.port), timeout_s)
        except OSError as error:
            failure = error
        else:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connected
    raise failure


def _open_tunnel(connected: socket.socket, target: Origin, proxy: Proxy) -> tuple[int, Mapping[str, str]]:
    """Returns how the proxy answered: status and headers."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connected.sendall("\r\n".join([*lines, "", ""]).encode())
    response = http.client.HTTPResponse(connected, method="CONNECT")
    try:
        response.begin()
        return response.status, dict(response.headers)
    finally:
        response.close()
