"""What the examples of another server keep to, as the chart's pods do."""

from __future__ import annotations

import pytest
import yaml

from modelcache_operator.core import names
from support.helm import CHART
from support.podsecurity import restricted_problems

EXAMPLES = CHART.parents[1] / "examples"


@pytest.mark.parametrize("name", ["vllm.yaml", "vllm-written-out.yaml"])
def test_the_examples_of_another_server_keep_to_the_same_rules(name: str) -> None:
    cache, deployment = yaml.safe_load_all((EXAMPLES / name).read_text())
    template = deployment["spec"]["template"]
    assert restricted_problems(template["spec"]) == []
    assert template["metadata"]["labels"][names.CACHE_LABEL] == cache["metadata"]["name"]
    assert template["spec"]["automountServiceAccountToken"] is False


def test_the_example_that_is_written_out_has_what_the_label_would_add() -> None:
    cache, deployment = yaml.safe_load_all((EXAMPLES / "vllm-written-out.yaml").read_text())
    spec = deployment["spec"]["template"]["spec"]
    assert spec["schedulingGates"] == [{"name": names.GATE}]
    assert spec["initContainers"][0]["name"] == names.SYNC_CONTAINER
    group = spec["securityContext"]["fsGroup"]
    assert cache["spec"]["sync"]["job"]["podSecurityContext"]["fsGroup"] == group
