"""Which way a request goes: directly or by which proxy. One decision for listings and files.

HTTP_PROXY, HTTPS_PROXY and ALL_PROXY name proxies by the scheme of the target, in lower case too. NO_PROXY holds what
is asked directly, separated by commas, as curl, Go and httpx2 read it:

    *                                   everything
    hub.example, hub.example:8080       this host and its subdomains, at any port or at one
    .hub.example, *.hub.example         its subdomains only
    10.0.0.0/8, fd00::/8, 10.1.2.3      addresses; the target must be written as one
    ::1, [::1], [::1]:8080

What cannot be read there is ignored, as those clients do.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import unquote, urlsplit

from init_sync.hub.origin import Origin

EXAMPLE = "give one such as http://HOST:PORT"
HOST = re.compile(r"""[^\s'"<>@/\\]+""")
ENTRY = re.compile(
    r"(?:(?P<scheme>\w+)://)?(?P<host>\[[^\]]+\]|[^:]+|[0-9A-Fa-f:.]+)(?P<bits>/\d+)?(?::(?P<port>\d+))?"
)


@dataclass(frozen=True, slots=True)
class Proxy:
    """An http:// proxy. Its text names it for messages, never with its password."""

    host: str
    port: int
    variable: str
    authorization: str | None = field(default=None, repr=False)
    may_be_shown: bool = True
    """A single word may be a secret in the wrong variable."""

    def __str__(self) -> str:
        if not self.may_be_shown:
            return f"the proxy that {self.variable} names"
        return f"the proxy {Origin('http', self.host, self.port)} ({self.variable})"


def read_proxy(value: str, variable: str) -> Proxy:
    """Raises ValueError with what is wrong, without repeating the value."""
    scheme, separator, _ = value.partition("://")
    if separator and scheme.lower() != "http":
        raise ValueError(f"names something else than an http:// proxy; {EXAMPLE}, or unset it")
    try:
        parts = urlsplit(value if separator else f"http://{value}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError(f"is no address of a proxy; {EXAMPLE}, with # / ? @ : in a password as %23 %2F ...") from None
    if not HOST.fullmatch(host) or "@" in value.rpartition(parts.netloc)[2]:
        raise ValueError(f"is no address of a proxy; {EXAMPLE}, with # / ? @ : in a password as %23 %2F ...")
    user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    authorization = f"Basic {base64.b64encode(user.encode()).decode()}" if parts.username else None
    return Proxy(host, port or 80, variable, authorization, may_be_shown=bool(separator or port))


@dataclass(frozen=True, slots=True)
class Exempt:
    """One entry of NO_PROXY."""

    name: str = ""
    subdomains_only: bool = False
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None
    scheme: str | None = None

    def covers(self, target: Origin) -> bool:
        if self.port not in (None, target.port) or self.scheme not in (None, "all", target.scheme):
            return False
        host = target.host.rstrip(".")
        if self.network is not None:
            try:
                return ip_address(host) in self.network
            except ValueError:
                return False
        return host.endswith(f".{self.name}") or (host == self.name and not self.subdomains_only)


@dataclass(frozen=True, slots=True)
class Routes:
    """Proxies by scheme, and what is asked directly."""

    proxies: Mapping[str, Proxy]
    exempt: tuple[Exempt, ...] = ()

    def proxy_for(self, target: Origin) -> Proxy | None:
        if any(each.covers(target) for each in self.exempt):
            return None
        return self.proxies.get(target.scheme) or self.proxies.get("all")


def read_routes(variables: Mapping[str, str]) -> Routes:
    """From what ``urllib.request.getproxies`` returns: ``http``, ``https``, ``all`` and ``no``. Raises ValueError."""
    entries = [entry.strip() for entry in variables.get("no", "").split(",")]
    if "*" in entries:
        return Routes({})
    proxies = {
        scheme: read_proxy(variables[scheme], f"{scheme.upper()}_PROXY")
        for scheme in ("http", "https", "all")
        if variables.get(scheme)
    }
    return Routes(proxies, tuple(each for entry in entries if (each := _exempt(entry))))


def _exempt(entry: str) -> Exempt | None:
    match = ENTRY.fullmatch(entry)
    if match is None:
        return None
    host, bits = match["host"].strip("[]").lower(), match["bits"] or ""
    port, scheme = int(match["port"]) if match["port"] else None, match["scheme"]
    try:
        return Exempt(network=ip_network(host + bits, strict=False), port=port, scheme=scheme)
    except ValueError:
        name = host.removeprefix("*").strip(".")
        return None if bits or not name else Exempt(name, host[0] in "*.", port=port, scheme=scheme)
