"""Caches, their pods and their claims in each state, and what is said when one of them is deleted."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import Any

from admission.ground import Ground
from admission.pods import GATE, container
from support.kubeapi import ApiError, assets

Json = dict[str, Any]
CACHE_LABEL, ALLOWED = "modelcache.dev/cache", {"modelcache.dev/allow-deletion": "true"}
MADE = {"app.kubernetes.io/managed-by": "modelcache-operator"}
GATES = [{"name": GATE}]
FINALIZER = "test.example/kept"


def kubectl(ground: Ground, namespace: str, *arguments: str, user: str = "") -> tuple[bool, str]:
    """Whether the command succeeded, and what was said beside its output."""
    programs = assets()
    assert programs is not None
    acting = [f"--as={user}", "--as-group=system:masters"] if user else []
    flags = [f"--kubeconfig={ground.real.kubeconfig()}", f"--namespace={namespace}", *acting]
    command = [str(programs / "kubectl"), *flags, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode == 0, done.stderr


@dataclass(frozen=True, slots=True)
class World:
    """The objects of one namespace."""

    ground: Ground
    namespace: str
    allowed: Json = field(default_factory=lambda: dict(ALLOWED))

    def cache(self, name: str, claim: str | None = None, volume: Json | None = None, **metadata: Any) -> None:
        """On the claim ``NAME-models`` unless told otherwise."""
        spec: Json = {"models": [{"name": "base", "repo": "owner/small", "path": f"{name}-base"}]}
        spec["volume"] = {"claimName": claim or f"{name}-models"} if volume is None else volume
        kind = {"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache"}
        body = {**kind, "metadata": {"name": name, **metadata}, "spec": spec}
        self.ground.client.create("modelcaches", body, self.namespace)

    def claim(self, name: str, of: str = "", phase: str = "Bound", made: bool = True, **metadata: Any) -> None:
        """``of``: the cache of its label; ``made`` by the operator."""
        labels = {**(MADE if made else {}), **({CACHE_LABEL: of} if of else {})}
        spec: Json = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
        body = {"metadata": {"name": name, "labels": labels, **metadata}, "spec": spec}
        client = self.ground.client
        client.create("persistentvolumeclaims", body, self.namespace)
        client.patch("persistentvolumeclaims", name, {"status": {"phase": phase}}, self.namespace, sub="status")

    def pod(self, name: str, cache: str, phase: str = "Running", finalizer: str = "", **more: Any) -> None:
        """``labels`` are added to that of the cache; the rest is the pod's spec."""
        labels = {CACHE_LABEL: cache, **more.pop("labels", {})}
        metadata: Json = {"name": name, "labels": labels, "finalizers": [finalizer] if finalizer else []}
        body = {"metadata": metadata, "spec": {"containers": [container()], **more}}
        client = self.ground.client
        client.create("pods", body, self.namespace)
        client.patch("pods", name, {"status": {"phase": phase}}, self.namespace, sub="status")

    def make(self) -> None:
        self._caches()
        self._claims()

    def _caches(self) -> None:
        self.cache("idle")
        self.cache("used")
        self.pod("serves", "used")
        self.pod("trains", "used")
        self.cache("awaited")
        self.pod("waits", "awaited", "Pending", schedulingGates=GATES)
        self.cache("swept", volume={"create": {"size": "1Gi"}, "deletionPolicy": "Delete"})
        self.pod("reads", "swept")
        self.cache("done")
        for phase in ("Succeeded", "Failed"):
            self.pod(f"ended-{phase.lower()}", "done", phase)
        for own in ("attempt", "peers"):
            self.pod(f"own-{own}", "done", labels={f"modelcache.dev/{own}": "1"})
        self.pod("leaving", "done", finalizer=FINALIZER)
        self._delete("pods", "leaving")
        self.cache("given", annotations=self.allowed)
        self.pod("uses-given", "given")

    def _claims(self) -> None:
        for name in ("idle", "used"):
            self.claim(f"{name}-models", of=name)
        self.claim("swept", of="swept")
        self.cache("listing", "theirs")
        self.claim("theirs", of="listing", made=False)
        self.cache("grabbing", "strangers")
        self.claim("strangers", made=False)
        self.cache("second", "used-models")
        self.cache("grabbing-made", "others-models")
        self.claim("others-models", of="others")
        self.cache("moved", "moved-new")
        self.claim("moved-old", of="moved")
        self.claim("left-models", of="left")
        for state in ("Pending", "Lost"):
            self.cache(state.lower())
            self.claim(f"{state.lower()}-models", of=state.lower(), phase=state)
        self.claim("given-models", of="given", annotations=self.allowed)
        self.cache("ending", finalizers=[FINALIZER])
        self.claim("ending-models", of="ending")
        self._delete("modelcaches", "ending")

    def _delete(self, resource: str, name: str) -> None:
        """It stays, for its finalizer."""
        self.ground.client.call("DELETE", self.ground.client.path(resource, self.namespace, name), {})

    def end(self) -> None:
        """So that the server can forget it: nothing is kept any more."""
        for resource, name in (("pods", "leaving"), ("modelcaches", "ending")):
            try:
                self.ground.client.patch(resource, name, {"metadata": {"finalizers": None}}, self.namespace)
            except ApiError as error:
                if error.code != 404:
                    raise
