"""Who may delete what, as a table, on a real API server: the two policies about deletion, and nobody else running.

Every row is a ``kubectl delete --dry-run=server``. docs/operations.md has the same in words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from admission.deletion import World, kubectl
from admission.ground import ALONE, Ground
from support.helm import Release
from support.kubeapi import assets
from support.waiting import eventually

SERVED, UNSERVED, ENDING = "deletion", "deletion-unserved", "deletion-ending"
CLAIMS, CACHES = "persistentvolumeclaim", "modelcache"
CONTROLLERS = tuple(
    f"system:serviceaccount:kube-system:{name}" for name in ("namespace-controller", "generic-garbage-collector")
)
AGAIN = "until there is a ModelCache of this name again"
GOES_ON = f"uses this cache. It goes on, but its successors will wait at the gate {AGAIN}"
WAITS = f"pod waits waits for this cache. It goes on waiting {AGAIN}"


def kept(cache: str, claim: str) -> str:
    return (
        f"the models of ModelCache {cache} are on this claim, and it would fetch all of them again. Delete that first; "
        f"or, to delete the claim alone: kubectl annotate -n {SERVED} persistentvolumeclaim {claim} "
        "modelcache.dev/allow-deletion=true"
    )


@dataclass(frozen=True, slots=True)
class Row:
    """``warned``, ``denied``: all that is said; neither: nothing is."""

    what: str
    name: str
    warned: tuple[str, ...] = ()
    denied: str = ""
    user: str = ""
    namespace: str = SERVED


TABLE: dict[str, Row] = {
    "a cache without pods": Row(CACHES, "idle"),
    "a cache that two pods use": Row(
        CACHES,
        "used",
        warned=tuple(f"pod {pod} {GOES_ON}; claim and files stay" for pod in ("serves", "trains")),
    ),
    "a cache that a pod at the gate waits for": Row(CACHES, "awaited", warned=(f"{WAITS}; claim and files stay",)),
    "a cache whose claim goes with it": Row(
        CACHES, "swept", warned=(f"pod reads {GOES_ON}; the claim is deleted once no pod uses it",)
    ),
    "a cache with ended and leaving pods, Jobs and a peer server": Row(CACHES, "done"),
    "a cache whose deletion is allowed": Row(CACHES, "given"),
    "a used cache, by the controller of namespaces": Row(CACHES, "used", user=CONTROLLERS[0]),
    "a used cache, by the garbage collector": Row(CACHES, "used", user=CONTROLLERS[1]),
    "a used cache in a namespace that is not served": Row(CACHES, "used", namespace=UNSERVED),
    "a used cache in a namespace that is being deleted": Row(CACHES, "used", namespace=ENDING),
    "a claim that the operator made": Row(CLAIMS, "idle-models", denied=kept("idle", "idle-models")),
    "the same by an account of the cluster's": Row(
        CLAIMS, "idle-models", denied=kept("idle", "idle-models"), user="system:serviceaccount:argocd:argocd"
    ),
    "a claim named after its cache": Row(CLAIMS, "swept", denied=kept("swept", "swept")),
    "a claim that several caches name, its own among them": Row(
        CLAIMS, "used-models", denied=kept("used", "used-models")
    ),
    "a claim of an administrator's": Row(CLAIMS, "theirs", denied=kept("listing", "theirs")),
    "a claim without a label that a cache names": Row(CLAIMS, "strangers"),
    "a claim of another cache that a cache names": Row(CLAIMS, "others-models"),
    "a claim that its cache does not name any more": Row(CLAIMS, "moved-old"),
    "a claim whose cache is gone": Row(CLAIMS, "left-models"),
    "a claim whose cache is being deleted": Row(CLAIMS, "ending-models"),
    "a claim without a volume": Row(CLAIMS, "pending-models"),
    "a claim that lost its volume": Row(CLAIMS, "lost-models"),
    "a claim whose deletion is allowed": Row(CLAIMS, "given-models"),
    "a claim, by the controller of namespaces": Row(CLAIMS, "idle-models", user=CONTROLLERS[0]),
    "a claim, by the garbage collector": Row(CLAIMS, "idle-models", user=CONTROLLERS[1]),
    "a claim, by controllers without accounts of their own": Row(
        CLAIMS, "idle-models", user="system:kube-controller-manager"
    ),
    "a claim in a namespace that is not served": Row(CLAIMS, "idle-models", namespace=UNSERVED),
    "a claim in a namespace that is being deleted": Row(CLAIMS, "idle-models", namespace=ENDING),
}


@pytest.fixture(scope="module")
def deletions(api: Ground) -> Ground:
    """All of it in three namespaces, two of them served; the policies are in force, and know everything."""
    programs = assets()
    if programs is None or not (programs / "kubectl").is_file():
        pytest.skip("warnings are seen with kubectl: put it into KUBEBUILDER_ASSETS")
    for name in (SERVED, UNSERVED, ENDING):
        World(api, api.namespace(name)).make()
    api.client.call("DELETE", api.client.path("namespaces", "", ENDING), {})
    api.install(Release({**ALONE, "operator": {"namespaces": [SERVED, ENDING]}}, "deletion", "c"), about="deletion")
    for name in ("a cache that two pods use", "a claim that the operator made", "a claim of an administrator's"):
        _until_protected(api, TABLE[name])
    return api


def _until_protected(ground: Ground, row: Row) -> None:
    eventually(lambda: said(ground, row), f"{row.name} is protected", 30, wanted=expected(row).__eq__)


def said(ground: Ground, row: Row) -> tuple[bool, set[str]]:
    """Whether it may be deleted, and the words of policies about it."""
    done, text = kubectl(ground, row.namespace, "delete", row.what, row.name, "--dry-run=server", user=row.user)
    return done, {re.split("' denied request: |' with binding '[^']+': ", line)[-1] for line in text.splitlines()}


def expected(row: Row) -> tuple[bool, set[str]]:
    return not row.denied, {row.denied} if row.denied else set(row.warned)


def test_each_row_of_the_table_is_allowed_warned_of_or_denied(deletions: Ground) -> None:
    wrong = {
        name: (got, expected(row)) for name, row in TABLE.items() if (got := said(deletions, row)) != expected(row)
    }
    assert wrong == {}


def test_the_message_has_the_command_that_allows_it(deletions: Ground) -> None:
    """Tried on a claim of its own."""
    world = World(deletions, SERVED)
    world.cache("kept")
    world.claim("kept-models", of="kept")
    row = Row(CLAIMS, "kept-models", denied=kept("kept", "kept-models"))
    _until_protected(deletions, row)
    command = row.denied.rpartition("kubectl ")[2].split()
    assert kubectl(deletions, "default", *command)[0]
    assert said(deletions, row) == (True, set())


def test_everything_of_a_namespace_can_be_deleted_by_the_name_of_its_kind_caches_first(deletions: Ground) -> None:
    namespace = deletions.namespace("deletion-all")
    world = World(deletions, namespace)
    world.make()
    deletions.install(Release({**ALONE, "operator": {"namespaces": [namespace]}}, "all", namespace), about="deletion")
    row = Row(CLAIMS, "idle-models", namespace=namespace)
    eventually(lambda: not said(deletions, row)[0], "it is protected", 30)
    done, text = kubectl(deletions, namespace, "delete", f"{CACHES}s", "--all", "--wait=false")
    assert done, text
    eventually(lambda: said(deletions, row)[0], "the API server knows that its cache is gone")
    done, text = kubectl(deletions, namespace, "delete", f"{CLAIMS}s", "--all", "--wait=false")
    assert done, text
    world.end()
