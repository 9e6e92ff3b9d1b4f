"""Where the API is and how to log in: a service account in a cluster, a kubeconfig elsewhere.

One place for both clients: the ``kubernetes`` client that makes the calls, and kopf, which watches.
"""

from __future__ import annotations

import kopf
from kubernetes.aio import client, config

CONNECTIONS = 24
"""To the API server at once; more would only queue there."""


class NoCluster(Exception):
    """Neither a service account nor a kubeconfig says where the API is."""


async def load_configuration(kubeconfig: str | None, context: str | None, in_cluster: bool) -> client.Configuration:
    """The service account, unless a kubeconfig is named; without either, what ``kubectl`` would use.

    Raises:
        NoCluster: with what to set.
    """
    configuration = client.Configuration()
    try:
        if kubeconfig is None and context is None and in_cluster:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(kubeconfig, context, configuration, persist_config=False)  # type: ignore[no-untyped-call]
    except (config.ConfigException, OSError) as error:
        raise NoCluster(f"finding the cluster: {error}. Set --kubeconfig or KUBECONFIG, or run in a pod") from error
    except Exception as error:  # whatever the client stumbles over in a file of another kind
        file = kubeconfig or "the file that KUBECONFIG names"
        raise NoCluster(f"finding the cluster: {file} is no kubeconfig. Set --kubeconfig or KUBECONFIG") from error
    configuration.connection_pool_maxsize = CONNECTIONS
    configuration.retries = 0
    return configuration


async def kopf_login(configuration: client.Configuration) -> kopf.ConnectionInfo:
    """The same credentials for kopf, which asks again when the API answers 401: tokens of pods expire."""
    header = await configuration.get_api_key_with_prefix("BearerToken") or ""
    scheme, _, token = header.rpartition(" ")
    return kopf.ConnectionInfo(
        server=str(configuration.host),
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
    )
