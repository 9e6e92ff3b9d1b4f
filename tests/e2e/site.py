"""What is there before the chart is installed: a namespace that enforces "restricted", a hub, a GPU by name only."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e.kube import UNSETTLED, Json, Kube, run
from support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/modelcache"
SENTENCES: Json = {
    "name": "sentences",
    "repo": "sentence-transformers/all-MiniLM-L6-v2",
    "path": "sentences",
    "include": ["*.json", "vocab.txt"],
    "oneOf": [{"file": "model.safetensors"}],
}
GPU = "e2e.modelcache.dev/gpu"
HUB_PORT, CDN_PORT = 8090, 8091
HUB_ROOT = "/data/hub"
SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True, slots=True)
class Images:
    """Where the cluster has them from."""

    registry: str
    tag: str

    def reference(self, name: str) -> str:
        return "/".join(filter(None, (self.registry, f"modelcache/{name}:{self.tag}")))


@dataclass(frozen=True, slots=True)
class Hub:
    """The local hub, in a pod."""

    kube: Kube

    @property
    def endpoint(self) -> str:
        return f"http://hub.{self.kube.namespace}.svc:{HUB_PORT}"

    def slow_down(self, bytes_per_second: int) -> None:
        self._control("POST", "faults", json.dumps([{"kind": "slow", "bytes_per_second": bytes_per_second}]))

    def refuse_files(self) -> None:
        self._control("POST", "faults", json.dumps([{"kind": "status", "status": 503, "match": ["blob"]}]))

    def recover(self) -> None:
        self._control("DELETE", "faults")

    def forget(self) -> None:
        self._control("DELETE", "log")

    def requests(self) -> list[Json]:
        found: list[Json] = json.loads(self._control("GET", "log"))["requests"]
        return found

    def file_bytes(self) -> int:
        return int(json.loads(self._control("GET", "log"))["bytes_sent"])

    def asked_for_models(self) -> list[Json]:
        """Not what its client asks for itself."""
        return [each for each in self.requests() if each["repo"]]

    def fetched(self) -> set[str]:
        """Files that were asked for since ``forget``."""
        return {request["file"] for request in self.requests() if request["kind"] == "blob"}

    def commit(self, repo: str, **editions: int) -> str:
        """Move main of a repository to these ``.safetensors``, of a mebibyte each; the commit."""
        files = [f"{name}.safetensors={edition}" for name, edition in editions.items()]
        command = ["exec", "deployment/hub", "--", "python", "-m", "e2e.in_pod.commit", HUB_ROOT, repo, *files]
        return self.kube.kubectl(*command).strip()

    def _control(self, method: str, path: str, body: str = "") -> str:
        url = f"http://127.0.0.1:{HUB_PORT}/_control/{path}"
        return self.kube.kubectl("exec", "deployment/hub", "--", "python", "-m", "e2e.in_pod.ask", method, url, body)


@dataclass(frozen=True, slots=True)
class Site:
    """The namespace and what is in it."""

    kube: Kube
    images: Images
    hub: Hub

    def values(self, **changes: Json) -> str:
        """Values of the chart for small models on any cluster: the manifest stays the chart's own."""
        small = {"cpu": "50m", "memory": "256Mi"}
        image = {"tag": self.images.tag}
        values: dict[str, Json | str] = {
            "imageRegistry": self.images.registry,
            "operator": {"image": image},
            "sync": {"image": image, "endpoint": self.hub.endpoint, "resources": {"requests": small}},
            "cache": {"volume": {"size": "1Gi"}},
            "inference": {
                "image": image,
                "gpu": {"resourceName": GPU},
                "settings": {"device": "cpu", "lingerS": 1},
                "resources": {"requests": small},
                "preStopSeconds": 1,
            },
            "networkPolicy": {"hubPorts": [HUB_PORT, CDN_PORT]},
        }
        return json.dumps(merged(values, changes))

    def cache(self, name: str, model: Json, endpoint: str = "") -> Json:
        """A ModelCache of one model, with a claim of its own name that the operator creates."""
        env = [{"name": "HF_ENDPOINT", "value": endpoint or self.hub.endpoint}]
        spec = {"models": [model], "volume": {"create": {"size": "1Gi"}}, "sync": {"job": {"env": env}}}
        return {"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache", "metadata": {"name": name}, "spec": spec}

    def gated_pod(self, name: str, cache: str, command: Sequence[str] = ("ls", "/models/.modelcache/receipts")) -> Json:
        """It mounts the claim of that cache; by default it ends well as soon as it runs."""
        container = {
            "name": "main",
            "image": self.images.reference("e2e"),
            "command": list(command),
            "securityContext": SECURITY,
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
            "volumeMounts": [{"name": "models", "mountPath": "/models", "readOnly": True}],
        }
        spec = {
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "schedulingGates": [{"name": "modelcache.dev/complete"}],
            "securityContext": {"runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532},
            "containers": [container],
            "volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": cache}}],
        }
        labels = {"modelcache.dev/cache": cache}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}

    def helm(self, verb: str, release: str, values: str) -> str:
        """Its standard error: warnings of the API server are there."""
        return self.kube.helm(verb, release, str(CHART), "--values", "-", stdin=values).stderr


def merged(first: Mapping[str, object], second: Mapping[str, object]) -> dict[str, object]:
    result = dict(first)
    for key, value in second.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


@contextmanager
def made(images: Images) -> Iterator[Site]:
    kube = Kube(f"modelcache-e2e-{uuid.uuid4().hex[:6]}")
    with _definition(), _namespace(kube), _gpu():
        kube.apply(*_hub(kube, images))
        kube.rolled_out("hub")
        yield Site(kube, images, Hub(kube))


@contextmanager
def _definition() -> Iterator[None]:
    """Helm brings the definition if there is none, and never changes or removes one."""
    name = "customresourcedefinition/modelcaches.modelcache.dev"
    if run(["kubectl", "get", name, "--ignore-not-found", "--output", "name"]).stdout:
        run(["kubectl", "apply", "--server-side", "--force-conflicts", "--filename", str(CHART / "charts/crds/crds")])
        yield
        return
    try:
        yield
    finally:
        run(["kubectl", "delete", name, "--ignore-not-found", "--timeout=60s"])


@contextmanager
def _namespace(kube: Kube) -> Iterator[None]:
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}
    labels = [f"{key}={value}" for key, value in levels.items()]
    run(["kubectl", "create", "namespace", kube.namespace])
    try:
        run(["kubectl", "label", "namespace", kube.namespace, *labels])
        yield
    finally:
        if os.environ.get("MODELCACHE_E2E_KEEP") != "1":
            run(["kubectl", "delete", "namespace", kube.namespace, "--timeout=180s"], timeout_s=200)


@contextmanager
def _gpu() -> Iterator[None]:
    """One node offers one, which nothing but the scheduler looks at: so the checks need no GPU and take none away."""
    nodes = json.loads(run(["kubectl", "get", "nodes", "--output", "json"]).stdout)["items"]
    node = next(each["metadata"]["name"] for each in nodes if takes_pods(each))
    pointer = GPU.replace("/", "~1")
    offer = {"status": {part: {GPU: "1"} for part in ("capacity", "allocatable")}}
    patch = ["kubectl", "patch", "node", node, "--subresource=status"]
    run([*patch, "--type=merge", "--patch", json.dumps(offer)])
    try:
        eventually(lambda: _allocatable(node).get(GPU) == "1", f"node {node} offers {GPU}", 60, not_yet=UNSETTLED)
        yield
    finally:
        removal = [{"op": "remove", "path": f"/status/{part}/{pointer}"} for part in offer["status"]]
        run([*patch, "--type=json", "--patch", json.dumps(removal)])


def _allocatable(node: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(run(["kubectl", "get", "node", node, "--output", "json"]).stdout)["status"][
        "allocatable"
    ]
    return found


def takes_pods(node: Json) -> bool:
    taints = node["spec"].get("taints", [])
    ready = {each["type"]: each["status"] for each in node["status"]["conditions"]}.get("Ready")
    return ready == "True" and not any(taint["effect"] != "PreferNoSchedule" for taint in taints)


def _hub(kube: Kube, images: Images) -> list[Json]:
    labels = {"app": "hub"}
    arguments = ["e2e.in_pod.hub", "--root", HUB_ROOT, "--host", "0.0.0.0", "--name", f"hub.{kube.namespace}.svc"]
    ports = ["--port", str(HUB_PORT), "--cdn-port", str(CDN_PORT), "--control"]
    container = {
        "name": "hub",
        "image": images.reference("e2e"),
        "args": [*arguments, *ports],
        "readinessProbe": {"tcpSocket": {"port": CDN_PORT}, "periodSeconds": 1},
        "securityContext": SECURITY,
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}},
        "volumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in ("data", "tmp")],
    }
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 2,
        "containers": [container],
        "volumes": [{"name": name, "emptyDir": {}} for name in ("data", "tmp")],
    }
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "hub"},
            "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "hub"},
            "spec": {
                "selector": labels,
                "ports": [{"name": f"p{port}", "port": port} for port in (HUB_PORT, CDN_PORT)],
            },
        },
    ]
