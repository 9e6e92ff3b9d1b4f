"""The Job that writes a prepared copy: with the volume and nothing else, and again when something changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chart.conftest import Render
from chart.objects import Objects
from chart.sets import IN_ZONE, TOLERATION, on_nodes
from chart.test_network import policy_of
from inference.server.prepared_copy.command import read_prepare_config
from modelcache_operator.core import names
from support.helm import HelmRefused

Json = dict[str, Any]
Rendered = Callable[[str], Objects]
ON = {"prepare": {"enabled": True}}


def job(render: Render, **values: Any) -> Json:
    inference = {**ON, **values.pop("inference", {})}
    return render(inference=inference, **values).one("Job", "prepare")


def test_there_is_none_unless_it_is_asked_for(rendered: Rendered) -> None:
    assert rendered("defaults").of("Job") == []


def test_it_waits_at_the_gate_as_the_server_does(rendered: Rendered) -> None:
    objects = rendered("prepare")
    pod, server = objects.preparing(), objects.one("Deployment", "inference")["spec"]["template"]
    assert pod["metadata"]["labels"][names.CACHE_LABEL] == objects.one("ModelCache")["metadata"]["name"]
    for key in ("schedulingGates", "initContainers", "securityContext", "serviceAccountName"):
        assert pod["spec"][key] == server["spec"][key]
    assert "schedulingGates" not in rendered("prepare, each pod syncs").preparing()["spec"]


def test_it_asks_for_no_gpu_and_for_little_memory(rendered: Rendered) -> None:
    (container,) = rendered("prepare").preparing()["spec"]["containers"]
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


def test_it_alone_mounts_the_models_writable(rendered: Rendered) -> None:
    (container,) = rendered("prepare").preparing()["spec"]["containers"]
    assert {mount["name"]: mount.get("readOnly", False) for mount in container["volumeMounts"]} == {
        "models": False, "manifest": True, "tmp": False,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "reaches"), [("prepare", False), ("prepare, each pod syncs", True)])
def test_it_reaches_nothing_where_a_job_syncs(rendered: Rendered, name: str, reaches: bool) -> None:
    objects = rendered(name)
    policy = policy_of(objects, objects.preparing()["metadata"]["labels"])
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert ("egress" in policy) is reaches


def test_it_prepares_the_models_of_the_server_in_its_type(render: Render) -> None:
    settings = {"audioDir": "InfiniteTalk/single", "baseDir": "base", "dtype": "float16", "queue": 3, "compile": True}
    made = job(render, inference={"settings": settings}, logFormat="json")
    program, *args = made["spec"]["template"]["spec"]["containers"][0]["args"]
    config = read_prepare_config(args, {})
    found = (program, config.audio_dir, config.base_dir, config.dtype, config.log_format)
    assert found == ("prepare", "InfiniteTalk/single", "base", "float16", "json")


def test_by_default_it_prepares_what_a_gpu_takes(rendered: Rendered) -> None:
    _, *args = rendered("prepare").preparing()["spec"]["containers"][0]["args"]
    assert read_prepare_config(args, {}).dtype == "bfloat16"


def test_it_goes_where_the_server_can_run_and_where_the_volume_is(render: Render) -> None:
    placed = {
        "nodeSelector": {"pool": "gpu"},
        "tolerations": [TOLERATION],
        "affinity": {"nodeAffinity": IN_ZONE, "podAntiAffinity": {}},
    }
    spec = job(render, inference=placed)["spec"]["template"]["spec"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "gpu"}
    assert spec["tolerations"] == [TOLERATION]
    assert spec["affinity"]["nodeAffinity"] == IN_ZONE
    (term,) = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    labels = job(render, inference=placed)["spec"]["template"]["metadata"]["labels"]
    assert term["labelSelector"]["matchLabels"].items() <= labels.items(), "it fits itself, so the first pod is placed"


def test_on_a_volume_for_several_nodes_it_goes_anywhere(render: Render) -> None:
    spec = job(render, cache={"volume": {"accessModes": ["ReadWriteMany"]}})["spec"]["template"]["spec"]
    assert "affinity" not in spec


CHANGES: dict[str, Json] = {
    "another image": {"inference": {"image": {"tag": "next"}}},
    "another manifest": {"cache": {"models": [{"name": "small", "repo": "owner/small", "path": "small"}]}},
    "another type": {"inference": {"settings": {"dtype": "float16"}}},
    "more memory": {"inference": {"prepare": {"enabled": True, "resources": {"limits": {"memory": "4Gi"}}}}},
    "another node": {"inference": {"nodeSelector": {"a": "b"}}},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_changes_the_job_changes_its_name_since_jobs_are_immutable(render: Render, change: Json) -> None:
    assert job(render, **change)["metadata"]["name"] != job(render)["metadata"]["name"]


def test_what_does_not_concern_it_changes_nothing_of_it(render: Render) -> None:
    assert job(render, inference={"settings": {"queue": 3}}) == job(render)


def test_its_name_fits_into_a_label_of_its_pod(render: Render) -> None:
    assert len(job(render, fullnameOverride="m" * 53)["metadata"]["name"]) == 63


def test_it_is_removed_after_a_day_or_never(rendered: Rendered) -> None:
    assert rendered("prepare").one("Job")["spec"]["ttlSecondsAfterFinished"] == 86400
    assert "ttlSecondsAfterFinished" not in rendered("prepare, each pod syncs").one("Job")["spec"]


def test_what_no_retry_cures_is_not_retried(rendered: Rendered) -> None:
    rules = rendered("prepare").one("Job")["spec"]["podFailurePolicy"]["rules"]
    assert rules[0]["onExitCodes"] == {"containerName": "prepare", "operator": "In", "values": [2]}


REFUSED: dict[str, tuple[Json, str]] = {
    "float32": ({"inference": {"settings": {"dtype": "float32"}}}, "takes the weights as float32, as they are stored"),
    "no GPU": ({"inference": {"gpus": 0}}, "set inference.settings.dtype=bfloat16"),
    "a LoRA": ({"inference": {"settings": {"lora": ["/a"]}}}, "so the copy would not be taken. Leave one of them out"),
    "copies on nodes": (on_nodes(), "one Job reaches the disk of one node"),
    "one pod": ({"cache": {"volume": {"accessModes": ["ReadWriteOncePod"]}}}, "this one is ReadWriteOncePod. Use"),
}


@pytest.mark.parametrize(("values", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_where_it_has_no_use_it_is_refused_with_the_cure(render: Render, values: Json, words: str) -> None:
    with pytest.raises(HelmRefused, match=words):
        job(render, **values)
