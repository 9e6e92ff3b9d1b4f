"""Which requests are accepted: not for unknown names, not from other sites' pages, not with two lengths.

The server has no authentication: what reaches its port may use it. A web page of another site must not, in the browser
of a person who has the port forwarded:

- DNS rebinding: the page's own name is made to mean this server, which the browser then takes for the page's own
  origin. The Host header still has that name, so only known ones are served (`hosts`).
- Cross-site requests: a page of another site posts here. Browsers say so in Sec-Fetch-Site and Origin; requests that
  change something are refused then, by the rules of Go's `http.CrossOriginProtection`. Reading needs no such rule:
  responses carry no CORS headers, so other sites cannot see them.

Starlette's TrustedHostMiddleware knows no IPv6 addresses, and cannot allow all addresses.
"""

from __future__ import annotations

from collections.abc import Mapping

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from inference.server.errors import ApiError
from inference.server.hosts import allowed_host

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_SHOWN = 100


def refusal(method: str, headers: Mapping[str, str], allowed_hosts: tuple[str, ...]) -> ApiError | None:
    """Why a request is refused; None if it is not."""
    if "content-length" in headers and "transfer-encoding" in headers:
        # A gateway that goes by the length would take the rest of the body for another client's request.
        message = "The request has both Content-Length and Transfer-Encoding; send one of them."
        return ApiError(400, "two_body_lengths", message, headers={"connection": "close"})
    host = headers.get("host")
    if host is not None and not allowed_host(host, allowed_hosts):  # HTTP/1.0 has none, and browsers do not speak it
        message = f"The host {host[:_SHOWN]!r} is not served here. If it is a name of this server, add it to its "
        return ApiError(403, "host_not_allowed", message + "--allowed-hosts (of the chart: inference.allowedHosts).")
    if _from_other_site(method, headers):
        message = f"{method} is refused to pages of other sites. Use the server's own page, or a client of your own."
        return ApiError(403, "cross_site_request", message)
    return None


def _from_other_site(method: str, headers: Mapping[str, str]) -> bool:
    if method in SAFE_METHODS:
        return False
    if site := headers.get("sec-fetch-site"):
        return site not in ("same-origin", "none")
    origin = headers.get("origin")  # without TLS, and from older browsers, this is all there is
    return origin is not None and origin.partition("://")[2] != headers.get("host")


class Guarded:
    """Responds to refused requests; passes the others to the application."""

    def __init__(self, app: ASGIApp, allowed_hosts: tuple[str, ...]) -> None:
        self._app = app
        self._allowed_hosts = allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        error = refusal(scope["method"], Headers(scope=scope), self._allowed_hosts) if scope["type"] == "http" else None
        app = self._app if error is None else JSONResponse(error.body(), error.status, error.headers)
        await app(scope, receive, send)
