"""Following redirects: what an address may lead to, and whom the token may be sent.

Addresses are read by ``httpx2.URL``, which quotes them as browsers and curl do. A redirect may lead to http and https
only, never from https to http, and not to the places that ``reach`` lists. The token goes to the origin that was named
first, and to the same host by https where that was http, where anybody on the way has read it already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from httpx2 import URL, InvalidURL

from init_sync.core.reasons import Reason
from init_sync.hub.failures import refused_redirect
from init_sync.hub.origin import DEFAULT_PORTS, origin
from init_sync.hub.quoting import quoted
from init_sync.hub.response import Response
from init_sync.hub.retry import Transient
from init_sync.hub.transport import Connections

REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 5
ASCII = "".join(map(chr, range(0x21, 0x7F)))


def follow(
    connections: Connections,
    url: str,
    own_headers: Mapping[str, str],
    headers: Mapping[str, str],
    doing: str,
    on_redirect: Callable[[str], None] = lambda _: None,
    *,
    direct: bool = False,
) -> tuple[str, Response]:
    """GET ``url``; returns the response and the address that gave it. ``own_headers`` hold the token.

    ``on_redirect`` is told each further address before it is asked. ``direct``: by no proxy and along no redirect.

    Raises:
        Transient: see ``Connections.send``; or the redirects lead nowhere.
        NeedsChange: see there; or a redirect leads to where it must not.
    """
    here = url
    most = 0 if direct else MAX_REDIRECTS
    for _ in range(most + 1):
        own = own_headers if may_have_token(url, here) else {}
        response = connections.get(here, {**own, **headers}, named_by=url, direct=direct)
        location = response.headers.get("Location")
        if response.status not in REDIRECTS or not location:
            return here, response
        response.drain()
        try:
            target = redirected(here, location)
        except ValueError as error:
            cause = f"{doing}: redirected to what is no address: {quoted(str(error))}"
            raise Transient(Reason.HUB_UNREACHABLE, cause) from error
        if problem := redirect_problem(here, target):
            raise refused_redirect(doing, str(origin(here)), problem)
        here = target
        on_redirect(here)
    raise Transient(Reason.HUB_UNREACHABLE, f"{doing}: more than {most} redirects")


def redirected(url: str, location: str) -> str:
    """Where the Location header of a response from ``url`` leads. Raises ValueError when that is no address."""
    raw = location.encode("latin-1")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = quote(raw, safe=ASCII)
    try:
        target = str(URL(url).join(text))
    except InvalidURL as error:
        raise ValueError(str(error)) from error
    origin(target)
    return target


def redirect_problem(url: str, target: str) -> str | None:
    """Why a redirect is not followed; None when it may be."""
    before, after = origin(url), origin(target)
    if after.scheme not in DEFAULT_PORTS or not after.host:
        return f"leads to a {quoted(after.scheme, 20)}: address, and only http and https are followed"
    if before.scheme == "https" and after.scheme == "http":
        return f"leads from https to http, at {after}"
    return None


def may_have_token(named: str, target: str) -> bool:
    """Whether ``target`` is the server that the user named, or the same host by TLS."""
    ours, theirs = origin(named), origin(target)
    upgraded = (ours.scheme, theirs.scheme) == ("http", "https") and ours.host == theirs.host
    return ours == theirs or upgraded
