"""What a pod asks of its node: which nodes match, and how that is narrowed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcache_operator.core.copy_gate import affinity_patch
from modelcache_operator.core.node_affinity import Requirement, parse_required, restricted
from modelcache_operator.core.node_index import NodeIndex
from modelcache_operator.core.nodes import parse_node
from support.kubeapi.patches import json_patch
from support.node_selection import REQUIRED, may_run, may_run_pod, required

Json = dict[str, Any]

KEYS, VALUES = ("zone", "kubernetes.io/hostname", "disk"), ("a", "b", "1", "7")
NODES = [
    (f"node-{number}", {key: value for key, value in zip(KEYS, labels, strict=True) if value})
    for number, labels in enumerate((x, y, z) for x in (*VALUES, "") for y in (*VALUES, "") for z in ("a", "7", ""))
]
values = st.lists(st.sampled_from(VALUES), min_size=1, max_size=3)
expressions = st.one_of(
    st.builds(
        lambda k, o, v: {"key": k, "operator": o, "values": v},
        st.sampled_from(KEYS),
        st.sampled_from(["In", "NotIn"]),
        values,
    ),
    st.builds(
        lambda k, o: {"key": k, "operator": o}, st.sampled_from(KEYS), st.sampled_from(["Exists", "DoesNotExist"])
    ),
    st.builds(
        lambda k, o, v: {"key": k, "operator": o, "values": [v]},
        st.sampled_from(KEYS),
        st.sampled_from(["Gt", "Lt"]),
        st.sampled_from(["1", "5"]),
    ),
)
fields = st.builds(
    lambda o, v: {"key": "metadata.name", "operator": o, "values": [v]},
    st.sampled_from(["In", "NotIn"]),
    st.sampled_from([name for name, _ in NODES[:9]]),
)
terms = st.fixed_dictionaries(
    {}, optional={"matchExpressions": st.lists(expressions, max_size=3), "matchFields": st.lists(fields, max_size=1)}
)
affinities = st.fixed_dictionaries(
    {},
    optional={
        "podAffinity": st.just({"any": "thing"}),
        "nodeAffinity": st.fixed_dictionaries(
            {},
            optional={
                REQUIRED: st.fixed_dictionaries({"nodeSelectorTerms": st.lists(terms, min_size=1, max_size=3)}),
                "preferredDuringSchedulingIgnoredDuringExecution": st.just([{"weight": 1}]),
            },
        ),
    },
)
added = st.lists(
    st.builds(Requirement, st.sampled_from(KEYS), st.sampled_from(["In", "NotIn"]), values.map(tuple)),
    min_size=1,
    max_size=2,
)


@settings(max_examples=400)
@given(affinities, added)
def test_a_node_fits_afterwards_if_it_fitted_before_and_fits_the_requirement(
    affinity: Json, requirement: list[Requirement]
) -> None:
    after = restricted(affinity, requirement)
    alone = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [e.json() for e in requirement]}]}}}
    for name, labels in NODES:
        wanted = may_run(affinity, name, labels) and may_run(alone, name, labels)
        assert may_run(after, name, labels) == wanted
    assert {key: each for key, each in after.items() if key != "nodeAffinity"} == {
        key: each for key, each in affinity.items() if key != "nodeAffinity"
    }
    _only_adds(affinity, after)


def _only_adds(before: Json, after: Json) -> None:
    """What the API allows for a gated pod."""
    old = ((before.get("nodeAffinity") or {}).get(REQUIRED) or {}).get("nodeSelectorTerms")
    new = after["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    for was, is_ in zip(old or new, new, strict=True):
        kept = was.get("matchExpressions") or []
        assert (is_.get("matchExpressions") or [])[: len(kept)] == kept
        assert is_.get("matchFields") == was.get("matchFields")


@given(affinities, added)
def test_the_patch_does_the_same_to_the_pod_and_nothing_to_another_version_of_it(
    affinity: Json, requirement: list[Requirement]
) -> None:
    pod: Json = {"metadata": {"resourceVersion": "7"}, "spec": {"affinity": affinity, "containers": []}}
    patch = affinity_patch(pod, tuple(requirement))
    assert json_patch(pod, patch)["spec"]["affinity"] == restricted(affinity, requirement)
    with pytest.raises(Exception, match="test"):
        json_patch({**pod, "metadata": {"resourceVersion": "8"}}, patch)


@settings(max_examples=400)
@given(affinities, st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2))
def test_a_pod_matches_the_nodes_on_which_a_scheduler_may_place_it(affinity: Json, selector: Json) -> None:
    spec = {"affinity": affinity, "nodeSelector": selector}
    nodes: list[Json] = [{"metadata": {"name": name, "uid": name, "labels": labels}} for name, labels in NODES]
    index = NodeIndex(map(parse_node, nodes))
    found = index.matching(parse_required(spec))
    assert found == index.named(node["metadata"]["name"] for node in nodes if may_run_pod(spec, node))


NUMBERS = {
    "greater": ("Gt", "5", "7", True),
    "not greater than itself": ("Gt", "7", "7", False),
    "less": ("Lt", "10", "7", True),
    "greater than a negative number": ("Gt", "-1", "0", True),
    "a label that is no whole number": ("Gt", "1", "1_0", False),
    "a bound that is no whole number": ("Lt", "x", "1", False),
    "no label": ("Gt", "1", None, False),
}


@pytest.mark.parametrize(("operator", "bound", "label", "matches"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_are_compared_as_a_scheduler_does(operator: str, bound: str, label: str | None, matches: bool) -> None:
    labels = {} if label is None else {"gpus": label}
    expression = {"key": "gpus", "operator": operator, "values": [bound]}
    index = NodeIndex([parse_node({"metadata": {"name": "n0", "uid": "u", "labels": labels}})])
    assert bool(index.matching(parse_required(required(matchExpressions=[expression])))) is matches
