"""What releases share in a cluster, and who may install: definitions of several versions, people of one namespace.

On a real API server of its own, with the controller that fills the roles view, edit and admin. Skipped unless
KUBEBUILDER_ASSETS names a folder with its programs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.installer import Installer, installing
from support.helm import CHART, Helm, HelmRefused
from support.kubeapi import ApiError
from support.waiting import eventually

Json = dict[str, Any]
DEFINITION = "modelcaches.modelcache.dev"
VERSION = "modelcache.dev/chart-version"
OPERATOR = {"cache": {"enabled": False}, "inference": {"enabled": False}}
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def installer(helm: Helm, tmp_path: Path) -> Iterator[Installer]:
    with installing(helm, tmp_path) as running:
        yield running


def chart_of(folder: Path, version: str | None, field: str = "") -> Path:
    """A copy of the chart whose definition says another version, or none as 0.1.0 did, with one more field."""
    shutil.copytree(CHART, folder)
    path = folder / "charts/crds/crds/modelcaches.yaml"
    definition = yaml.safe_load(path.read_text())
    definition["metadata"]["annotations"] = {VERSION: version} if version else {}
    if field:
        spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        spec["properties"][field] = {"type": "string"}
    path.write_text(yaml.safe_dump(definition))
    return folder


def in_force(installer: Installer) -> None:
    """An admission policy is asked a moment after it was created."""

    def refused() -> bool:
        try:
            _say_version(installer, "0.0.1", dryRun="All")
        except ApiError:
            return True
        return False

    eventually(refused, "the policy is asked")


def _say_version(installer: Installer, version: str | None, **query: str) -> None:
    path = installer.client.path("customresourcedefinitions", "", DEFINITION)
    body = {"metadata": {"annotations": {VERSION: version}}}
    installer.client.call("PATCH", path, body, "application/merge-patch+json", query=query)


def served(installer: Installer) -> str:
    return str(installer.client.get("customresourcedefinitions", DEFINITION, "")["spec"])


@pytest.mark.parametrize("version", ["0.0.9", None], ids=["a version that says so", "one that said no version"])
def test_an_older_chart_takes_no_field_away(installer: Installer, tmp_path: Path, version: str | None) -> None:
    newer, older = chart_of(tmp_path / "newer", "0.2.0", "futureField"), chart_of(tmp_path / "older", version)
    first, second = installer.namespace("first"), installer.namespace("second")
    installer.helm("install", first, str(newer), values=OPERATOR)
    in_force(installer)
    with pytest.raises(HelmRefused) as refused:
        installer.helm("install", second, str(older), values=OPERATOR)
    assert "the definition in the cluster is of chart version 0.2.0" in str(refused.value)
    assert "Leave the definition as it is: crds.install=false" in str(refused.value)
    assert "futureField" in served(installer)
    assert installer.names("deployments", second) == []

    installer.helm("install", second, str(older), values={**OPERATOR, "crds": {"install": False}})
    assert installer.names("deployments", second) == ["multitalk-modelcache-operator"]
    assert "futureField" in served(installer)
    installer.helm("uninstall", second)
    assert "futureField" in served(installer), "no release takes the definition with it"


def test_a_newer_chart_brings_its_definition_and_an_upgrade_says_that_it_does_not(
    installer: Installer, tmp_path: Path
) -> None:
    older = chart_of(tmp_path / "older", "0.0.9")
    newer = chart_of(tmp_path / "newer", "0.2.0", "futureField")
    first, second = installer.namespace("first"), installer.namespace("second")
    assert "WARNING" in installer.helm("install", first, str(older), values=OPERATOR), "the copy's Chart.yaml is newer"
    said = installer.helm("upgrade", first, str(newer), values=OPERATOR)
    assert "WARNING: the definition in the cluster is of chart version 0.0.9" in said
    assert "futureField" not in served(installer)
    assert "WARNING" not in installer.helm("install", second, str(newer), values=OPERATOR)
    assert "futureField" in served(installer)


def test_versions_are_compared_as_numbers(installer: Installer) -> None:
    installer.helm("install", installer.namespace("versions"), str(CHART), values=OPERATOR)
    in_force(installer)
    steps = (
        *(("0.2.0", True), ("0.1.9", False), ("0.2.0", True), ("0.10.0-rc.1", True), ("0.9.0", False)),
        *(("0.10.0", True), (None, False), ("1.0.0", True), ("0.99.99", False)),
    )
    assert [_taken(installer, version) for version, _ in steps] == [taken for _, taken in steps]


def _taken(installer: Installer, version: str | None) -> bool:
    try:
        _say_version(installer, version)
    except ApiError as error:
        return "would take fields away from every ModelCache" not in str(error)
    return True


def test_people_with_the_roles_of_a_namespace_can_use_it_and_its_admin_installs_alone(installer: Installer) -> None:
    with installer.api.controllers("clusterrole-aggregation-controller"):
        installer.helm("install", installer.namespace("platform"), str(CHART), values=OPERATOR)
        space = installer.namespace("team")
        for role in ("view", "edit", "admin"):
            _bind(installer, space, role)
        eventually(lambda: _may(installer, space, "admin", "patch", "modelcaches/status"), "the roles are filled", 60)
        rights = {
            (role, verb): _may(installer, space, role, verb)
            for role in ("view", "edit", "admin")
            for verb in ("get", "create")
        }
        assert rights == {
            **{("view", "get"): True, ("view", "create"): False},
            **{(role, verb): True for role in ("edit", "admin") for verb in ("get", "create")},
        }
        assert not _may(installer, space, "edit", "patch", "modelcaches/status")
    person = ("--kube-as-user", "an-admin", "--kube-as-group", "system:authenticated")
    values = {"crds": {"install": False}}
    said = installer.helm("install", space, str(CHART), *person, values=values)
    assert "operator multitalk-modelcache-operator, serving team" in said
    installer.helm("upgrade", space, str(CHART), *person, values={**values, "cache": {"allowPickles": False}})
    assert installer.client.get("modelcaches", "multitalk", space)["spec"]["allowPickles"] is False
    installer.helm("uninstall", space, *person)
    assert installer.client.list("modelcaches", space) == []
    with pytest.raises(HelmRefused, match="forbidden"):
        installer.helm("install", space, str(CHART), *person)


def _bind(installer: Installer, space: str, role: str) -> None:
    group = "rbac.authorization.k8s.io"
    reference = {"apiGroup": group, "kind": "ClusterRole", "name": role}
    subject = {"kind": "User", "apiGroup": group, "name": f"an-{role}"}
    installer.client.create(
        "rolebindings", {"metadata": {"name": role}, "roleRef": reference, "subjects": [subject]}, space
    )


def _may(installer: Installer, space: str, role: str, verb: str, resource: str = "modelcaches") -> bool:
    name, _, subresource = resource.partition("/")
    attributes = {
        "namespace": space,
        "verb": verb,
        "group": "modelcache.dev",
        "resource": name,
        "subresource": subresource,
    }
    body = {"spec": {"user": f"an-{role}", "resourceAttributes": attributes}}
    answer = installer.client.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    return bool(answer["status"]["allowed"])


def test_a_release_without_an_operator_is_warned_only_where_none_serves_it(installer: Installer) -> None:
    without = {"operator": {"enabled": False}, "inference": {"enabled": False}}
    alone, served, elsewhere = (installer.namespace(name) for name in ("alone", "served", "elsewhere"))
    nobody = "WARNING: operator.enabled=false, and no operator serves namespace"
    assert nobody in installer.helm("install", alone, str(CHART), values=without)
    installer.helm(
        "install", elsewhere, str(CHART), values={**OPERATOR, "operator": {"namespaces": ["elsewhere", "served"]}}
    )
    assert nobody in installer.helm("upgrade", alone, str(CHART), values=without)
    assert nobody not in installer.helm("install", served, str(CHART), values=without)
    installer.helm("upgrade", elsewhere, str(CHART), values={**OPERATOR, "operator": {"allNamespaces": True}})
    assert nobody not in installer.helm("upgrade", alone, str(CHART), values=without)


@pytest.mark.parametrize("release", ["video.prod", "4k", "4.k"])
def test_a_release_name_that_helm_takes_is_taken_by_the_cluster(installer: Installer, release: str) -> None:
    space = installer.namespace("team")
    installer.helm("install", space, str(CHART), release=release)
    (service,) = installer.names("services", space)
    assert service == installer.names("deployments", space)[0]
    installer.helm("uninstall", space, release=release)


def test_a_bound_claim_needs_no_word_about_gpus(installer: Installer) -> None:
    space, client = installer.namespace("bound"), installer.client
    assert "WARNING: nothing says where your GPUs are" in installer.helm("install", space, str(CHART))
    client.patch("persistentvolumeclaims", "multitalk-models", {"status": {"phase": "Bound"}}, space, sub="status")
    assert "WARNING" not in installer.helm("upgrade", space, str(CHART))


def test_an_upgrade_leaves_the_number_of_servers_to_the_autoscaler(installer: Installer) -> None:
    space, client = installer.namespace("scaled"), installer.client
    values = {"inference": {"replicas": None}}
    installer.helm("install", space, str(CHART), values=values)
    path = client.path("deployments", space, "multitalk-modelcache-inference")
    client.call("PATCH", f"{path}/scale", {"spec": {"replicas": 0}}, "application/merge-patch+json")
    installer.helm("upgrade", space, str(CHART), values={**values, "operator": {"logLevel": "debug"}})
    assert client.call("GET", path)["spec"]["replicas"] == 0
