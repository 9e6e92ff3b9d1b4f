"""What kube-proxy does: a Service's address leads to a pod that is ready, whichever that is at the time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from support.runner.addresses import Addresses
from support.runner.deployments import is_ready
from support.runner.view import Key, View, key_of

Json = dict[str, Any]
Target = Callable[[], tuple[str, int] | None]


class ServiceProxy:
    """One listener for each port of each Service that selects pods."""

    def __init__(self, view: View, addresses: Addresses) -> None:
        self._view = view
        self._addresses = addresses
        self._listeners: dict[Key, list[asyncio.Server]] = {}

    async def lead(self, service: Json) -> None:
        """Listen for it, if it selects pods and is new."""
        key = key_of(service)
        if service["spec"].get("selector") and key not in self._listeners:
            self._listeners[key] = await self._open(key, service)

    def forget(self) -> None:
        """Stop listening for those that are gone."""
        for key in [key for key in self._listeners if self._view.find("services", *key) is None]:
            for server in self._listeners.pop(key):
                server.close()

    def close(self) -> None:
        for servers in self._listeners.values():
            for server in servers:
                server.close()

    async def _open(self, key: Key, service: Json) -> list[asyncio.Server]:
        address = self._addresses.service()
        servers = [
            await asyncio.start_server(_Forwarding(self._target(key, port)).accept, address, port["port"])
            for port in service["spec"].get("ports", ())
        ]
        # Only now: whoever reads the address may connect to it.
        body = {"spec": {"clusterIP": address, "clusterIPs": [address]}}
        await self._view.patch("services", service, body)
        return servers

    def _target(self, key: Key, port: Json) -> Target:
        def find() -> tuple[str, int] | None:
            service = self._view.find("services", *key)
            for pod in self._view.all("pods") if service else ():
                if service and _selects(service, pod) and is_ready(pod) and "deletionTimestamp" not in pod["metadata"]:
                    return pod["status"]["podIP"], _port_of(pod, port.get("targetPort") or port["port"])
            return None

        return find


def _selects(service: Json, pod: Json) -> bool:
    labels = pod["metadata"].get("labels") or {}
    here = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return here and all(labels.get(key) == value for key, value in service["spec"]["selector"].items())


def _port_of(pod: Json, wanted: int | str) -> int:
    if isinstance(wanted, int):
        return wanted
    ports = (port for each in pod["spec"]["containers"] for port in each.get("ports", ()))
    return next(int(port["containerPort"]) for port in ports if port.get("name") == wanted)


class _Forwarding:
    """Connections of one port; refused, as kube-proxy does, while no pod is ready."""

    def __init__(self, target: Target) -> None:
        self._target = target

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = self._target()
        with contextlib.suppress(OSError):
            if target:
                far_reader, far_writer = await asyncio.open_connection(*target)
                await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer), return_exceptions=True)
                far_writer.close()
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
