"""Which requests are accepted: not without a key, for unknown names, from other sites' pages, or with two lengths.

With `--api-key-file`, requests need one of the keys in it, as OpenAI's clients send theirs; the page itself, its files,
probes and metrics need none. Without, what reaches the port may use it. A web page of another site must not either way,
in the browser of a person who has the port forwarded:

- DNS rebinding: the page's own name is made to mean this server, which the browser then takes for the page's own
  origin. The Host header still has that name, so only known ones are served (`hosts`).
- Cross-site requests: a page of another site posts here. Browsers say so in Sec-Fetch-Site and Origin; requests that
  change something are refused then, by the rules of Go's `http.CrossOriginProtection`. Reading needs no such rule:
  responses carry no CORS headers, so other sites cannot see them.

Starlette's TrustedHostMiddleware knows no IPv6 addresses, and cannot allow all addresses.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from inference.server.errors import ApiError, as_response
from inference.server.hosts import allowed_host
from inference.server.multipart import DISCARD_S, discard

OPEN_PATHS = ("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics")
UNAUTHORIZED = 401
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Admittance:
    """Who may use this server."""

    hosts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    """Empty: no key is needed."""


def refusal(method: str, path: str, headers: Mapping[str, str], admitted: Admittance) -> ApiError | None:
    """Why a request is refused; None if it is not."""
    if "content-length" in headers and "transfer-encoding" in headers:
        # A gateway that goes by the length would take the rest of the body for another client's request.
        message = "The request has both Content-Length and Transfer-Encoding; send one of them."
        return ApiError(400, "two_body_lengths", message, headers={"connection": "close"})
    host = headers.get("host")
    if host is not None and not allowed_host(host, admitted.hosts):  # HTTP/1.0 has none, and browsers do not speak it
        message = f"The host {host[:_SHOWN]!r} is not served here. If it is a name of this server, add it to its "
        return ApiError(403, "host_not_allowed", message + "--allowed-hosts (of the chart: inference.allowedHosts).")
    if _from_other_site(method, headers):
        message = f"{method} is refused to pages of other sites. Use the server's own page, or a client of your own."
        return ApiError(403, "cross_site_request", message)
    if admitted.keys and not _open_to_all(path) and not _has_key(headers.get("authorization", ""), admitted.keys):
        message = (
            "A key of this server is needed: send the header Authorization: Bearer KEY (api_key of OpenAI's clients)."
        )
        return ApiError(UNAUTHORIZED, "invalid_api_key", message, headers={"www-authenticate": "Bearer"})
    return None


def _open_to_all(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith("/static/")


def _has_key(authorization: str, keys: tuple[str, ...]) -> bool:
    """In a time that does not tell how much of a key was right."""
    scheme, _, sent = authorization.partition(" ")
    matches = [hmac.compare_digest(sent.strip().encode(), key.encode()) for key in keys]
    return scheme.lower() == "bearer" and any(matches)


def _from_other_site(method: str, headers: Mapping[str, str]) -> bool:
    if method in SAFE_METHODS:
        return False
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")  # without TLS, and from older browsers, this is all there is
    return origin is not None and origin.partition("://")[2] != headers.get("host")


class Guarded:
    """Responds to refused requests; passes the others to the application."""

    def __init__(self, app: ASGIApp, admitted: Admittance, body_bytes: int) -> None:
        self._app = app
        self._admitted = admitted
        self._body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = None
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            error = refusal(scope["method"], scope["path"], headers, self._admitted)
            if error is not None and error.status == UNAUTHORIZED and "expect" not in headers:
                # An OpenAI client reads the response only once its upload is sent.
                await discard(Request(scope, receive).stream(), self._body_bytes, DISCARD_S)
        app = self._app if error is None else as_response(error)
        await app(scope, receive, send)
