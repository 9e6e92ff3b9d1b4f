"""A proxy before any Kubernetes API, in-memory or real, that spoils calls on demand and records each of them.

A kubeconfig of its own leads to it, over plain HTTP and without credentials: it adds those of the kubeconfig that it
was made from, unless a request brings a token. Only what goes through it is seen and spoilt; tests talk to the API
directly. Answers are passed on as they come, watches too. Not done: upgrades (exec, port-forward).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
from aiohttp import web

from support.kubeapi.access import read_kubeconfig, write_kubeconfig
from support.kubeapi.calls import Call, read_call
from support.kubeapi.errors import ApiError
from support.kubeapi.faults import CUT_AFTER, CUT_BEFORE, SILENT, Faults, Rule
from support.kubeapi.serving import Serving

NOT_PASSED_ON = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "te", "upgrade"}
REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
}
SESSION = web.AppKey("session", aiohttp.ClientSession)


class FaultProxy(Serving):
    """It keeps its address over ``stop`` and ``start``."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__(self._application)
        self._access = read_kubeconfig(kubeconfig)
        self._watches: dict[int, web.Request] = {}
        self.faults = Faults()
        self.calls: list[Call] = []

    def cut_watches(self) -> int:
        """Abort every open stream, as a load balancer does; returns how many there were."""

        async def cut() -> int:
            open_now = list(self._watches.values())
            for request in open_now:
                _abort(request)
            return len(open_now)

        return self.run(cut())

    def kubeconfig(self, folder: Path, token: str = "") -> Path:
        user = {"token": token} if token else {}
        return write_kubeconfig(folder / "proxy.kubeconfig", {"server": self.url}, user)

    def _application(self) -> web.Application:
        app = web.Application(client_max_size=16 << 20)
        app.cleanup_ctx.append(_session)
        app.router.add_route("*", "/{tail:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        call = read_call(request.method, request.path, request.query)
        if call is None:
            return await self._pass_on(request, cut=False)
        self.calls.append(call)
        rule = self.faults.take(call)
        if rule and rule.code not in (CUT_AFTER, SILENT):
            return _spoil(request, rule, call)
        if call.verb != "watch":
            return await self._pass_on(request, cut=rule is not None)
        self._watches[id(request)] = request
        try:
            silent = rule is not None and rule.code == SILENT
            return await (_say_nothing(request) if silent else self._pass_on(request, cut=False))
        finally:
            del self._watches[id(request)]

    async def _pass_on(self, request: web.Request, cut: bool) -> web.StreamResponse:
        headers = {key: value for key, value in request.headers.items() if key.lower() not in NOT_PASSED_ON}
        tls = self._access.anonymous_tls if "Authorization" in headers else self._access.tls
        if self._access.token:
            headers.setdefault("Authorization", f"Bearer {self._access.token}")
        url = f"{self._access.url}{request.raw_path}"
        body = await request.read() or None  # empty bytes would be sent as a type of content that the API refuses
        sending = request.app[SESSION].request(request.method, url, headers=headers, data=body, ssl=tls or True)
        async with sending as answer:
            if cut:
                await answer.read()
                return _cut(request)
            return await _relay(request, answer)


async def _session(app: web.Application) -> AsyncIterator[None]:
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, auto_decompress=False) as session:
        app[SESSION] = session
        yield


async def _relay(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    passed = {key: value for key, value in answer.headers.items() if key.lower() not in NOT_PASSED_ON}
    response = web.StreamResponse(status=answer.status, headers=passed)
    await response.prepare(request)
    async for block in answer.content.iter_any():
        try:
            await response.write(block)
        except ConnectionError:  # the client has left; where the API breaks off, that must show
            break
    return response


async def _say_nothing(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    await asyncio.Event().wait()  # until the client leaves, or the proxy stops
    return response


def _spoil(request: web.Request, rule: Rule, call: Call) -> web.StreamResponse:
    if rule.code == CUT_BEFORE:
        return _cut(request)
    error = ApiError(rule.code, REASONS.get(rule.code, "InternalError"), f"spoilt on demand with {rule.code}")
    if call.verb == "watch" and rule.code == 410:  # the API says so inside of the stream
        return web.json_response({"type": "ERROR", "object": error.status()})
    headers = {"Retry-After": rule.retry_after} if rule.retry_after else {}
    return web.json_response(error.status(), status=rule.code, headers=headers)


def _cut(request: web.Request) -> web.StreamResponse:
    _abort(request)
    raise asyncio.CancelledError


def _abort(request: web.Request) -> None:
    if request.transport:
        request.transport.abort()
