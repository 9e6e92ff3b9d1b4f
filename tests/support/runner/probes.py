"""Probes: HTTP, TCP and commands, with the thresholds and periods of the spec."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

Json = dict[str, Any]
Execute = Callable[[list[str]], Awaitable[bool]]
"""Runs a command in the container's surroundings; whether it ended well."""


KINDS = ("httpGet", "tcpSocket", "exec")


def refuse_unknown(container: Json) -> None:
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        if (probe := container.get(name)) and not any(kind in probe for kind in KINDS):
            raise NotImplementedError(f"container {container['name']}: {name}: only {', '.join(KINDS)} are known")


@dataclass(frozen=True, slots=True)
class Prober:
    """Asks one container."""

    address: str
    ports: dict[str, int]
    """By name."""
    execute: Execute

    async def ask(self, probe: Json) -> bool:
        try:
            async with asyncio.timeout(float(probe.get("timeoutSeconds", 1))):
                if get := probe.get("httpGet"):
                    return await self._http(get)
                if tcp := probe.get("tcpSocket"):
                    return await self._tcp(self.port(tcp["port"]))
                return await self.execute(probe["exec"]["command"])
        except (OSError, TimeoutError, aiohttp.ClientError):
            return False

    async def _http(self, get: Json) -> bool:
        url = f"{get.get('scheme', 'HTTP').lower()}://{self.address}:{self.port(get['port'])}{get.get('path', '/')}"
        headers = {each["name"]: each["value"] for each in get.get("httpHeaders", ())}
        async with (
            aiohttp.ClientSession(trust_env=False) as session,
            session.get(url, headers=headers, ssl=False) as answer,
        ):
            return 200 <= answer.status < 400

    async def _tcp(self, port: int) -> bool:
        _, writer = await asyncio.open_connection(self.address, port)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return True

    def port(self, name: str | int) -> int:
        return self.ports[name] if isinstance(name, str) and not name.isdigit() else int(name)


async def until(probe: Json, prober: Prober, wanted: bool) -> None:
    """Ask in the probe's period until as many answers in a row are ``wanted`` as its threshold says."""
    threshold = int(probe.get("successThreshold", 1) if wanted else probe.get("failureThreshold", 3))
    streak = 0
    while True:
        streak = streak + 1 if await prober.ask(probe) is wanted else 0
        if streak >= threshold:
            return
        await asyncio.sleep(float(probe.get("periodSeconds", 10)))


async def passes(probe: Json, prober: Prober) -> bool:
    """Whether a startup probe succeeds before it has failed too often."""
    await asyncio.sleep(float(probe.get("initialDelaySeconds", 0)))
    for _ in range(int(probe.get("failureThreshold", 3))):
        if await prober.ask(probe):
            return True
        await asyncio.sleep(float(probe.get("periodSeconds", 10)))
    return False
