"""What the administrator sets for the Jobs of all caches: read with the manifest's words, behind what a cache sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from init_sync.shell.flags import WrongSettings
from modelcache_operator.app.settings import read_settings
from modelcache_operator.core.job_defaults import NO_DEFAULTS, read_job_defaults
from modelcache_operator.core.limits import Limits
from support.cluster import Space
from support.operator_process import OperatorProcess
from support.pure_cluster import PureCluster
from support.reports import complete

Json = dict[str, Any]
MIRROR = {"name": "HF_ENDPOINT", "value": "http://mirror.example"}
PROXY = {"name": "HTTPS_PROXY", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "url"}}}
CA = {"name": "ca", "configMap": {"name": "corp-ca"}}
MOUNT = {"name": "ca", "mountPath": "/ca", "readOnly": True}
DEFAULTS: Json = {
    "image": "mirror/init-sync",
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "pull"}],
    "nodeSelector": {"pool": "cpu"},
    "resources": {"requests": {"cpu": "2"}},
    "runAsDefaultUser": False,
    "podSecurityContext": {"runAsNonRoot": True},
    "env": [MIRROR, PROXY],
    "volumes": [CA],
    "volumeMounts": [MOUNT],
    "labels": {"team": "platform", "cost": "1"},
    "annotations": {"prometheus.io/scrape": "true"},
    "backoffLimit": 7,
    "ttlSecondsAfterFinished": 60,
}


def world(defaults: Json, **job: Any) -> PureCluster:
    made = PureCluster(sync={"job": job})
    made.job_defaults = read_job_defaults(json.dumps(defaults), "file")
    return made


def job_of(made: PureCluster) -> Json:
    made.settle()
    return made.jobs[made.latest]


def test_the_job_of_a_cache_that_sets_nothing_has_them_all() -> None:
    made = PureCluster()
    made.job_defaults = read_job_defaults(json.dumps(DEFAULTS), "file")
    job = job_of(made)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("mirror/init-sync", "Always")
    assert container["env"] == [MIRROR, PROXY]
    assert container["resources"] == {"requests": {"cpu": "2"}}
    assert container["volumeMounts"][-1] == MOUNT
    assert pod["volumes"][-1] == CA
    assert (pod["imagePullSecrets"], pod["nodeSelector"]) == ([{"name": "pull"}], {"pool": "cpu"})
    assert "runAsUser" not in pod["securityContext"]
    assert (job["spec"]["backoffLimit"], job["spec"]["ttlSecondsAfterFinished"]) == (7, 60)
    assert job["spec"]["template"]["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}
    assert made.config is not None
    assert made.config["metadata"]["labels"]["team"] == "platform"


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("env", [{"name": "HF_ENDPOINT", "value": "http://b"}], [PROXY, {"name": "HF_ENDPOINT", "value": "http://b"}]),
        ("env", [{"name": "A", "value": ""}], [MIRROR, PROXY, {"name": "A"}]),
        ("volumes", [{"name": "ca", "emptyDir": {}}], [{"name": "ca", "emptyDir": {}}]),
        ("volume_mounts", [{"name": "b", "mountPath": "/b"}], [MOUNT, {"name": "b", "mountPath": "/b"}]),
        ("labels", {"cost": "2"}, {"team": "platform", "cost": "2"}),
        ("annotations", {"prometheus.io/scrape": "false"}, {"prometheus.io/scrape": "false"}),
        ("resources", {"limits": {"memory": "2Gi"}}, {"limits": {"memory": "2Gi"}}),
        ("pod_security_context", {"fsGroup": 1}, {"fsGroup": 1}),
        ("run_as_default_user", True, True),
        ("backoff_limit", 3, 3),
        ("backoff_limit", None, 7),
        ("image", "own/init-sync", "own/init-sync"),
        ("log_format", "json", "json"),
    ],
    ids=lambda each: json.dumps(each)[:60],
)
def test_what_a_cache_sets_goes_before(field: str, value: Any, wanted: Any) -> None:
    first, *rest = field.split("_")
    name = "".join([first, *(part.title() for part in rest)])
    job = world(DEFAULTS, **{name: value}).parsed().job
    assert getattr(job, field) == wanted


@pytest.mark.parametrize("field", ["imagePullSecrets", "nodeSelector"])
def test_where_a_pod_runs_and_what_it_pulls_with_is_taken_as_a_whole(field: str) -> None:
    own = {"imagePullSecrets": [{"name": "own"}], "nodeSelector": {"gpu": "a100"}}[field]
    assert world(DEFAULTS, **{field: own}).parsed().job.pod[field] == own


def test_a_manifest_that_is_refused_has_none_of_it_merged() -> None:
    made = world(DEFAULTS, env="not a list")
    assert "spec.sync.job.env: must be a list" in made.parsed().problem


def test_new_defaults_neither_take_a_proof_back_nor_make_a_job(ready: PureCluster) -> None:
    jobs = list(ready.jobs)
    ready.job_defaults = read_job_defaults(json.dumps(DEFAULTS), "file")
    ready.settle()
    assert (ready.status["phase"], list(ready.jobs)) == ("Ready", jobs)
    ready.annotate("again")
    assert job_of(ready)["spec"]["template"]["spec"]["containers"][0]["image"] == "mirror/init-sync"


def test_limits_hold_for_authors_and_not_for_the_administrator() -> None:
    limits = Limits(frozenset({"image", "volumes", "env.valueFrom"}), ("x/",), ("https://other.example",))
    assert limits.problem(world(DEFAULTS).parsed().spec) == ""
    assert "spec.sync.job.volumes is not allowed" in limits.problem(world(DEFAULTS, volumes=[CA]).parsed().spec)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "env: null"], ids=repr)
def test_a_file_that_says_nothing_changes_nothing(text: str) -> None:
    assert read_job_defaults(text, "file") == NO_DEFAULTS


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("evn: []", "evn: is not a known field; did you mean 'env'?"),
        ("env: [{value: a}]", "env[0].name: is required"),
        ("volumes: [{name: manifest, emptyDir: {}}]", "volumes[0].name: 'manifest' is not valid"),
        ("backoffLimit: many\nimage: 3", "backoffLimit: must be a whole number"),
        ("[1]", "must be a mapping, not a list"),
        ("a: [", "--sync-defaults: {file}: "),
        ("image: a\n---\nimage: b", "holds several documents"),
    ],
    ids=lambda each: each[:30],
)
def test_a_wrong_file_is_refused_at_start_by_the_name_of_the_field(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "sync.yaml"
    file.write_text(text)
    with pytest.raises(WrongSettings) as wrong:
        read_settings(("--namespace", "a", "--sync-defaults", str(file)), {})
    assert words.format(file=file) in str(wrong.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match=r"MODELCACHE_SYNC_DEFAULTS: reading .*No such file"):
        read_settings(("--namespace", "a"), {"MODELCACHE_SYNC_DEFAULTS": str(tmp_path / "none")})


def test_the_pod_that_waits_for_a_mount_says_which_objects_must_be_there() -> None:
    made = world({"volumes": [CA, {"name": "keys", "secret": {"secretName": "client-keys"}}]})
    made.settle()
    pod = made.add_pod("p", made.latest)
    made.wait(pod, "ContainerCreating")
    made.settle()
    assert "needs ConfigMap corp-ca and Secret client-keys in namespace default" in made.status["message"]
    assert "kubectl describe pod p" in made.status["message"]


def test_a_cache_of_a_user_gets_them_on_an_api_server(space: Space, tmp_path: Path) -> None:
    file = tmp_path / "sync.yaml"
    file.write_text(json.dumps({**DEFAULTS, "backoffLimit": 5}))
    with OperatorProcess(space.cluster.kubeconfig, "--sync-defaults", str(file), namespaces=(space.namespace,)):
        space.kubelet.claim("models")
        space.cache(sync={"job": {"env": [{"name": "A", "value": "b"}]}})
        job = space.job()
        pod = job["spec"]["template"]["spec"]
        assert [each["name"] for each in pod["containers"][0]["env"]] == ["HF_ENDPOINT", "HTTPS_PROXY", "A"]
        assert job["spec"]["backoffLimit"] == 5, "the API server must not fill a default in"
        assert any(each.get("configMap", {}).get("name") == "corp-ca" for each in pod["volumes"])
        space.complete(job, complete())
        space.until("Ready")
