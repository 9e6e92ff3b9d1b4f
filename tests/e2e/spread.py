"""A cache with a copy on each node of a group: a label makes nodes join, a pod of root's makes their directories."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from functools import partial

from e2e.kube import UNSETTLED, Json, Kube
from e2e.site import SENTENCES, Site
from support.waiting import eventually

RELEASE = CACHE = "spread"
GROUP = "e2e.modelcache.dev/group"
SYNC_PODS = f"modelcache.dev/cache={CACHE},modelcache.dev/generation"
UNRESTRICTED = Kube("default")
"""Where a pod may mount a directory of its node."""
TMP: Json = {"path": "/tmp"}
KUBELET = shlex.split(os.environ.get("MODELCACHE_E2E_KUBELET", ""))


@dataclass(frozen=True, slots=True)
class Spread:
    """The first node is that of the hub, the second another one, if there is any."""

    site: Site
    nodes: tuple[str, ...]

    @property
    def kube(self) -> Kube:
        return self.site.kube

    @property
    def first(self) -> str:
        return self.nodes[0]

    @property
    def other(self) -> str:
        return self.nodes[1]

    @property
    def directory(self) -> str:
        return f"/tmp/{self.kube.namespace}"

    @property
    def group(self) -> dict[str, str]:
        return {GROUP: self.kube.namespace}

    def host(self, node: str) -> str:
        return str(self.kube.get("node", node)["metadata"]["labels"]["kubernetes.io/hostname"])

    def values(self) -> str:
        """Operator and hub are beside each other, on the node that stays."""
        volume: Json = {"claimName": CACHE, "nodeSelector": {"kubernetes.io/os": "linux", **self.group}}
        volume["perNode"] = {"enabled": True, "path": self.directory}
        here = {"kubernetes.io/hostname": self.host(self.first)}
        return self.site.values(
            operator={"perNode": {"enabled": True}, "peers": {"enabled": True}, "nodeSelector": here},
            cache={"volume": volume, "models": [SENTENCES], "peers": {"enabled": True}},
            inference={"enabled": False},
        )

    def cache(self) -> Json:
        return self.kube.get("modelcache", CACHE)

    def until(self, figures: str, seconds: float = 180) -> None:
        """The column NODES shows this."""
        eventually(lambda: self._figures() == figures, f"NODES is {figures}", seconds, not_yet=UNSETTLED)

    def _figures(self) -> str:
        return str(self.cache()["status"]["summary"]["nodes"])

    def copy(self, node: str) -> Json:
        """What the status says of a copy that is not complete."""
        return next((each for each in self.cache()["status"].get("copies", ()) if each["node"] == node), {})

    def jobs(self) -> set[str]:
        return {job["metadata"]["name"] for job in self.kube.list("jobs", f"modelcache.dev/cache={CACHE}")}

    def join(self, node: str) -> None:
        self.kube.kubectl("label", "node", node, f"{GROUP}={self.kube.namespace}", "--overwrite")

    def leave(self, node: str) -> None:
        self.kube.kubectl("label", "node", node, f"{GROUP}-")

    def make_directory(self, node: str) -> None:
        """As docs/copies.md has it: by the kubelet, as root, for a pod that does nothing with it."""
        self._on_node(node, {"path": self.directory, "type": "DirectoryOrCreate"}, "true")

    def remove_directory(self, node: str) -> None:
        self._on_node(node, TMP, "rm", "-rf", f"/host/{self.kube.namespace}")

    def identity(self, node: str) -> str:
        return self._on_node(node, TMP, "cat", f"/host/{self.kube.namespace}/.modelcache/volume.json")

    def give_identity(self, node: str, text: str) -> None:
        """As if the disk were a clone of another one."""
        code = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
        self._on_node(node, TMP, "python", "-c", code, f"/host/{self.kube.namespace}/.modelcache/volume.json", text)

    def _on_node(self, node: str, path: Json, *command: str) -> str:
        name = f"{self.kube.namespace}-root"
        container = {
            "name": "main",
            "image": self.site.images.reference("e2e"),
            "command": list(command),
            "securityContext": {"runAsUser": 0},
            "volumeMounts": [{"name": "host", "mountPath": "/host"}],
        }
        spec = {
            "nodeName": node,
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "host", "hostPath": path}],
        }
        UNRESTRICTED.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        try:
            UNRESTRICTED.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded", 60)
            return UNRESTRICTED.kubectl("logs", name)
        finally:
            UNRESTRICTED.kubectl("delete", f"pod/{name}", "--ignore-not-found", "--grace-period=1")

    def run_led(self, name: str, *terms: Json) -> Json:
        """A pod at the gate with these terms of its own, which ends well as soon as it runs."""
        pod = self.site.gated_pod(name, CACHE)
        if terms:
            required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
            pod["spec"]["affinity"] = {"nodeAffinity": required}
        what = f"pod {name} is created, which the policy of the label refuses until it has seen the cache"
        eventually(partial(self._is_created, pod), what, 120, not_yet=UNSETTLED, interval_s=1.0)
        self.kube.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded")
        return self.kube.get("pod", name)

    def _is_created(self, pod: Json) -> bool:
        self.kube.apply(pod)
        return True

    def hosts_named(self, pod: Json) -> list[str]:
        """By the requirement that was added to the last term of a pod."""
        terms = required_terms(pod)
        return list(terms[-1]["matchExpressions"][-1]["values"])

    def stop_kubelet(self, node: str) -> None:
        subprocess.run([*KUBELET, "stop", node], check=True)
        self.kube.kubectl("wait", f"node/{node}", "--for=condition=Ready=Unknown", "--timeout=120s", timeout_s=150)

    def start_kubelet(self, node: str) -> None:
        subprocess.run([*KUBELET, "start", node], check=True)
        eventually(partial(self._is_ready, node), f"node {node} is ready", 120, not_yet=UNSETTLED)

    def _is_ready(self, node: str) -> bool:
        found = self.kube.get("node", node)
        conditions = {each["type"]: each["status"] for each in found["status"]["conditions"]}
        return conditions.get("Ready") == "True" and not found["spec"].get("taints")


def named(node: str) -> Json:
    """A term that only this node matches, as the DaemonSet controller writes it."""
    return {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}


def required_terms(pod: Json) -> list[Json]:
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    found: list[Json] = required["nodeSelectorTerms"]
    return found
