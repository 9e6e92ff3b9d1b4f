"""The chart's policy on a real API server: who deletes a ModelCache that pods use is warned, and not stopped."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from support.cluster import Space
from support.helm import Helm, Release
from support.kubeapi import assets
from support.reports import complete
from support.waiting import eventually

Json = dict[str, Any]
WARNED = "uses this cache"


@pytest.fixture
def policy(space: Space, helm: Helm) -> None:
    programs = assets()
    if space.cluster.real is None or programs is None or not (programs / "kubectl").is_file():
        pytest.skip("admission policies need a real API server, and kubectl beside it: set KUBEBUILDER_ASSETS")
    for document in helm.render(Release({}, namespace=space.namespace)):
        if document["kind"].startswith("ValidatingAdmissionPolicy") and "deletion" in document["metadata"]["name"]:
            plural = "validatingadmissionpolicies"
            resource = f"{plural[:-3]}ybindings" if document["kind"].endswith("Binding") else plural
            space.client.create(resource, document, "")
    probe = space.kubelet.workload("probe", "models", "probe")
    space.cache("probe")
    eventually(lambda: WARNED in delete(space, "probe", "--dry-run=server"), "the policy is in force", 30)
    probe.delete()


def delete(space: Space, name: str, *options: str) -> str:
    """What kubectl says of it."""
    programs, real = assets(), space.cluster.real
    assert programs is not None
    assert real is not None
    command = [str(programs / "kubectl"), f"--kubeconfig={real.kubeconfig()}", f"--namespace={space.namespace}"]
    done = subprocess.run(
        [*command, "delete", "modelcache", name, *options], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.mark.usefixtures("policy")
def test_who_deletes_a_cache_is_told_of_each_pod_that_uses_it(space: Space) -> None:
    space.cache()
    for name in ("one", "two"):
        space.kubelet.workload("cache", "models", name, gated=False)
    said = delete(space, "cache")
    assert all(f"pod {name} {WARNED}" in said for name in ("one", "two"))
    assert space.client.find("modelcaches", "cache", space.namespace) is None


@pytest.mark.usefixtures("policy")
def test_nothing_is_said_of_pods_of_others_of_jobs_and_of_those_that_ended(space: Space) -> None:
    space.cache()
    space.kubelet.workload("other", "models", "other")
    ended = space.kubelet.workload("cache", "models", "ended", gated=False)
    ended.finish(0, complete())
    space.client.patch("pods", "ended", {"status": {"phase": "Succeeded"}}, space.namespace, sub="status")
    of_a_job = space.kubelet.workload("cache", "models", "of-a-job", gated=False)
    label = {"metadata": {"labels": {"modelcache.dev/attempt": "1"}}}
    space.client.patch("pods", of_a_job.name, label, space.namespace)
    eventually(lambda: WARNED not in delete(space, "cache", "--dry-run=server"), "nobody is named", 20)
