"""Where pods go: Linux nodes, the sync Job where the server can run, as many servers as an autoscaler says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chart.conftest import Render
from chart.objects import Objects
from chart.sets import SETS, TOLERATION
from support.helm import CHART, Helm

Json = dict[str, Any]
Rendered = Callable[[str], Objects]


def test_every_pod_stays_off_windows(objects: Objects) -> None:
    own = {name: pod["spec"].get("nodeSelector", {}) for name, pod in objects.pods()}
    assert {name for name, selector in own.items() if selector.get("kubernetes.io/os") != "linux"} == set()
    for cache in objects.of("ModelCache"):
        placed = cache["spec"]["volume"].get("perNode") or cache["spec"]["sync"]["job"]
        assert placed["nodeSelector"]["kubernetes.io/os"] == "linux"


def test_servers_run_and_copies_lie_on_the_same_nodes(render: Render) -> None:
    """The API refuses another node affinity of a volume, once it is there."""
    volume: Json = {"nodeSelector": {"pool": "gpu"}, "tolerations": [TOLERATION]}
    volume["perNode"] = {"enabled": True, "path": "/ssd/models"}
    objects = render(operator={"perNode": {"enabled": True}}, cache={"volume": volume})
    group, server = objects.one("ModelCache")["spec"]["volume"]["perNode"], objects.server()
    (term,) = objects.one("PersistentVolume")["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    matched = {each["key"]: each["values"] for each in term["matchExpressions"]}
    assert matched == {key: [value] for key, value in group["nodeSelector"].items()}
    assert server["nodeSelector"] == group["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "gpu"}
    assert server["tolerations"] == group["tolerations"] == [TOLERATION]
    assert "affinity" not in server
    assert objects.one("ModelCache")["spec"]["sync"]["job"] == {}
    assert objects.one("Deployment", "inference")["spec"]["strategy"]["type"] == "RollingUpdate"


def test_a_volume_for_all_nodes_names_what_each_of_them_has(render: Render) -> None:
    volume: Json = {"nodeSelector": None, "perNode": {"enabled": True, "path": "/ssd/models"}}
    objects = render(operator={"perNode": {"enabled": True}}, cache={"volume": volume})
    (term,) = objects.one("PersistentVolume")["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": "kubernetes.io/hostname", "operator": "Exists"}]
    assert "nodeSelector" not in objects.one("ModelCache")["spec"]["volume"]["perNode"]


def test_an_autoscaler_keeps_its_number_of_servers(rendered: Rendered) -> None:
    deployment = rendered("autoscaler").one("Deployment", "inference")
    assert "replicas" not in deployment["spec"]
    assert deployment["spec"]["template"]["spec"]["affinity"] == rendered("autoscaler").job()["affinity"]
    assert rendered("defaults").one("Deployment", "inference")["spec"]["replicas"] == 1


def test_no_server_is_a_number_too(render: Render) -> None:
    assert render(inference={"replicas": 0}).one("Deployment", "inference")["spec"]["replicas"] == 0


def test_the_job_runs_where_the_server_can(rendered: Rendered) -> None:
    objects = rendered("server on GPU nodes")
    job, server = objects.job(), objects.server()
    assert job["nodeSelector"] == server["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "gpu"}
    assert job["tolerations"] == server["tolerations"] == [TOLERATION]
    assert job["affinity"]["nodeAffinity"] == server["affinity"]["nodeAffinity"]
    assert set(job["affinity"]) == {"nodeAffinity", "podAffinity"}


@pytest.mark.parametrize(
    "cache",
    [
        {"volume": {"accessModes": ["ReadWriteMany"]}},
        {"job": {"nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "disk"}], "affinity": {"podAffinity": {}}}},
    ],
    ids=["a shared volume", "a Job that is placed by itself"],
)
def test_the_job_runs_elsewhere_where_it_may(render: Render, cache: Json) -> None:
    job = render(inference=dict(SETS["server on GPU nodes"].values["inference"]), cache=cache).job()
    assert "pool" not in job["nodeSelector"]
    assert TOLERATION not in job.get("tolerations", [])
    assert "nodeAffinity" not in job.get("affinity", {})


NOWHERE = "WARNING: nothing says where your GPUs are"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, True),
        ({"inference": {"nodeSelector": {"pool": "gpu"}}}, False),
        ({"cache": {"volume": {"nodeSelector": {"zone": "a"}}}}, False),
        ({"cache": {"volume": {"accessModes": ["ReadWriteMany"]}}}, False),
        ({"cache": {"volume": {"existingClaim": "bound"}}}, False),
        ({"inference": {"gpus": 0}}, False),
        ({"inference": {"tolerations": [TOLERATION]}}, True),
    ],
    ids=[
        "defaults",
        "server placed",
        "volume placed",
        "shared",
        "existing claim",
        "no GPU",
        "a toleration draws no pod",
    ],
)
def test_notes_say_what_to_set_before_a_volume_is_bound(helm: Helm, values: Json, told: bool) -> None:
    notes = helm.run("install", "multitalk", str(CHART), "--dry-run=client", values=values)
    assert (NOWHERE in notes) is told
