"""Owner references that the API refuses to change, as OpenShift does: the work goes on, and the status says it.

On a real API server the admission plug-in OwnerReferencesPermissionEnforcement refuses; in memory a proxy does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.cluster import Space
from support.helm import Helm
from support.kubeapi import FaultProxy
from support.operator_process import OperatorProcess
from support.reports import complete
from support.service_account import bound_token
from support.waiting import eventually

Json = dict[str, Any]
MODEL = {"name": "base", "repo": "owner/small", "path": "cache-base"}
MADE = {"claimName": "models", "create": {"size": "1Gi"}}


@pytest.fixture
def restricted(space: Space, proxy: FaultProxy, helm: Helm, tmp_path: Path) -> OperatorProcess:
    """An operator that may not delete what it makes, so may not change its owners."""
    real = space.cluster.real
    if real is None and space.cluster.local is None:
        pytest.skip("a cluster that was given need not have the admission plug-in")
    if real:
        kubeconfig = real.write_kubeconfig(space.namespace, {"token": bound_token(space, helm, {})})
    else:
        kubeconfig = proxy.kubeconfig(tmp_path)
    return OperatorProcess(kubeconfig, "--full-list-seconds", "2", namespaces=(space.namespace,))


def test_a_claim_that_may_not_be_tied_to_its_cache_is_synced_and_the_message_says_so(
    space: Space, proxy: FaultProxy, restricted: OperatorProcess
) -> None:
    if space.cluster.local:
        proxy.faults.add(403, 1000, "patch", "persistentvolumeclaims")
    with restricted:
        space.cache(volume=MADE)
        eventually(lambda: space.client.find("persistentvolumeclaims", "models", space.namespace), "it is made")
        space.kubelet.set_claim("models", "Bound")
        space.complete(space.job(), complete())
        space.until("Ready")
        changed = {"spec": {"volume": {"deletionPolicy": "Delete"}, "models": [MODEL | {"repo": "owner/other"}]}}
        space.client.patch("modelcaches", "cache", changed, space.namespace)
        space.complete(space.job(2), complete())
        pod = space.kubelet.workload("cache", "models")
        eventually(lambda: not pod.gated, "the gate is removed")
        said = "the owner reference of claim models cannot be changed"
        eventually(lambda: said in space.status()["message"], "the message says what was refused")


def test_a_config_map_that_an_earlier_cache_left_behind_is_taken_again(
    space: Space, proxy: FaultProxy, restricted: OperatorProcess
) -> None:
    with restricted:
        space.kubelet.claim("models")
        space.cache()
        space.complete(space.job(), complete())
        space.until("Ready")
    orphan = {"metadata": {"ownerReferences": None}}  # what the garbage collector makes of --cascade=orphan
    space.client.patch("configmaps", "cache-modelcache", orphan, space.namespace)
    for job in space.jobs():
        space.client.delete("jobs", job["metadata"]["name"], space.namespace)
    space.client.delete("modelcaches", "cache", space.namespace)
    if space.cluster.local:
        proxy.faults.add(403, 1, "patch", "configmaps")
    with restricted:
        space.cache(models=[MODEL | {"repo": "owner/other"}])
        space.complete(space.job(), complete())
        space.until("Ready")
    config = space.client.get("configmaps", "cache-modelcache", space.namespace)
    assert "owner/other" in config["data"]["modelcache.yaml"]
