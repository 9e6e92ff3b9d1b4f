"""The way to the API, and the credentials: one rule for calls and for watches."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from kubernetes.aio import client

from modelcache_operator.kube import connection
from modelcache_operator.kube.connection import NoCluster, Unauthorized, kopf_session, load_configuration, proxy_for
from support.cluster import CRD, Space
from support.kubeapi import FaultProxy, LocalApi
from support.kubeapi.access import write_kubeconfig
from support.kubeapi.client import Client
from support.operator_process import OperatorProcess
from support.proxy import Proxy
from support.reports import complete
from support.waiting import eventually

API = "https://10.20.0.1:6443"
NAMED = "https://api.example:6443"
VIA = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("server", "named", "environment", "proxy"),
    [
        pytest.param(API, None, {}, None, id="none"),
        pytest.param(API, None, {"https": VIA}, VIA, id="by the scheme"),
        pytest.param(API, None, {"http": VIA, "all": VIA}, None, id="of another scheme"),
        pytest.param("http://10.20.0.1:8080", None, {"http": VIA}, VIA, id="plain HTTP"),
        pytest.param(API, None, {"https": "proxy.example:3128"}, VIA, id="without a scheme"),
        pytest.param(API, None, {"https": VIA, "no": "192.168.0.0/16, 10.0.0.0/8"}, None, id="a network"),
        pytest.param("https://[fd00::1]:6443", None, {"https": VIA, "no": "fd00::/8"}, None, id="a network of IPv6"),
        pytest.param("https://11.0.0.1", None, {"https": VIA, "no": "10.0.0.0/8"}, VIA, id="beside the network"),
        pytest.param(API, None, {"https": VIA, "no": "10.20.0.1:443"}, VIA, id="another port"),
        pytest.param(NAMED, None, {"https": VIA, "no": ".example"}, None, id="a domain"),
        pytest.param(NAMED, None, {"https": VIA, "no": "*"}, None, id="everything"),
        pytest.param("https://127.0.0.1:6443", None, {"https": VIA}, None, id="loopback"),
        pytest.param("https://localhost:6443", None, {"https": VIA}, None, id="localhost"),
        pytest.param(API, VIA, {"https": "http://other:1", "no": "*"}, VIA, id="a kubeconfig's proxy-url comes first"),
        pytest.param("https://127.0.0.1:6443", VIA, {}, VIA, id="a kubeconfig's proxy-url for loopback"),
    ],
)
def test_a_proxy_is_taken_as_kubectl_takes_it(
    server: str, named: str | None, environment: dict[str, str], proxy: str | None
) -> None:
    assert proxy_for(server, named, environment) == proxy


@pytest.mark.parametrize(
    ("named", "environment", "what"),
    [
        ("socks5://h:1", {}, "proxy-url"),
        (None, {"https": "https://h:1"}, "HTTPS_PROXY"),
        (None, {"https": "?"}, "HTTPS_PROXY"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_said(named: str | None, environment: dict[str, str], what: str) -> None:
    with pytest.raises(NoCluster, match=what):
        proxy_for(API, named, environment)


def test_in_a_pod_the_api_is_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", VIA)

    def load(client_configuration: client.Configuration) -> None:
        client_configuration.host = API

    monkeypatch.setattr("kubernetes.aio.config.load_incluster_config", load)
    found = asyncio.run(load_configuration(None, None, in_cluster=True))
    assert (found.host, found.proxy) == (API, None)
    assert found.client_session_kwargs == {"trust_env": False}


@pytest.fixture
def local_api() -> Iterator[LocalApi]:
    with LocalApi() as api:
        yield api


def _define(api: LocalApi, folder: Path) -> None:
    made = Client(api.kubeconfig(folder))
    made.create("customresourcedefinitions", yaml.safe_load(CRD.read_text()), "")
    made.close()


def _kinds(requests: list[str]) -> set[str]:
    """Of requests to the API: calls are lists, watches, and those for the Lease."""
    return {"watch" if "watch=true" in each else "lease" if "/leases/" in each else "list" for each in requests}


@pytest.mark.parametrize("how", ["proxy-url", "HTTP_PROXY", "NO_PROXY"])
def test_calls_and_watches_take_the_same_way(local_api: LocalApi, tmp_path: Path, how: str) -> None:
    _define(local_api, tmp_path)
    host, _, port = local_api.url.removeprefix("http://").partition(":")
    with Proxy((host, int(port))) as proxy:
        address = f"http://{proxy.address}"
        cluster = {"server": local_api.url if how == "NO_PROXY" else f"http://api.invalid:{port}"}
        if how == "proxy-url":
            cluster["proxy-url"] = address
        environment = {} if how == "proxy-url" else {"HTTP_PROXY": address, "NO_PROXY": "127.0.0.0/8"}
        kubeconfig = write_kubeconfig(tmp_path / "through", cluster, {})
        with OperatorProcess(kubeconfig, environment=environment) as operator:
            if how == "NO_PROXY":
                operator.wait_for("everything listed")
            else:
                eventually(lambda: _kinds(proxy.requests) == {"watch", "list", "lease"}, "all come by the proxy")
        assert bool(proxy.requests) is (how != "NO_PROXY")


# 401


def test_watches_outlive_an_api_that_refuses_the_token_for_a_while(
    space: Space, proxy: FaultProxy, tmp_path: Path
) -> None:
    space.kubelet.claim("models")
    with OperatorProcess(
        proxy.kubeconfig(tmp_path), "--full-list-seconds", "600", namespaces=(space.namespace,)
    ) as operator:
        space.cache("one")
        space.complete(space.job(name="one"), complete("one"))
        space.until("Ready", "one")
        rule = proxy.faults.add(401, 1_000_000)
        proxy.cut_watches()
        eventually(
            lambda: Counter(call.resource for call in rule.spoilt),
            "each watch is tried again",
            wanted=lambda tried: min(tried[resource] for resource in ("modelcaches", "pods", "jobs")) > 1,
        )
        proxy.faults.clear()
        space.cache("two")
        space.job(name="two")
        assert operator.process.poll() is None


async def _ask(server_tokens: list[str], configuration: client.Configuration) -> tuple[int, list[str]]:
    """One request of kopf's session, to a server that accepts one token; returns the status and the tokens it saw."""
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response(status=200 if seen[-1] in server_tokens else 401)

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration.host = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with kopf_session(configuration) as info, info.aiohttp_session.get(info.server) as response:
            return response.status, seen
    finally:
        await runner.cleanup()


def test_each_request_takes_the_token_that_is_there_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "UNAUTHORIZED_PAUSE_S", 0.0)
    tokens = iter(["old", "old", "new"])
    configuration = client.Configuration()

    def refresh(found: client.Configuration) -> None:
        found.api_key["BearerToken"] = f"Bearer {next(tokens)}"

    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
    assert asyncio.run(_ask(["Bearer new"], configuration)) == (200, ["Bearer old", "Bearer old", "Bearer new"])


def test_a_token_that_is_refused_for_too_long_ends_the_watch_with_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "UNAUTHORIZED_PAUSE_S", 0.0)
    monkeypatch.setattr(connection, "UNAUTHORIZED_LIMIT_S", 0.0)
    with pytest.raises(Unauthorized, match="refused our credentials"):
        asyncio.run(_ask(["another"], client.Configuration()))
