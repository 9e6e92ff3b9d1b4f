"""An API server with namespaces, caches and releases; nothing but the server runs: no operator, no controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from admission.pods import pod, summary
from support.helm import Helm, Release
from support.kubeapi import ApiError, RealApi
from support.kubeapi.client import Client

Json = dict[str, Any]
API = "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"
NAMESPACES = {"served": "privileged", "strict": "restricted", "shared": "privileged", "elsewhere": "privileged"}
"""With their level of Pod Security."""
ALONE: Json = {"cache": {"enabled": False}, "inference": {"enabled": False}}
RELEASES = (
    Release({**ALONE, "operator": {"namespaces": ["served", "strict", "shared"]}}, "first", "a"),
    Release({**ALONE, "operator": {"namespaces": ["shared"]}}, "second", "b"),
)
HOSTILE = {
    "auth": {"secretName": "hf-token"},
    "sync": {
        "job": {
            "image": "evil/image",
            "env": [{"name": "LD_PRELOAD", "value": "/models/evil.so"}],
            "podSecurityContext": {"runAsUser": 0},
            "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
            "imagePullSecrets": [{"name": "evil"}],
        }
    },
}
CACHES: dict[str, dict[str, Json]] = {
    "served": {
        "cache": {},
        "other": {"volume": {"claimName": "other-models"}},
        "unnamed": {"volume": {"create": {"size": "1Gi"}}},
        "null": {"volume": None},
        "jobless": {"sync": {"job": {"enabled": False}}},
        "hostile": HOSTILE,
    },
    "strict": {"cache": {}},
    "shared": {"cache": {}},
}
"""By namespace and name; what they say beside a model and the claim "models"."""


@dataclass(frozen=True, slots=True)
class Ground:
    client: Client
    real: RealApi
    helm: Helm

    def has_mutating_policies(self) -> bool:
        try:
            return self.client.list("mutatingadmissionpolicies", "") == []
        except ApiError as error:
            if error.code == 404:
                return False
            raise

    def namespace(self, name: str, level: str = "privileged") -> str:
        labels = {"pod-security.kubernetes.io/enforce": level}
        self.client.create("namespaces", {"metadata": {"name": name, "labels": labels}}, "")
        self.client.create("serviceaccounts", {"metadata": {"name": "default"}}, name)
        return name

    def install(self, release: Release, about: str = "label") -> list[Json]:
        """What the release renders; its policies about this are applied."""
        rendered = self.helm.render(Release(release.values, release.name, release.namespace, (API,)))
        for each in rendered:
            if "AdmissionPolicy" in each["kind"] and f"-{about}" in each["metadata"]["name"]:
                self.client.apply(each)
        return rendered

    def cache(self, name: str, namespace: str, **spec: Any) -> Json:
        models = [{"name": "base", "repo": "owner/small", "path": f"{name}-base"}]
        body = {"models": models, "volume": {"claimName": "models"}, **spec}
        kind = {"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache"}
        return self.client.create("modelcaches", {**kind, "metadata": {"name": name}, "spec": body}, namespace)

    def make_caches(self) -> None:
        for namespace, caches in CACHES.items():
            for name, spec in caches.items():
                self.cache(name, namespace, **spec)

    def in_force(self) -> bool:
        """Whether pods of each cache are joined, and others refused, for the reason that the policies give."""
        return all(
            self._joined(name, namespace) and not self._joined("none", namespace)
            for namespace, caches in CACHES.items()
            for name in caches
        )

    def _joined(self, cache: str, namespace: str) -> bool:
        try:
            made = self.create(pod(cache=cache, level="restricted"), namespace)
        except ApiError as error:
            if "there is no ModelCache" not in str(error):
                raise
            return False
        return cache == "none" or "init-sync" in summary(made)["init"]

    def create(self, body: Json, namespace: str = "served", user: str = "", dry: bool = True) -> Json:
        """What the API server makes of a pod; in the name of a controller if ``user`` is given."""
        client = Client(self.real.kubeconfig(), user) if user else self.client
        try:
            return client.create("pods", body, namespace, **({"dryRun": "All"} if dry else {}))
        finally:
            if user:
                client.close()
