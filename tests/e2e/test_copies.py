"""A copy on every node: the chart's local volume on a real kubelet, and a pod that is led to the node with the copy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from e2e.kube import UNSETTLED, Json, Kube
from e2e.site import SENTENCES, Site
from support.waiting import eventually

RELEASE = CACHE = "spread"
UNRESTRICTED = Kube("default")
"""Where a pod may mount a directory of its node."""
SYNC_PODS = f"modelcache.dev/cache={CACHE},modelcache.dev/generation"


@dataclass(frozen=True, slots=True)
class Spread:
    """One node of the cluster is the whole group."""

    site: Site
    node: str

    @property
    def directory(self) -> str:
        return f"/tmp/{self.site.kube.namespace}"

    @property
    def host(self) -> str:
        labels: dict[str, str] = self.site.kube.get("node", self.node)["metadata"]["labels"]
        return labels["kubernetes.io/hostname"]

    def values(self) -> str:
        volume: Json = {"claimName": CACHE, "nodeSelector": {"kubernetes.io/hostname": self.host}}
        volume["perNode"] = {"enabled": True, "path": self.directory}
        return self.site.values(
            operator={"perNode": {"enabled": True}},
            cache={"volume": volume, "models": [SENTENCES]},
            inference={"enabled": False},
        )

    def make_directory(self) -> None:
        """As docs/copies.md has it: by the kubelet, as root, for a pod that does nothing with it."""
        self._on_node("make", {"path": self.directory, "type": "DirectoryOrCreate"}, "true")

    def remove_directory(self) -> None:
        self._on_node("remove", {"path": "/tmp"}, "rm", "-rf", f"/host{self.directory.removeprefix('/tmp')}")

    def _on_node(self, verb: str, path: Json, *command: str) -> None:
        name = f"{self.site.kube.namespace}-{verb}"
        container = {
            "name": "main",
            "image": self.site.images.reference("e2e"),
            "command": list(command),
            "securityContext": {"runAsUser": 0},
            "volumeMounts": [{"name": "host", "mountPath": "/host"}],
        }
        spec = {
            "nodeSelector": {"kubernetes.io/hostname": self.host},
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "containers": [container],
            "volumes": [{"name": "host", "hostPath": path}],
        }
        UNRESTRICTED.apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
        UNRESTRICTED.wait(f"pod/{name}", "jsonpath={.status.phase}=Succeeded", 60)
        UNRESTRICTED.kubectl("delete", f"pod/{name}")


@pytest.fixture(scope="module")
def spread(site: Site) -> Iterator[Spread]:
    (hub,) = site.kube.list("pods", "app=hub")
    made = Spread(site, hub["spec"]["nodeName"])
    site.helm("install", RELEASE, made.values())
    yield made
    site.kube.kubectl("delete", "pod", "led", "--ignore-not-found")
    site.kube.helm("uninstall", RELEASE, "--wait")
    kept = [f"persistentvolumeclaim/{CACHE}", f"persistentvolume/{site.kube.namespace}.{CACHE}"]
    site.kube.kubectl("delete", *kept, "--ignore-not-found")
    made.remove_directory()


def test_the_claim_is_bound_to_the_volume_of_the_group(spread: Spread) -> None:
    kube = spread.site.kube
    kube.wait(f"persistentvolumeclaim/{CACHE}", "jsonpath={.status.phase}=Bound", 60)
    claim = kube.get("persistentvolumeclaim", CACHE)
    assert claim["spec"]["volumeName"] == f"{kube.namespace}.{CACHE}"
    assert claim["status"]["accessModes"] == ["ReadWriteMany"]


def test_without_the_directory_the_pod_of_the_job_waits_and_its_event_says_why(spread: Spread) -> None:
    said = eventually(partial(_failed_mounts, spread.site), "the kubelet says so", 60, not_yet=UNSETTLED)
    assert f'path "{spread.directory}" does not exist' in said[0]


def _failed_mounts(site: Site) -> list[str]:
    pod = site.kube.list("pods", SYNC_PODS)[0]
    about = f"reason=FailedMount,involvedObject.name={pod['metadata']['name']}"
    command = [
        "get",
        "events",
        "--field-selector",
        about,
        "--output",
        r"jsonpath={range .items[*]}{.message}{'\n'}{end}",
    ]
    return site.kube.kubectl(*command).splitlines()


def test_once_it_is_there_the_copy_is_synced_as_the_user_of_the_chart(spread: Spread) -> None:
    """The kubelet made the directory for root alone, and gives it to the group of ``fsGroup``."""
    spread.make_directory()
    kube = spread.site.kube
    kube.wait(f"modelcache/{CACHE}", "condition=Complete")
    assert kube.get("modelcache", CACHE)["status"]["summary"]["nodes"] == "1/1"
    assert {pod["spec"]["nodeName"] for pod in kube.list("pods", SYNC_PODS)} == {spread.node}


def test_a_pod_at_the_gate_is_led_to_the_copy_in_each_of_its_terms_and_runs(spread: Spread) -> None:
    kube = spread.site.kube
    own = [{"key": "kubernetes.io/os", "operator": "Exists"}]
    pod = spread.site.gated_pod("led", CACHE)
    terms: Json = {"nodeSelectorTerms": [{"matchExpressions": own}, {"matchFields": [_named(spread.node)]}]}
    pod["spec"]["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    kube.apply(pod)
    kube.wait("pod/led", "jsonpath={.status.phase}=Succeeded")
    led = kube.get("pod", "led")["spec"]
    there = {"key": "kubernetes.io/hostname", "operator": "In", "values": [spread.host]}
    affinity = led["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert affinity == [
        {"matchExpressions": [*own, there]},
        {"matchFields": [_named(spread.node)], "matchExpressions": [there]},
    ]
    assert led["nodeName"] == spread.node


def _named(node: str) -> Json:
    return {"key": "metadata.name", "operator": "In", "values": [node]}


def test_an_upgrade_leaves_the_volume_bound_and_the_copy_complete(spread: Spread) -> None:
    kube = spread.site.kube
    before = kube.get("modelcache", CACHE)["status"]["sync"]
    spread.site.helm("upgrade", RELEASE, spread.values())
    kube.wait(f"persistentvolumeclaim/{CACHE}", "jsonpath={.status.phase}=Bound", 60)
    kube.rolled_out(f"{RELEASE}-modelcache-operator")
    kube.wait(f"modelcache/{CACHE}", "condition=Complete")
    assert kube.get("modelcache", CACHE)["status"]["sync"] == before
