"""HTTP/1.1 connections of one worker, and answers whose body is read straight into the caller's buffer.

The standard library's client is used because it lets 256 KiB buffers go from socket to file without a copy in between;
the usual HTTP libraries were measured at a third of its speed. Proxy variables (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) and
SSL_CERT_FILE are honoured. Redirects are not followed here: ``source`` does, because it must not take the token along.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import SplitResult, unquote, urlsplit

from init_sync.core.reasons import Reason
from init_sync.core.settings import MIN_BYTES_PER_SECOND
from init_sync.hub.retry import Transient
from init_sync.hub.watchdog import Watchdog

MAX_DRAINED_BYTES = 64 * 1024


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port: what a token may not cross."""
    parts = urlsplit(url)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


@dataclass(slots=True)
class Answer:
    """An answer whose head was read; the body is still on the wire."""

    status: int
    headers: Mapping[str, str]
    _response: http.client.HTTPResponse
    _abandon: Callable[[], None]
    _stall_timeout_s: float
    _clock: Callable[[], float] = time.monotonic

    @property
    def length(self) -> int | None:
        """Bytes of the body, when the server says."""
        return self._response.length

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as the body goes; fewer bytes than asked mean that the body ended early.

        Raises:
            Interrupted: when the connection fails; it says how many bytes of the buffer are good nevertheless.
        """
        filled = 0
        began = self._clock()
        try:
            while filled < len(buffer):
                # One system call at a time: a dripping server must not hold us inside a call that waits for more.
                count = self._read_once(buffer[filled:])
                if not count:
                    break
                filled += count
                waited = self._clock() - began
                too_slow = waited > self._stall_timeout_s and filled < MIN_BYTES_PER_SECOND * waited
                if too_slow and filled < len(buffer):  # a full buffer is no stall, however late it came
                    raise TimeoutError
        except TimeoutError as error:
            self.abandon()
            cause = Transient(Reason.STALLED, f"stalled for {self._stall_timeout_s:g} s")
            raise Interrupted(filled, cause) from error
        except (OSError, http.client.HTTPException) as error:
            self.abandon()
            raise Interrupted(
                filled, Transient(Reason.HUB_UNREACHABLE, f"connection lost ({describe(error)})")
            ) from error
        return filled

    def _read_once(self, buffer: memoryview) -> int:
        if self._response.chunked:  # only the response itself can tell data from framing
            return self._response.readinto(buffer)
        return self._response.fp.readinto1(buffer)

    def done(self) -> None:
        """The body was read to its end: the connection may serve the next request."""
        self._response.close()

    def drain(self) -> None:
        """Read a short body that nobody needs, to keep the connection; drop the connection when it is long."""
        if self._response.chunked or self.length is None or self.length > MAX_DRAINED_BYTES:
            self.abandon()
            return
        with contextlib.suppress(OSError, http.client.HTTPException):
            self._response.read()

    def abandon(self) -> None:
        """Leave the rest of the body unread; the connection is of no further use."""
        self._abandon()
        self._response.close()


class Interrupted(Exception):
    """The body broke off."""

    def __init__(self, filled: int, cause: Transient) -> None:
        super().__init__(str(cause))
        self.filled = filled
        self.cause = cause


class Connections:
    """The open connections of one worker, one for each origin it talks to."""

    def __init__(self, timeout_s: float, watchdog: Watchdog) -> None:
        self._timeout_s = timeout_s
        self._watchdog = watchdog
        self._open: dict[tuple[str, str, int], http.client.HTTPConnection] = {}
        self._tls: ssl.SSLContext | None = None

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Send a GET and read the head of the answer.

        Raises:
            Transient: no connection, or none that answers.
        """
        key, parts = origin(url), urlsplit(url)
        reused = key in self._open
        try:
            connection = self._open.get(key) or self._connect(parts)
            self._open[key] = connection
            if connection.sock is None:
                connection.connect()
            with self._watchdog.limit(connection.sock, self._timeout_s):
                target, proxy_headers = _target(parts)
                connection.request("GET", target, headers={**headers, **proxy_headers})
                response = connection.getresponse()
        except TimeoutError as error:
            self._drop(key)
            raise Transient(Reason.STALLED, f"no answer within {self._timeout_s:g} s from {key[1]}:{key[2]}") from error
        except (OSError, http.client.HTTPException) as error:
            self._drop(key)
            if reused:  # the server closed it while it was idle: that is no failure
                return self.get(url, headers)
            raise Transient(
                Reason.HUB_UNREACHABLE, f"no connection to {key[1]}:{key[2]} ({describe(error)})"
            ) from error
        except ValueError as error:  # a redirect may lead to a host or a path that cannot be put into a request
            self._drop(key)
            raise Transient(Reason.HUB_UNREACHABLE, f"{key[1]}:{key[2]} cannot be asked: {error}") from error
        return Answer(response.status, _headers(response), response, lambda: self._drop(key), self._timeout_s)

    def close(self) -> None:
        for key in list(self._open):
            self._drop(key)

    def _drop(self, key: tuple[str, str, int]) -> None:
        connection = self._open.pop(key, None)
        if connection:
            connection.close()

    def _connect(self, parts: SplitResult) -> http.client.HTTPConnection:
        host, port = parts.hostname or "", parts.port
        proxy = _proxy(parts)
        if proxy is None:
            if parts.scheme == "https":
                return http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._context())
            return http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        if proxy.scheme not in ("http", ""):
            raise OSError(f"proxies of kind {proxy.scheme!r} are not supported; use an http:// proxy")
        if parts.scheme == "http":
            return http.client.HTTPConnection(proxy.hostname or "", proxy.port or 80, timeout=self._timeout_s)
        tunnel = http.client.HTTPSConnection(
            proxy.hostname or "", proxy.port or 80, timeout=self._timeout_s, context=self._context()
        )
        tunnel.set_tunnel(host, port, headers=_proxy_headers(proxy))
        return tunnel

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _target(parts: SplitResult) -> tuple[str, dict[str, str]]:
    """What to ask for, and what a proxy in between wants to know: for plain HTTP it sees the whole address."""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    proxy = _proxy(parts) if parts.scheme == "http" else None
    return (f"http://{parts.netloc}{target}", _proxy_headers(proxy)) if proxy else (target, {})


def describe(error: BaseException) -> str:
    """A network error in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _headers(response: http.client.HTTPResponse) -> Mapping[str, str]:
    """The head of an answer; looked up without regard to case."""
    return cast("Mapping[str, str]", response.headers)


def _proxy(parts: SplitResult) -> SplitResult | None:
    if urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    proxies = urllib.request.getproxies()
    address = proxies.get(parts.scheme) or proxies.get("all")
    if not address:
        return None
    return urlsplit(address if "//" in address else f"//{address}", scheme="http")


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
