"""Where the API is, which way leads there and how to log in: a service account in a cluster, a kubeconfig elsewhere.

One place for both clients: the ``kubernetes`` client that makes the calls, and kopf, which watches. Neither reads the
environment. With a service account the API is reached directly. With a kubeconfig, its ``proxy-url`` counts, else
HTTPS_PROXY or HTTP_PROXY and NO_PROXY, as kubectl takes them: networks count, and loopback needs no proxy.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from ipaddress import ip_address
from urllib.request import getproxies

import kopf
from kubernetes.aio import client, config

from init_sync.hub.origin import origin
from init_sync.hub.routes import read_proxy, read_routes

CONNECTIONS = 24
"""To the API server at once; more would only queue there."""
LOGIN_PAUSE_S = 2.0
"""Between two logins: a token that is refused may be replaced, or accepted later."""


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


def kopf_login(configuration: client.Configuration) -> Callable[..., Awaitable[kopf.ConnectionInfo]]:
    """A login handler for kopf: the same way and the same credentials.

    kopf calls it again when the API answers 401, and gives up when it gets what was refused before. A token that is
    refused may be accepted later, so each answer differs, in a priority that counts nowhere.
    """
    numbers = itertools.count()

    async def login(**_: object) -> kopf.ConnectionInfo:
        if number := next(numbers):
            await asyncio.sleep(LOGIN_PAUSE_S)
        header = await configuration.get_api_key_with_prefix("BearerToken") or ""
        scheme, _space, token = header.rpartition(" ")
        return kopf.ConnectionInfo(
            server=str(configuration.host),
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            proxy_url=configuration.proxy,
            priority=number,
        )

    return login
