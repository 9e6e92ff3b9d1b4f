"""Names under which the server may be reached: the Host header against `--allowed-hosts`."""

from __future__ import annotations

import ipaddress
import re
import socket

ANY = "*"
_HOST = re.compile(r"(?:\[(?P<v6>[^\]]+)\]|(?P<name>[^:\[\]/?#@\\\s]+))(?::\d*)?", re.ASCII)
_NAME = re.compile(r"\.?[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.ASCII)
_LOCAL = ("localhost", ".localhost")


def host_name(text: str) -> str:
    """A value of `--allowed-hosts`: a name, `.example.com` for that name and all below it, `*` for any."""
    name = text.lower().rstrip(".")
    if name != ANY and not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a host name; give names without scheme and port, .example.com, or *")
    return name


def allowed_host(header: str, allowed: tuple[str, ...]) -> bool:
    """Whether a Host header means this server: an address, this machine, or an allowed name."""
    if ANY in allowed:
        return True
    found = _HOST.fullmatch(header)
    if found is None:
        return False
    name = (found["v6"] or found["name"]).lower().removesuffix(".")
    names = (*_LOCAL, socket.gethostname().lower(), *allowed)
    return _is_address(name) or any(name == each.removeprefix(".") or _below(name, each) for each in names)


def _below(name: str, allowed: str) -> bool:
    return allowed.startswith(".") and name.endswith(allowed)


def _is_address(name: str) -> bool:
    """Nobody can make an address mean another machine, as is possible with a name."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
