"""Helm installs, upgrades and uninstalls on a real API server, with admission as clusters have it; no controllers run.

Skipped unless KUBEBUILDER_ASSETS names a folder with etcd and kube-apiserver.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chart.installer import Installer, installing
from chart.objects import Objects
from chart.sets import SETS
from modelcache_operator.core.job_plan import JobRequest
from modelcache_operator.core.jobs import sync_job
from modelcache_operator.core.parse import parse_cache
from support import tools
from support.helm import CHART, Helm, HelmRefused
from support.kubeapi import ApiError, RealApi, assets
from support.kubeapi.client import Client

Json = dict[str, Any]
NOTES = CHART / "templates/NOTES.txt"
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def installer(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installer]:
    with installing(helm, tmp_path_factory.mktemp("api")) as running:
        yield running


def test_a_release_lives_and_leaves_its_models_behind(installer: Installer) -> None:
    space, client = installer.namespace("life"), installer.client
    said = installer.helm("install", space, str(CHART))
    assert "kubectl -n life get modelcaches multitalk --watch" in said
    assert client.get("modelcaches", "multitalk", space)["metadata"]["generation"] == 1
    assert installer.names("persistentvolumeclaims", space) == ["multitalk-models"]

    installer.helm("upgrade", space, str(CHART))
    assert client.get("modelcaches", "multitalk", space)["metadata"]["generation"] == 1, "nothing changed"
    installer.helm("upgrade", space, str(CHART), values={"cache": {"allowPickles": False}})
    assert client.get("modelcaches", "multitalk", space)["spec"]["allowPickles"] is False

    installer.helm("uninstall", space)
    assert client.list("modelcaches", space) == []
    assert installer.names("persistentvolumeclaims", space) == ["multitalk-models"]
    installer.helm("install", space, str(CHART))
    assert client.get("modelcaches", "multitalk", space)["spec"]["volume"]["claimName"] == "multitalk-models"


def test_copies_on_nodes_have_a_volume_that_is_kept_and_used_again(installer: Installer) -> None:
    """With nothing behind it: no controller binds claims here, and no kubelet looks for the directory."""
    space, client = installer.namespace("copies"), installer.client
    values = dict(SETS["copies"].values)
    assert "install -d -o 65532 -g 65532 -m 2775 /mnt/ssd/models" in installer.helm(
        "install", space, str(CHART), values=values
    )
    volume = client.get("persistentvolumes", "copies.multitalk-models", "")
    claim = client.get("persistentvolumeclaims", "multitalk-models", space)
    assert (claim["spec"]["volumeName"], claim["spec"]["storageClassName"]) == (volume["metadata"]["name"], "")
    cache = client.get("modelcaches", "multitalk", space)["spec"]["volume"]
    assert cache["perNode"]["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "gpu"}
    assert cache["perNode"]["maxParallel"] == 4

    _bind(installer, volume, claim)
    installer.helm("upgrade", space, str(CHART), values={**values, "commonLabels": {"team": "video"}})
    bound = client.get("persistentvolumes", volume["metadata"]["name"], "")
    assert bound["metadata"]["labels"]["team"] == "video"
    assert bound["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"], "an upgrade leaves it bound"

    installer.helm("uninstall", space)
    installer.helm("install", space, str(CHART), values=values)
    kept = client.get("persistentvolumes", volume["metadata"]["name"], "")
    assert kept["metadata"]["uid"] == volume["metadata"]["uid"]
    assert kept["spec"]["claimRef"]["uid"] == claim["metadata"]["uid"]


def _bind(installer: Installer, volume: Json, claim: Json) -> None:
    """As the controller of volumes does it."""
    names = {key: claim["metadata"][key] for key in ("uid", "resourceVersion")}
    installer.client.patch("persistentvolumes", volume["metadata"]["name"], {"spec": {"claimRef": names}}, "")


@pytest.mark.parametrize("changed", [{"nodeSelector": {"pool": "cpu"}}, {"perNode": {"path": "/mnt/hdd"}}], ids=str)
def test_nodes_and_path_of_a_volume_that_exists_are_not_changed(installer: Installer, changed: Json) -> None:
    space = installer.namespace(f"fixed-{next(iter(changed)).lower()}")
    values = dict(SETS["copies"].values)
    installer.helm("install", space, str(CHART), values=values)
    volume = {**values["cache"]["volume"], **changed}
    volume["perNode"] = {**values["cache"]["volume"]["perNode"], **changed.get("perNode", {})}
    with pytest.raises(HelmRefused, match="immutable"):
        installer.helm("upgrade", space, str(CHART), values={**values, "cache": {**values["cache"], "volume": volume}})
    volume["claimName"] = "others"
    installer.helm("upgrade", space, str(CHART), values={**values, "cache": {**values["cache"], "volume": volume}})
    assert installer.client.get("persistentvolumeclaims", "others", space)["spec"]["volumeName"] == f"{space}.others"


USERS = ("runAsUser", "runAsGroup", "fsGroup")


@pytest.mark.parametrize("values", ["users handed out by the cluster", "users taken out by null"])
def test_users_that_the_cluster_hands_out_reach_the_job(installer: Installer, values: str) -> None:
    space = installer.namespace(values.replace(" ", "-"))
    installer.helm("install", space, str(CHART), values=dict(SETS[values].values))
    assert _job_users(installer, space) == [None, None, None]


def test_an_upgrade_that_a_client_merges_takes_the_users_away_too(installer: Installer) -> None:
    """A merge patch reads a null as "remove", after which the operator's default would apply."""
    space = installer.namespace("merged-users")
    installer.helm("install", space, str(CHART))
    assert _job_users(installer, space) == [65532, 65532, 65532]
    installer.helm("upgrade", space, str(CHART), "--server-side=false", values={"runAsDefaultUser": False})
    assert _job_users(installer, space) == [None, None, None]


def _job_users(installer: Installer, space: str) -> list[int | None]:
    objects = [
        {**each, "kind": kind}
        for kind, plural in (("ModelCache", "modelcaches"), ("ConfigMap", "configmaps"))
        for each in installer.client.list(plural, space)
    ]
    (job,) = _jobs(Objects(tuple(objects)))
    security = job["spec"]["template"]["spec"]["securityContext"]
    return [security.get(key) for key in USERS]


def test_two_operators_in_one_namespace_are_told_of_each_other(installer: Installer, helm: Helm) -> None:
    space = installer.namespace("two")
    values = {"cache": {"enabled": False}, "inference": {"enabled": False}}
    assert "WARNING" not in installer.helm("install", space, str(CHART), values=values)
    said = installer.helm("upgrade", space, str(CHART), values={**values, "fullnameOverride": "again"})
    assert "WARNING" not in said, "a release does not warn about its own objects"
    other = helm.run(
        *("install", "second", str(CHART), "--namespace", space),
        values=values,
        kubeconfig=installer.kubeconfig,
    )
    assert "WARNING: release multitalk has an operator in this namespace already" in other


@pytest.mark.parametrize("name", ["defaults", "standalone", "everything", "no GPU"])
def test_admission_lets_every_pod_in(installer: Installer, helm: Helm, name: str) -> None:
    space = installer.namespace(f"pods-{sorted(SETS).index(name)}")
    objects = Objects(tuple(helm.render(SETS[name])))
    templates = [pod for _, pod in objects.pods()]
    templates += [job["spec"]["template"] for job in _jobs(objects)]
    for template in templates:
        spec = {key: value for key, value in template["spec"].items() if key not in ("priorityClassName",)}
        assert _admit(installer.client, space, {**template, "spec": spec}) == ""


def test_admission_is_really_asked(installer: Installer) -> None:
    space = installer.namespace("refused")
    pod = {"spec": {"containers": [{"name": "a", "image": "a"}]}, "metadata": {}}
    assert "violates PodSecurity" in _admit(installer.client, space, pod)


def test_a_schema_that_refuses_leaves_nothing_behind(installer: Installer) -> None:
    space = installer.namespace("refusal")
    with pytest.raises(HelmRefused):
        installer.helm("install", space, str(CHART), values={"cache": {"standalone": True}})
    assert installer.names("persistentvolumeclaims", space) == []


def test_an_older_definition_is_upgraded_as_the_notes_say(
    helm: Helm, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    programs, kubectl = assets(), tools.kubectl()
    if programs is None or kubectl is None:
        pytest.skip("needs a real API server (KUBEBUILDER_ASSETS) and a kubectl beside Helm")
    older = tmp_path / "chart"
    shutil.copytree(CHART, older)
    crd = older / "charts/crds/crds/modelcaches.yaml"
    crd.write_text(crd.read_text().replace("Whether every model is on the volume", "As it was said before"))
    with RealApi(programs, tmp_path_factory.mktemp("older")) as api:
        environment = {"KUBECONFIG": str(api.kubeconfig()), "HOME": str(tmp_path)}
        helm.run("install", "old", str(older), "--namespace", "default", kubeconfig=api.kubeconfig())
        (command,) = (
            line.partition("#")[0].split() for line in NOTES.read_text().splitlines() if "kubectl apply" in line
        )
        done = subprocess.run([kubectl, *command[1:]], cwd=CHART, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        client = Client(api.kubeconfig())
        stored = client.get("customresourcedefinitions", "modelcaches.modelcache.dev", "")
        client.close()
    assert "As it was said before" not in str(stored["spec"])


def _admit(client: Client, namespace: str, template: Json) -> str:
    """What admission says against a pod; empty if nothing."""
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "asked"}}
    pod["metadata"].pop("namespace", None)
    try:
        client.call("POST", f"/api/v1/namespaces/{namespace}/pods", pod, query={"dryRun": "All"})
    except ApiError as error:
        return str(error)
    return ""


def _jobs(objects: Objects) -> list[Json]:
    """What the operator makes of the caches."""
    found = []
    for cache in objects.of("ModelCache"):
        metadata = {"uid": "u", "generation": 1, "resourceVersion": "1", "namespace": "n", **cache["metadata"]}
        metadata.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
        facts = parse_cache({**cache, "metadata": metadata}, defaults=objects.job_defaults())
        found.append(sync_job(facts, JobRequest("job", 1, "", "u"), "modelcache/init-sync"))
    return found
