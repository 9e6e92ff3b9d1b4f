"""What the operator can be told to refuse: said as Failed, InvalidSpec, before anything is made."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.shell.flags import WrongSettings
from modelcache_operator.app.settings import read_settings
from modelcache_operator.core.limits import FORBIDDABLE, Limits
from support.cluster import Space
from support.operator_process import OperatorProcess
from support.reports import complete

Json = dict[str, Any]
HUB = {"name": "HF_ENDPOINT", "value": "http://evil.example"}
REFERENCE = {"secretKeyRef": {"name": "database", "key": "password"}}
PREFIX = Limits(label_prefixes=("team.example/", "cost."))
MIRROR = Limits(endpoints=("https://mirror.example", "http://proxy:3128"))
SET: Json = {
    "image": "evil/image",
    "imagePullSecrets": [{"name": "pull"}],
    "serviceAccountName": "other",
    "podSecurityContext": {"runAsUser": 0},
    "priorityClassName": "system-node-critical",
    "env": [HUB],
    "volumes": [{"name": "host", "hostPath": {"path": "/"}}],
    "volumeMounts": [{"name": "tmp", "mountPath": "/usr"}],
    "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
    "affinity": {"nodeAffinity": {}},
    "tolerations": [{"operator": "Exists"}],
    "topologySpreadConstraints": [{"maxSkew": 1}],
    "resources": {"limits": {"memory": "1Ti"}},
    "labels": {"app": "prod-frontend"},
    "annotations": {"sidecar.istio.io/inject": "false"},
}


def problem(limits: Limits, **job: Any) -> str:
    return limits.problem({"sync": {"job": job}})


@pytest.mark.parametrize("field", SET)
def test_a_forbidden_field_is_refused_by_name_and_no_other(field: str) -> None:
    found = problem(Limits(frozenset({field})), **SET)
    assert found.startswith(f"spec.sync.job.{field} is not allowed by this operator's settings. Remove")
    assert problem(Limits(frozenset(FORBIDDABLE) - {field, "env.valueFrom"}), **{field: SET[field]}) == ""


@pytest.mark.parametrize("field", ["nodeSelector", "tolerations"])
def test_what_is_forbidden_for_the_job_is_for_copies_too(field: str) -> None:
    spec = {"volume": {"perNode": {field: SET[field]}}}
    found = Limits(frozenset({field})).problem(spec)
    assert found.startswith(f"spec.volume.perNode.{field} is not allowed by this operator's settings. Remove")
    assert Limits(frozenset(FORBIDDABLE) - {field}).problem(spec) == ""


def test_all_of_the_job_but_switches_numbers_and_choices_can_be_forbidden() -> None:
    assert set(FORBIDDABLE) == {*SET, "env.valueFrom", "auth", "peers"}


@pytest.mark.parametrize(
    "spec", [{}, {"sync": None, "auth": None}, {"sync": {"job": None}}, {"sync": {"job": {"env": []}}}]
)
def test_what_is_not_set_is_not_refused(spec: Json) -> None:
    assert Limits(frozenset(FORBIDDABLE), ("a/",), ("https://a",)).problem(spec) == ""


def test_a_token_can_be_forbidden() -> None:
    assert Limits(frozenset({"auth"})).problem({"auth": {"secretName": "database"}}).startswith("spec.auth is not")


def test_values_from_other_objects_can_be_forbidden_where_plain_ones_are_not() -> None:
    limits = Limits(frozenset({"env.valueFrom"}))
    assert problem(limits, env=[{"name": "A", "value": "b"}]) == ""
    assert problem(limits, env=[{"name": "A", "valueFrom": REFERENCE}]).startswith("spec.sync.job.env: A takes its")


@pytest.mark.parametrize(
    ("labels", "refused"),
    [({"team.example/a": "b", "cost.center": "c"}, False), ({"app": "x"}, True), ({"team.examples/a": "x"}, True)],
)
def test_labels_of_other_prefixes_are_refused(labels: Json, refused: bool) -> None:
    assert bool(problem(PREFIX, labels=labels)) is refused


@pytest.mark.parametrize(
    ("variable", "refused"),
    [
        ({"name": "HF_ENDPOINT", "value": "https://mirror.example/"}, False),
        ({"name": "HF_ENDPOINT", "value": "https://mirror.example.evil"}, True),
        ({"name": "HF_ENDPOINT", "value": "https://mirror.example/$(X)"}, True),
        ({"name": "HF_ENDPOINT", "valueFrom": REFERENCE}, True),
        ({"name": "https_proxy", "value": "http://evil:3128"}, True),
        ({"name": "ALL_PROXY", "value": "http://proxy:3128"}, False),
        ({"name": "NO_PROXY", "value": "evil.example"}, False),
        ({"name": "LD_PRELOAD", "value": "/models/evil/lib.so"}, True),
        ({"name": "PYTHONPATH", "value": "/models/evil"}, True),
        ({"name": "OPENSSL_CONF", "value": "/models/evil/openssl.cnf"}, True),
        ({"name": "MODELCACHE_LOG_LEVEL", "value": "debug"}, False),
    ],
    ids=lambda each: str(each)[:60],
)
def test_variables_that_send_requests_elsewhere_are_refused_without_their_value(variable: Json, refused: bool) -> None:
    found = problem(MIRROR, env=[variable])
    assert bool(found) is refused
    assert "evil" not in found


def test_wrong_names_of_fields_are_told() -> None:
    with pytest.raises(WrongSettings, match="--forbid: 'imag' cannot be forbidden; use some of image, "):
        read_settings(("--namespace", "a", "--forbid", "imag,env"), {})


def test_all_limits_can_be_set_by_flags_and_variables() -> None:
    flags = ("--namespace", "a", "--forbid", "image, auth", "--allowed-endpoint=https://a/,https://b")
    limits = read_settings(flags, {"MODELCACHE_JOB_LABEL_PREFIX": "x/"}).limits
    assert limits == Limits(frozenset({"image", "auth"}), ("x/",), ("https://a", "https://b"))


def test_the_cache_fails_before_a_job_is_made_and_goes_on_when_the_field_is_removed(space: Space) -> None:
    arguments = ("--forbid", "image", "--allowed-endpoint", "https://mirror.example")
    with OperatorProcess(space.cluster.kubeconfig, *arguments, namespaces=(space.namespace,)):
        space.kubelet.claim("models")
        space.cache(sync={"job": {"image": "evil/image"}})
        assert space.until("Failed")["message"].startswith("spec.sync.job.image is not allowed")
        assert space.condition("Complete")["reason"] == "InvalidSpec"
        assert space.jobs() == []
        space.client.patch("modelcaches", "cache", {"spec": {"sync": {"job": {"image": None}}}}, space.namespace)
        space.complete(space.job(), complete())
        space.until("Ready")
