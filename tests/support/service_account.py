"""The operator's service account as the chart makes it, on an API server that enforces RBAC."""

from __future__ import annotations

from typing import Any

from support.cluster import Space
from support.helm import Helm, Release

KINDS = ("ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")


def bound_token(space: Space, helm: Helm, values: dict[str, Any]) -> str:
    """Of the service account that the chart makes, with the chart's Roles."""
    client, namespace = space.client, space.namespace
    documents = [each for each in helm.render(Release(values, namespace=namespace)) if _is_the_operators(each)]
    for document in documents:
        client.apply(document)
    name = next(each["metadata"]["name"] for each in documents if each["kind"] == "ServiceAccount")
    path = client.path("serviceaccounts", namespace, name, "token")
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    return str(client.call("POST", path, request)["status"]["token"])


def _is_the_operators(document: dict[str, Any]) -> bool:
    labels = document["metadata"].get("labels", {})
    return document["kind"] in KINDS and labels["app.kubernetes.io/component"] == "operator"
