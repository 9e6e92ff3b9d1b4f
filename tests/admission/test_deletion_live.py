"""What goes when a release, a namespace, a cache or the definition is deleted, with controllers at work.

The controllers are the real ones, with accounts of their own, as kubeadm has it, or with one for all.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from admission.deletion import MADE, World, kubectl
from admission.ground import ALONE, Ground
from support.cluster import prepared
from support.helm import CHART, Helm, Release
from support.kubeapi import RealApi, assets
from support.waiting import eventually

pytestmark = pytest.mark.timeout(240)
OPERATORS = Release({**ALONE, "operator": {"allNamespaces": True}}, "operator", "system")
CONTROLLERS = (
    *("serviceaccount-controller", "namespace-controller", "garbage-collector-controller"),
    "persistentvolumeclaim-protection-controller",
)
SECONDS = 60


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, helm: Helm) -> Iterator[Ground]:
    """The operator's release serves all namespaces."""
    programs = assets()
    if programs is None or not all((programs / name).is_file() for name in ("kubectl", "kube-controller-manager")):
        pytest.skip("put kube-controller-manager and kubectl into KUBEBUILDER_ASSETS")
    with RealApi(programs, tmp_path_factory.mktemp("deletion"), service_accounts=True) as real:
        cluster = prepared(real.kubeconfig(), None, real)
        found = Ground(cluster.client, real, helm)
        found.install(OPERATORS, about="deletion")
        yield found
        cluster.client.close()


def protected(ground: Ground, namespace: str, claim: str) -> None:
    """Returns once it is."""
    asked = ("delete", "persistentvolumeclaim", claim, "--dry-run=server")
    eventually(lambda: not kubectl(ground, namespace, *asked)[0], f"{claim} is protected", 30)


def served(ground: Ground, namespace: str) -> World:
    """A namespace with a used cache and its claim, which is protected."""
    world = World(ground, ground.namespace(namespace))
    world.cache("used")
    world.claim("used-models", of="used")
    world.pod("serves", "used")
    protected(ground, namespace, "used-models")
    return world


def swept(world: World, name: str) -> None:
    """A cache whose claim goes with it, as the operator makes it."""
    world.cache(name, volume={"create": {"size": "1Gi"}, "deletionPolicy": "Delete"})
    uid = world.ground.client.get("modelcaches", name, world.namespace)["metadata"]["uid"]
    kind = {"apiVersion": "modelcache.dev/v1alpha1", "kind": "ModelCache", "name": name, "uid": uid}
    world.claim(name, of=name, ownerReferences=[kind])


def gone(ground: Ground, resource: str, name: str, namespace: str) -> None:
    eventually(lambda: ground.client.find(resource, name, namespace) is None, f"{name} is gone", SECONDS)


@pytest.mark.parametrize("own_accounts", [True, False], ids=["accounts of their own", "one account"])
def test_a_namespace_goes_with_all_that_is_in_it(cluster: Ground, own_accounts: bool) -> None:
    namespace = f"ends-{str(own_accounts).lower()}"
    served(cluster, namespace)
    with cluster.real.controllers(*CONTROLLERS, own_accounts=own_accounts):
        assert kubectl(cluster, "", "delete", "namespace", namespace, "--wait=false") == (True, "")
        cluster.client.delete("pods", "serves", namespace)  # as its kubelet would
        gone(cluster, "namespaces", namespace, "")


def test_a_claim_goes_with_its_cache_where_the_manifest_says_so(cluster: Ground) -> None:
    namespace = cluster.namespace("swept")
    swept(World(cluster, namespace), "swept")
    protected(cluster, namespace, "swept")
    with cluster.real.controllers(*CONTROLLERS, own_accounts=True):
        assert kubectl(cluster, namespace, "delete", "modelcache", "swept") == (True, "")
        gone(cluster, "persistentvolumeclaims", "swept", namespace)


def test_a_release_is_uninstalled_while_pods_use_its_cache_and_its_claim_stays(cluster: Ground, helm: Helm) -> None:
    namespace, release = cluster.namespace("released"), ("--namespace", "released")
    one_more = {"operator": {"enabled": False}, "crds": {"install": False}}
    helm.run("install", "video", str(CHART), *release, values=one_more, kubeconfig=cluster.real.kubeconfig())
    claim = cluster.client.get("persistentvolumeclaims", "video-models", namespace)
    assert claim["metadata"]["labels"].items().isdisjoint(MADE.items())
    cluster.client.patch(
        "persistentvolumeclaims", "video-models", {"status": {"phase": "Bound"}}, namespace, sub="status"
    )
    World(cluster, namespace).pod("serves", "video")
    protected(cluster, namespace, "video-models")

    helm.run("uninstall", "video", *release, kubeconfig=cluster.real.kubeconfig())
    assert cluster.client.list("modelcaches", namespace) == []
    assert (
        "deletionTimestamp" not in cluster.client.get("persistentvolumeclaims", "video-models", namespace)["metadata"]
    )
    asked = ("delete", "persistentvolumeclaim", "video-models", "--wait=false")
    eventually(lambda: kubectl(cluster, namespace, *asked)[0], "the claim can be deleted after its cache", 10)


def test_a_definition_that_is_gone_blocks_no_claim_and_one_that_comes_later_protects_it(cluster: Ground) -> None:
    """As with Argo CD, too, which may apply policies before the definition."""
    world = served(cluster, "undefined")
    for name in ("first", "swept"):
        swept(world, name)
    with cluster.real.controllers(*CONTROLLERS, own_accounts=True):
        assert kubectl(cluster, "undefined", "delete", "modelcache", "first")[0]
        gone(cluster, "persistentvolumeclaims", "first", "undefined")  # so the collector knows all caches
        assert kubectl(cluster, "", "delete", "crd", "modelcaches.modelcache.dev") == (True, "")
        gone(cluster, "persistentvolumeclaims", "swept", "undefined")
    assert cluster.client.find("persistentvolumeclaims", "used-models", "undefined") is not None
    asked = ("delete", "persistentvolumeclaim", "used-models", "--dry-run=server")
    eventually(lambda: kubectl(cluster, "undefined", *asked)[0], "the claim can be deleted", 10)
    cluster.real.stop()
    cluster.real.start()
    assert kubectl(cluster, "undefined", *asked) == (True, ""), "the API server never knew the definition"
    prepared(cluster.real.kubeconfig()).client.close()
    World(cluster, "undefined").cache("used")
    protected(cluster, "undefined", "used-models")
