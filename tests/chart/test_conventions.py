"""What charts have by convention: names, namespaces, rights for people, a parent chart, places for the unforeseen."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.conftest import Render
from chart.objects import Objects, env_of
from chart.sets import EXTRAS
from support.helm import CHART, Helm, Release
from support.podsecurity import containers

Json = dict[str, Any]
Rendered = Callable[[str], Objects]
CLUSTER_WIDE = {
    *("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding", "PersistentVolume"),
    *(f"{kind}AdmissionPolicy{part}" for kind in ("Validating", "Mutating") for part in ("", "Binding")),
}
OF_THE_USER = {"multitalk-more", "text"}
"""extraObjects of the set "everything"."""


def made(objects: Objects) -> Iterator[Json]:
    """By the chart's own templates."""
    for each in objects.all:
        if each["kind"] != "CustomResourceDefinition" and each["metadata"]["name"] not in OF_THE_USER:
            yield each


def test_every_object_says_its_namespace(objects: Objects) -> None:
    wrong = [
        each["metadata"]
        for each in made(objects)
        if ("namespace" in each["metadata"]) is (each["kind"] in CLUSTER_WIDE)
    ]
    assert wrong == []


def test_a_namespace_of_its_own_holds_everything(rendered: Rendered) -> None:
    objects = rendered("another namespace")
    assert {each["metadata"].get("namespace", "video") for each in made(objects)} == {"video"}
    assert "models" not in re.findall(
        r"[\w-]+", str([each for each in objects.all if each["kind"] == "ClusterRoleBinding"])
    )
    assert "multitalk-modelcache-inference.video.svc" in str(objects.args("inference"))


def test_common_labels_and_annotations_are_on_everything(rendered: Rendered) -> None:
    for each in made(rendered("everything")):
        metadata = each["metadata"]
        assert (metadata["labels"]["team"], metadata["annotations"]["owner"]) == ("video", "video"), metadata["name"]


@pytest.mark.parametrize(
    ("release", "service", "cache"),
    [
        ("dotted", "video-prod-modelcache-inference", "video-prod"),
        ("digit", "modelcache-4k-inference", "4k"),
        ("true", "true-modelcache-inference", "true"),
    ],
)
def test_names_that_helm_allows_become_names_of_services(
    rendered: Rendered, release: str, service: str, cache: str
) -> None:
    objects = rendered(release)
    assert objects.one("Service")["metadata"]["name"] == service
    assert objects.one("ModelCache")["metadata"]["name"] == cache


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("ml-x", "team"), ("x", "team-ml")),
        (("a", "x"), ("b", "x")),
        (("a", "x"), ("a", "y")),
        (("cache", "gpu-modelcache"), ("modelcache-cache", "gpu")),
    ],
    ids=str,
)
def test_no_two_releases_share_a_cluster_wide_name(helm: Helm, first: tuple[str, str], second: tuple[str, str]) -> None:
    def names(release: str, namespace: str) -> set[tuple[str, str]]:
        operator = {"allNamespaces": True, "admissionPolicy": {"enabled": True}, "perNode": {"enabled": True}}
        copies = {"volume": {"perNode": {"enabled": True, "path": "/ssd/models"}}}
        values = {"operator": operator, "cache": copies}
        objects = helm.render(Release(values, name=release, namespace=namespace))
        return {
            (each["kind"], each["metadata"]["name"])
            for each in objects
            if each["kind"] in CLUSTER_WIDE - {"CustomResourceDefinition"}
        }

    assert len(names(*first)) > 8
    assert names(*first) & names(*second) == set()


def test_one_value_leaves_out_all_that_takes_a_cluster_administrator(rendered: Rendered) -> None:
    assert rendered("namespace admin").kinds() & CLUSTER_WIDE == set()
    assert rendered("label").kinds() >= CLUSTER_WIDE - {"ClusterRoleBinding", "PersistentVolume"}


def test_an_administrator_may_make_the_rights_himself(rendered: Rendered) -> None:
    rights = {"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    assert rendered("rights by hand").kinds() & rights == set()


def test_kubernetes_own_roles_are_taught_the_new_kind(rendered: Rendered) -> None:
    found = {
        label.removeprefix("rbac.authorization.k8s.io/aggregate-to-"): (rule["resources"], sorted(rule["verbs"]))
        for each in rendered("defaults").of("ClusterRole")
        for label in each["metadata"]["labels"]
        for rule in each["rules"]
        if "aggregate-to-" in label
    }
    assert found == {
        "view": (["modelcaches"], ["get", "list", "watch"]),
        "edit": (["modelcaches"], ["create", "delete", "deletecollection", "patch", "update"]),
        "admin": (["modelcaches/status"], ["patch"]),
    }


def test_the_definition_says_its_version_and_shadows_no_other_kind(rendered: Rendered) -> None:
    definition = rendered("defaults").one("CustomResourceDefinition")
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert definition["metadata"]["annotations"]["modelcache.dev/chart-version"] == version
    assert definition["spec"]["names"]["shortNames"] == ["mdlc"]
    assert "categories" not in definition["spec"]["names"]


def test_the_definition_is_a_dependency_that_a_value_leaves_out() -> None:
    (dependency,) = yaml.safe_load((CHART / "Chart.yaml").read_text())["dependencies"]
    own = yaml.safe_load((CHART / "charts/crds/Chart.yaml").read_text())
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    assert (dependency["name"], dependency["version"]) == (own["name"], own["version"]) == ("crds", version)
    assert dependency["condition"] == "crds.install"
    assert not (CHART / "crds").exists(), "Helm would install it whatever the values say"


def test_argo_cd_prunes_neither_claim_nor_definition(rendered: Rendered) -> None:
    for kind in ("PersistentVolumeClaim", "CustomResourceDefinition"):
        for name in ("defaults", "everything"):
            annotations = rendered(name).one(kind)["metadata"]["annotations"]
            assert annotations["argocd.argoproj.io/sync-options"] == "Prune=false"


def test_a_parent_chart_sets_registry_and_pull_secrets(rendered: Rendered) -> None:
    objects = rendered("parent chart")
    secrets = [{"name": "corp"}, {"name": "pull"}]
    for _, pod in objects.pods():
        assert pod["spec"]["imagePullSecrets"] == secrets
        assert [
            each["image"] for each in containers(pod["spec"]) if not each["image"].startswith("registry.corp/")
        ] == []
    assert "--sync-image=registry.corp/modelcache/init-sync:" in str(objects.args("operator"))
    assert objects.job()["imagePullSecrets"] == secrets


@pytest.mark.parametrize(("enabled", "kinds"), [("true", True), ("false", False)])
def test_a_parent_chart_leaves_the_chart_out_by_its_condition(
    helm: Helm, tmp_path: Path, enabled: str, kinds: bool
) -> None:
    shutil.copytree(CHART, tmp_path / "charts/modelcache")
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["version"]
    dependency = {"name": "modelcache", "version": version, "condition": "modelcache.enabled"}
    parent = {"apiVersion": "v2", "name": "platform", "version": "1.0.0", "dependencies": [dependency]}
    (tmp_path / "Chart.yaml").write_text(yaml.safe_dump(parent))
    values = ("--set", f"modelcache.enabled={enabled}", "--set", "global.team=video")
    text = helm.run("template", "p", str(tmp_path), "--include-crds", *values)
    assert ("kind: ModelCache\n" in text, "kind: CustomResourceDefinition" in text) == (kinds, kinds)
    without = helm.run(
        "template", "p", str(tmp_path), "--include-crds", *values, "--set", "modelcache.crds.install=false"
    )
    assert ("kind: ModelCache\n" in without, "kind: CustomResourceDefinition" in without) == (kinds, False)


@pytest.mark.parametrize("component", ["operator", "inference"])
def test_what_the_chart_does_not_foresee_has_a_place(rendered: Rendered, component: str) -> None:
    deployment = rendered("everything").one("Deployment", component)
    pod = deployment["spec"]["template"]["spec"]
    main = pod["containers"][0]
    assert deployment["metadata"]["annotations"] == {"owner": "video", "reloader": "true"}
    assert main["envFrom"] == EXTRAS["extraEnvFrom"]
    assert [each["name"] for each in pod["containers"]][1:] == ["beside"]
    assert pod["initContainers"][-1]["name"] == "before"
    assert pod["hostAliases"] == EXTRAS["extraPodSpec"]["hostAliases"]
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["fsGroup"]) == (1000, 65532)
    assert main["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert main["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {each["name"] for each in main["volumeMounts"]} <= {each["name"] for each in pod["volumes"]}


def test_a_switch_of_a_container_can_be_turned_off(render: Render) -> None:
    """Helm's own merge takes false for nothing."""
    pod = render(operator={"containerSecurityContext": {"readOnlyRootFilesystem": False}}).one("Deployment", "operator")
    container = pod["spec"]["template"]["spec"]["containers"][0]
    assert container["securityContext"]["readOnlyRootFilesystem"] is False
    assert env_of(container)


def test_objects_of_the_user_are_templates(rendered: Rendered) -> None:
    names = {each["metadata"]["name"] for each in rendered("everything").all}
    assert names >= OF_THE_USER


def test_the_service_is_as_the_cluster_needs_it(rendered: Rendered) -> None:
    service = rendered("everything").one("Service")
    assert service["metadata"]["labels"]["a"] == service["metadata"]["annotations"]["a"] == "b"
    assert service["spec"]["ipFamilyPolicy"] == "PreferDualStack"
    assert service["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert service["spec"]["ports"][0]["nodePort"] == 30080
    plain = rendered("defaults").one("Service")["spec"]
    assert set(plain) == {"type", "selector", "ports", "sessionAffinity"}
    assert "nodePort" not in plain["ports"][0]


def test_service_accounts_can_be_given(render: Render) -> None:
    for create, name, account in (
        (True, "", "multitalk-modelcache-inference"),
        (False, "", "default"),
        (False, "own", "own"),
    ):
        objects = render(inference={"serviceAccount": {"create": create, "name": name}})
        assert objects.server()["serviceAccountName"] == account
        found = [each["metadata"]["name"] for each in objects.of("ServiceAccount")]
        assert (account in found) is create
