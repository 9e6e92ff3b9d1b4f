"""How many GPUs a pod asks for, and what it costs to hold them idle."""

from __future__ import annotations

from typing import Any

import pytest

from modelcache_operator.core.gpus import gpu_count

Json = dict[str, Any]
GPU = "nvidia.com/gpu"


def container(limits: Json, **more: str) -> Json:
    return {"resources": {"limits": limits}, **more}


@pytest.mark.parametrize(
    ("count", "spec"),
    [
        pytest.param(0, {}, id="a pod of nothing"),
        pytest.param(0, {"containers": [{"resources": {}}, {}]}, id="no limits"),
        pytest.param(2, {"containers": [container({GPU: "2", "cpu": "8"})]}, id="one container"),
        pytest.param(3, {"containers": [container({GPU: 1}), container({"amd.com/gpu": "2"})]}, id="two vendors"),
        pytest.param(1, {"containers": [container({"nvidia.com/mig-1g.10gb": "1"})]}, id="a slice"),
        pytest.param(
            2,
            {"initContainers": [container({GPU: 2})], "containers": [container({GPU: 1})]},
            id="an init container that needs more",
        ),
        pytest.param(
            3,
            {"initContainers": [container({GPU: 2}, restartPolicy="Always")], "containers": [container({GPU: 1})]},
            id="a sidecar runs beside",
        ),
        pytest.param(0, {"containers": [container({"example.com/gpu-memory": "80"})]}, id="another resource"),
        pytest.param(0, {"containers": [container({GPU: "9" * 30})]}, id="a number beyond reason"),
        pytest.param(0, {"containers": [container({GPU: "all"})]}, id="no number"),
    ],
)
def test_gpus_are_counted_as_the_scheduler_does(count: int, spec: Json) -> None:
    assert gpu_count(spec) == count
