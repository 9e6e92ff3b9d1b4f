"""Pods, and what the API server must make of each: a completed pod, the same pod, or a refusal with these words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from admission.pods import ADDED, GATE, INJECT, PATH, claim, config, container, joined, pod, scratch
from support.pure_cluster import PureCluster
from support.reports import complete
from support.runner.statuses import pod_from_template

Json = dict[str, Any]
UNTOUCHED = None
MODELS = {"/models": "modelcache-models, read-only"}
OTHER_GATE = {"name": "other.example/gate"}
SIDECAR = container("sidecar", restartPolicy="Always")
SYNC = container("init-sync", {"/models": "weights"}, args=["sync", "--volume", "/models"])
ON_NODE = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]},
            ]
        }
    }
}
OF_A_SYNC_JOB = {"modelcache.dev/generation": "1", "modelcache.dev/attempt": "1"}


def controller(name: str) -> str:
    return f"system:serviceaccount:kube-system:{name}-controller"


@dataclass(frozen=True, slots=True)
class Case:
    pod: Json
    wants: Json | str | None
    user: str = ""
    namespace: str = "served"


def with_own(*names: str, models: str = "modelcache-models") -> list[str]:
    """Names of volumes: the pod's own, then those that are added."""
    return [*names, *(each for each in ADDED if each != "modelcache-models" or models == each)]


def _job_pod() -> Json:
    """As the operator's code and the Job controller make it."""
    world = PureCluster()
    world.settle()
    made = pod_from_template(world.jobs[world.latest])
    kept = ("generateName", "name", "labels", "annotations", "ownerReferences")
    return {"metadata": {key: value for key, value in made["metadata"].items() if key in kept}, "spec": made["spec"]}


def _peer_pod() -> Json:
    world = PureCluster(peers={"enabled": True})
    assert world.claim is not None
    world.claim["spec"] = {"accessModes": ["ReadWriteMany"]}
    world.settle()
    world.sync_well(complete())
    assert world.peer is not None
    metadata = {key: world.peer["metadata"][key] for key in ("name", "labels", "annotations")}
    return {"metadata": metadata, "spec": world.peer["spec"]}


def bad_path(path: str) -> Case:
    return Case(pod(notes={PATH: path}), f"the annotation modelcache.dev/mount-path is no absolute path: {path}. Write")


def taken(volume: Json) -> Case:
    return Case(pod(volumes=[volume]), f"kept for those that the label adds: {volume['name']}. Use other names")


CASES: dict[str, Case] = {
    "a bare pod": Case(pod(), joined()),
    "of a Deployment": Case(pod(owner="ReplicaSet"), joined(), controller("replicaset")),
    "of a StatefulSet, with a claim of its own": Case(
        pod(container("main", {"/data": "data"}), owner="StatefulSet", volumes=[claim("data-it-0", "data")]),
        joined(volumes=with_own("data"), claims=["data-it-0", "models"], mounts={"main": {"/data": "data", **MODELS}}),
        controller("statefulset"),
    ),
    "of a Job": Case(pod(owner="Job", restartPolicy="Never"), joined(), controller("job")),
    "of a CronJob, whose Job owns it": Case(
        pod(owner="Job", restartPolicy="OnFailure", labels={"batch.kubernetes.io/job-name": "nightly-29"}),
        joined(),
        controller("job"),
    ),
    "of a DaemonSet, for one node": Case(pod(owner="DaemonSet", affinity=ON_NODE), joined(), controller("daemon-set")),
    "with init containers": Case(
        pod(
            container(),
            initContainers=[container("warm-up"), container("migrate", {"/x": "x"})],
            volumes=[scratch("x")],
        ),
        joined(
            init=["init-sync", "warm-up", "migrate"],
            volumes=with_own("x"),
            mounts={"main": MODELS, "warm-up": MODELS, "migrate": {"/x": "x", **MODELS}},
        ),
    ),
    "with a native sidecar": Case(
        pod(container(), initContainers=[SIDECAR]),
        joined(init=["init-sync", "sidecar"], mounts={"main": MODELS, "sidecar": MODELS}),
    ),
    "with two containers": Case(pod(container(), container("proxy")), joined(mounts={"main": MODELS, "proxy": MODELS})),
    "with gates of others": Case(pod(schedulingGates=[OTHER_GATE]), joined(gates=[OTHER_GATE["name"], GATE])),
    "with the gate": Case(pod(schedulingGates=[{"name": GATE}, OTHER_GATE]), joined(gates=[GATE, OTHER_GATE["name"]])),
    "with volumes and mounts": Case(
        pod(container("main", {"/a": "a", "/b": "b"}), volumes=[scratch("a"), config("b")]),
        joined(volumes=with_own("a", "b"), mounts={"main": {"/a": "a", "/b": "b", **MODELS}}),
    ),
    "with the claim, not mounted": Case(
        pod(volumes=[claim("models")]),
        joined(
            volumes=with_own("weights", models=""),
            sync="weights",
            mounts={"main": {"/models": "weights, read-only"}},
        ),
    ),
    "with the claim mounted elsewhere by one container of two": Case(
        pod(container("main", {"/srv": "weights"}), container("proxy"), volumes=[claim("models")]),
        joined(
            volumes=with_own("weights", models=""),
            sync="weights",
            mounts={"main": {"/srv": "weights"}, "proxy": {"/models": "weights, read-only"}},
        ),
    ),
    "with the claim mounted at the same place": Case(
        pod(container("main", {"/models": "weights"}), volumes=[claim("models")]),
        joined(volumes=with_own("weights", models=""), sync="weights", mounts={"main": {"/models": "weights"}}),
    ),
    "with the claim under the name that would be added": Case(
        pod(volumes=[claim("models", "modelcache-models")]), joined()
    ),
    "with several claims": Case(
        pod(
            container("main", {"/a": "a", "/b": "b"}),
            volumes=[claim("other-models", "a"), claim("logs", "b"), claim("models")],
        ),
        joined(
            volumes=with_own("a", "b", "weights", models=""),
            claims=["other-models", "logs", "models"],
            sync="weights",
            mounts={"main": {"/a": "a", "/b": "b", "/models": "weights, read-only"}},
        ),
    ),
    "with the claim twice": Case(
        pod(container("main", {"/srv": "two"}), volumes=[claim("models", "one"), claim("models", "two")]),
        joined(
            volumes=with_own("one", "two", models=""),
            claims=["models", "models"],
            sync="one",
            mounts={"main": {"/srv": "two"}},
        ),
    ),
    "on a node already": Case(pod(nodeName="node-1"), joined(gates=[])),
    "on the network of its host": Case(pod(hostNetwork=True), joined()),
    "without a service account token": Case(pod(automountServiceAccountToken=False), joined()),
    "as root": Case(pod(securityContext={"runAsUser": 0, "runAsNonRoot": False}), joined()),
    "of another cache": Case(pod(cache="other"), joined(claims=["other-models"])),
    "of a cache that names no claim": Case(pod(cache="unnamed"), joined(claims=["unnamed"])),
    "of a cache whose volume is null": Case(pod(cache="null"), joined(claims=["null"])),
    "of a cache without Jobs": Case(pod(cache="jobless"), joined()),
    "of a hostile cache": Case(pod(cache="hostile"), joined()),
    "in a namespace that enforces restricted": Case(pod(level="restricted"), joined(), namespace="strict"),
    "that does not meet restricted itself": Case(pod(), "violates PodSecurity", namespace="strict"),
    "in a namespace that two releases serve": Case(pod(), joined(), namespace="shared"),
    "in a namespace that nobody serves": Case(pod(), UNTOUCHED, namespace="elsewhere"),
    "without the label": Case(pod(cache=None), UNTOUCHED),
    "before there is such a cache": Case(pod(cache="later"), "there is no ModelCache later in namespace served yet"),
    "before there is such a cache, of a Deployment": Case(
        pod(cache="later", owner="ReplicaSet"), "there is no ModelCache later", controller("replicaset")
    ),
    "of a cache in another namespace": Case(
        pod(cache="other", level="restricted"), "no ModelCache other in namespace strict", namespace="strict"
    ),
    "with an empty label": Case(pod(cache=""), "there is no ModelCache  in namespace served"),
    "written out": Case(
        pod(container(), initContainers=[container("first"), SYNC], volumes=[claim("models")]), UNTOUCHED
    ),
    "written out, of no cache": Case(pod(cache="later", initContainers=[SYNC], volumes=[claim("models")]), UNTOUCHED),
    "whose main container is init-sync": Case(pod(SYNC, volumes=[claim("models")]), UNTOUCHED),
    "opted out": Case(pod(notes={INJECT: "false"}), UNTOUCHED),
    "opted out, of no cache": Case(pod(cache="later", notes={INJECT: "false"}), UNTOUCHED),
    "that says it has not opted out": Case(pod(notes={INJECT: "true"}), joined()),
    "of a sync Job": Case(_job_pod(), UNTOUCHED, controller("job")),
    "that only looks like one of a sync Job": Case(pod(labels=OF_A_SYNC_JOB, owner="Job"), joined()),
    "of a peer server": Case(_peer_pod(), UNTOUCHED),
    "that only looks like a peer server": Case(pod(labels={"modelcache.dev/peers": "true"}), joined()),
    "with another place for the models": Case(
        pod(notes={PATH: "/data/My_models-1.0"}),
        joined(mounts={"main": {"/data/My_models-1.0": "modelcache-models, read-only"}}),
    ),
    "with something else at /models, and another place": Case(
        pod(container("main", {"/models": "x"}), notes={PATH: "/weights"}, volumes=[scratch("x")]),
        joined(
            volumes=with_own("x"),
            mounts={"main": {"/models": "x", "/weights": "modelcache-models, read-only"}},
        ),
    ),
    "with something else at /models": Case(
        pod(container("main", {"/models": "x"}), container("proxy"), volumes=[scratch("x")]),
        "these containers mount something else at /models: main. Remove that mount, or say with the annotation",
    ),
    "with another claim at /models, in an init container": Case(
        pod(initContainers=[container("first", {"/models": "weights"})], volumes=[claim("other-models")]),
        "these containers mount something else at /models: first.",
    ),
    "with a relative path": bad_path("models"),
    "with the root as the path": bad_path("/"),
    "with an empty path": bad_path(""),
    "with dots in the path": bad_path("/a/../etc"),
    "with a dot in the path": bad_path("/a/./b"),
    "with a colon in the path": bad_path("/a:b"),
    "with a slash at the end of the path": bad_path("/models/"),
    "with a volume of the name for the claim": taken(scratch("modelcache-models")),
    "with another claim of the name for the claim": taken(claim("other-models", "modelcache-models")),
    "with a volume of the name for the manifest": taken(config("modelcache-manifest")),
    "with a volume of the name for temporary files": taken(scratch("modelcache-tmp")),
    "with a volume of the name for no token": taken(scratch("modelcache-no-token")),
    "that says itself why it is refused": Case(
        pod(cache="later", notes={"modelcache.dev/refused": "x"}, initContainers=[SYNC], volumes=[claim("models")]),
        UNTOUCHED,
    ),
}
