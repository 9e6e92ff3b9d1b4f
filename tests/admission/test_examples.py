"""Notes and the example that lead with the label, on a real API server: it comes to what the written-out one says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from admission.ground import ALONE, Ground
from admission.pods import summary
from support.helm import CHART, Release
from support.kubeapi import ApiError
from support.waiting import eventually

Json = dict[str, Any]
EXAMPLES = Path(__file__).parents[2] / "examples"
KINDS = {"ModelCache": "modelcaches", "Deployment": "deployments"}
REPLICASETS = "system:serviceaccount:kube-system:replicaset-controller"


def test_a_pod_of_the_example_waits_verifies_and_reads_as_the_written_out_one_does(server: Ground) -> None:
    namespace = server.namespace("examples", "restricted")
    server.install(Release(ALONE, "modelcache", namespace))
    for each in documents("vllm.yaml"):
        server.client.create(KINDS[each["kind"]], each, namespace)

    def made() -> Json | None:
        try:
            found = server.create(pod_of("vllm.yaml"), namespace, REPLICASETS)
        except ApiError:  # the API server does not know the cache yet
            return None
        return found if "initContainers" in found["spec"] else None

    by_label: Json = eventually(made, "a pod of the example is joined", 30)
    written_out = server.create(pod_of("vllm-written-out.yaml"), namespace, REPLICASETS)
    looked_at = [summary(each) for each in (by_label, written_out)]
    assert looked_at[0]["gates"] == looked_at[1]["gates"] == ["modelcache.dev/complete"]
    assert looked_at[0]["init"] == looked_at[1]["init"] == ["init-sync"]
    assert looked_at[0]["claims"] == looked_at[1]["claims"] == ["qwen-models"]
    for field in ("image", "args", "resources"):
        ours, theirs = (each["spec"]["initContainers"][0][field] for each in (by_label, written_out))
        assert ours == theirs, field
    assert [manifest_of(each) for each in (by_label, written_out)] == ["qwen-modelcache", "qwen-modelcache"]
    for each in looked_at:
        assert each["mounts"]["vllm"]["/models"].endswith(", read-only")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "metadata: {labels: {modelcache.dev/cache: video}}"),
        (ALONE, "metadata: {labels: {modelcache.dev/cache: NAME}}"),
        ({"admission": {"enabled": False}}, "lines of docs/joining.md"),
    ],
    ids=["with a cache", "with an operator alone", "without the policies"],
)
def test_the_notes_lead_with_the_label_where_it_works(server: Ground, values: Json, words: str) -> None:
    arguments = ["install", "video", str(CHART), "--dry-run=server"]
    said = server.helm.run(*arguments, values=values, kubeconfig=server.real.kubeconfig())
    assert words in said.partition("NOTES:\n")[2].partition("Watch")[0]


def documents(name: str) -> list[Json]:
    return list(yaml.safe_load_all((EXAMPLES / name).read_text()))


def pod_of(name: str) -> Json:
    """As a Deployment's controllers create it."""
    template = documents(name)[1]["spec"]["template"]
    return {"metadata": {"generateName": "qwen-", **template["metadata"]}, "spec": template["spec"]}


def manifest_of(pod: Json) -> str:
    (found,) = (each["configMap"]["name"] for each in pod["spec"]["volumes"] if "configMap" in each)
    return str(found)
