"""Where a server may send us: not to what only this machine or this cloud can see.

A redirect is somebody else's wish. It must not make a pod ask its own node, its neighbours on the link, or the service
that hands out the credentials of the machine. Who writes such an address as HF_ENDPOINT means it, so a redirect may
lead to where the endpoint itself is. Addresses are looked at when a connection is made, so a name cannot hide one.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Address = IPv4Address | IPv6Address

LOOPBACK = "this machine itself"
METADATA = tuple(
    map(
        ip_address,
        (
            "169.254.169.254",  # AWS, Azure, Google, OpenStack and most others
            "fd00:ec2::254",  # AWS
            "fd00:ec2::23",  # AWS, credentials of pods
            "fd20:ce::254",  # Google
            "100.100.100.200",  # Alibaba
            "168.63.129.16",  # Azure, the host of a machine
            "192.0.0.192",  # Oracle
        ),
    )
)
CARRIES_IPV4 = tuple(map(ip_network, ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))
"""IPv6 networks with an IPv4 address in the last 32 bits: compatible, mapped, translated, NAT64."""
THIS_HOST = ip_network("0.0.0.0/8")


class Forbidden(Exception):
    """A redirect leads to where it must not."""


def check_redirect(address: str, endpoint_host: str) -> None:
    """Raises Forbidden when ``address`` is out of reach for a redirect of the server at ``endpoint_host``."""
    where = place(address)
    if where is None:
        return
    ours = addresses(endpoint_host)
    if address in ours or (where == LOOPBACK and any(place(each) == LOOPBACK for each in ours)):
        return
    raise Forbidden(f"{address}, {where}")


def place(address: str) -> str | None:
    """What kind of place an address is that a redirect must not lead to; None for all others."""
    ip = ip_address(address.partition("%")[0])
    return next((kind for each in _meanings(ip) if (kind := _place(each))), None)


def addresses(host: str, *, only_literal: bool = False) -> tuple[str, ...]:
    """The addresses of a host in any notation (``2852039166``, ``0x7f.1``); none when it cannot be looked up."""
    flags = socket.AI_NUMERICHOST if only_literal else 0
    with suppress(OSError, ValueError):
        return tuple(str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=flags))
    return ()


def _meanings(ip: Address) -> list[Address]:
    """The address itself, and the IPv4 address that it carries."""
    if isinstance(ip, IPv4Address):
        return [ip]
    carried = [ip.sixtofour, ip.teredo[1] if ip.teredo else None]
    if any(ip in network for network in CARRIES_IPV4) and int(ip) > 1:
        carried.append(IPv4Address(int(ip) & 0xFFFFFFFF))
    return [ip, *(each for each in carried if each)]


def _place(ip: Address) -> str | None:
    if ip in METADATA:
        return "a cloud's metadata service"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_loopback or ip.is_unspecified or (isinstance(ip, IPv4Address) and ip in THIS_HOST):
        return LOOPBACK
    return "a multicast address" if ip.is_multicast else None
