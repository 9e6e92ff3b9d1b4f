"""Where the API is, which way leads there and how to log in: a service account in a cluster, a kubeconfig elsewhere.

One place for both clients: the ``kubernetes`` client that makes the calls, and kopf, which watches. Neither reads the
environment. With a service account the API is reached directly. With a kubeconfig, its ``proxy-url`` counts, else
HTTPS_PROXY or HTTP_PROXY and NO_PROXY, as kubectl takes them: networks count, and loopback needs no proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from ipaddress import ip_address
from urllib.request import getproxies

import aiohttp
import kopf
from kubernetes.aio import client, config

from init_sync.hub.origin import origin
from init_sync.hub.routes import read_proxy, read_routes

CONNECTIONS = 24
"""To the API server at once; more would only queue there."""
UNAUTHORIZED_PAUSE_S = 2.0
UNAUTHORIZED_LIMIT_S = 45.0
"""By then the Lease is no longer ours, and a restart reads a kubeconfig that was replaced. Below kopf's own limit of
70 s for a watch that is silent, which would start again."""


class Unauthorized(Exception):
    """The API has refused our credentials for too long."""


class NoCluster(Exception):
    """Neither a service account nor a kubeconfig says where the API is."""


async def load_configuration(kubeconfig: str | None, context: str | None, in_cluster: bool) -> client.Configuration:
    """The service account, unless a kubeconfig is named; without either, what ``kubectl`` would use.

    Raises:
        NoCluster: with what to set.
    """
    configuration = client.Configuration()
    in_pod = kubeconfig is None and context is None and in_cluster
    try:
        if in_pod:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(kubeconfig, context, configuration, persist_config=False)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise NoCluster(f"finding the cluster: {error}. Set --kubeconfig or KUBECONFIG, or run in a pod") from error
    except Exception as error:  # whatever the client stumbles over in a file of another kind
        file = kubeconfig or "the file that KUBECONFIG names"
        raise NoCluster(f"finding the cluster: {file} is no kubeconfig. Set --kubeconfig or KUBECONFIG") from error
    configuration.proxy = None if in_pod else proxy_for(str(configuration.host), configuration.proxy, getproxies())
    configuration.client_session_kwargs = {"trust_env": False}
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.retries = 0
    return configuration


def proxy_for(server: str, named: str | None, environment: Mapping[str, str]) -> str | None:
    """The proxy on the way to the API; ``named``: by the kubeconfig, ``environment``: as ``getproxies`` returns it.

    Raises:
        NoCluster: when it is none that can be used.
    """
    try:
        if named:
            read_proxy(named, "proxy-url")
            return named
        target = origin(server)
        variables = {name: environment[name] for name in (target.scheme, "no") if name in environment}
        if _is_loopback(target.host) or not read_routes(variables).proxy_for(target):
            return None
        value = variables[target.scheme]
        return value if "://" in value else f"http://{value}"
    except ValueError as error:
        what = "the kubeconfig's proxy-url" if named else f"{origin(server).scheme.upper()}_PROXY"
        raise NoCluster(f"finding the cluster: {what} {error}") from error


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


@contextlib.asynccontextmanager
async def kopf_session(configuration: client.Configuration) -> AsyncIterator[kopf.AiohttpSession]:
    """For kopf: the same way and the same credentials, which each request reads again.

    A 401 is waited out here: tokens of pods are replaced, and accepted again later. kopf would close the session under
    all watches, which can leave one deaf, and give up when it gets the token that was refused before.
    """

    async def authorize(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        request.server_hostname = configuration.tls_server_name
        deadline = time.monotonic() + UNAUTHORIZED_LIMIT_S
        while True:
            if header := await configuration.get_api_key_with_prefix("BearerToken"):
                request.headers["Authorization"] = header
            response = await handler(request)
            if response.status != 401:
                return response
            response.release()
            if time.monotonic() > deadline:
                raise Unauthorized(f"the API has refused our credentials for {UNAUTHORIZED_LIMIT_S:g} s (401)")
            await asyncio.sleep(UNAUTHORIZED_PAUSE_S)

    tls = client.rest.RESTClientObject(configuration).ssl_context
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=tls), middlewares=(authorize,), proxy=configuration.proxy
    )
    close, session.close = session.close, _nothing  # type: ignore[method-assign]
    try:
        yield kopf.AiohttpSession(server=str(configuration.host), aiohttp_session=session)
    finally:
        await close()


async def _nothing() -> None:
    """In place of closing: at its end kopf closes the session under its watches, and they wait for a login for ever."""
