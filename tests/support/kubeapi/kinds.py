"""Kinds of objects: the built-in ones, and what a CustomResourceDefinition adds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind in one version."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    status: bool = False
    columns: tuple[Json, ...] = field(default=(), compare=False)
    schema: Json | None = field(default=None, compare=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.group, self.plural

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """As error messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


BUILT_IN = (
    Kind("", "v1", "namespaces", "Namespace", False, ("ns",), True),
    Kind("", "v1", "nodes", "Node", False, ("no",), True),
    Kind("", "v1", "pods", "Pod", True, ("po",), True),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",), True),
    Kind("", "v1", "configmaps", "ConfigMap", True, ("cm",)),
    Kind("", "v1", "secrets", "Secret"),
    Kind("", "v1", "services", "Service", True, ("svc",), True),
    Kind("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",)),
    Kind("", "v1", "events", "Event", True, ("ev",)),
    Kind("apps", "v1", "deployments", "Deployment", True, ("deploy",), True),
    Kind("batch", "v1", "jobs", "Job", True, (), True),
    Kind("coordination.k8s.io", "v1", "leases", "Lease"),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", True, ("netpol",)),
    Kind("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False),
    Kind("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    *(
        Kind("admissionregistration.k8s.io", "v1", plural, f"ValidatingAdmissionPolicy{kind}", False)
        for plural, kind in (("validatingadmissionpolicies", ""), ("validatingadmissionpolicybindings", "Binding"))
    ),
    Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False, ("crd",), True),
)


def defined_kind(crd: Mapping[str, Any]) -> Kind:
    """The stored version of a CustomResourceDefinition."""
    spec = crd["spec"]
    names = spec["names"]
    version = next(each for each in spec["versions"] if each.get("storage"))
    return Kind(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        short=tuple(names.get("shortNames", ())),
        status="status" in version.get("subresources", {}),
        columns=tuple(version.get("additionalPrinterColumns", ())),
        schema=version.get("schema", {}).get("openAPIV3Schema"),
    )


def dig(value: Any, path: str) -> Any:
    """What is at a simple JSON path such as ``.status.phase`` or ``.metadata.labels.a\\.b/c``."""
    for part in re.split(r"(?<!\\)\.", path.strip("{}").lstrip(".")):
        value = value.get(part.replace("\\.", ".")) if isinstance(value, dict) else None
        if value is None:
            return None
    return value
