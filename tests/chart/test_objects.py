"""Every set of values renders to objects that Kubernetes and the custom resource's definition take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from chart.conftest import Render
from chart.objects import Objects, component_of, selects
from chart.sets import SETS
from init_sync.core.manifest import manifest_from, parse_manifest
from support.helm import CHART, Helm, Release
from support.kubeapi.schema import Conformity
from support.kubeschemas import MINORS, schema_problems

ROOT = Path(__file__).parents[2]
OTHERS = {"ModelCache", "PodMonitor", "ServiceMonitor", "PrometheusRule", "CustomResourceDefinition"}
"""Not among Kubernetes' own schemas."""


def test_three_minors_are_newest() -> None:
    assert len(MINORS) == 3
    assert MINORS[-1] >= "1.37"


@pytest.mark.parametrize("minor", MINORS)
def test_every_object_fits_the_schemas_of_kubernetes(objects: Objects, minor: str) -> None:
    problems = {
        f"{each['kind']} {each['metadata']['name']}": found
        for each in objects.all
        if _is_known(each["kind"], minor) and (found := schema_problems(each, minor))
    }
    assert problems == {}


def _is_known(kind: str, minor: str) -> bool:
    """The policies that came with 1.36 are rendered for nothing older."""
    return kind not in OTHERS and (not kind.startswith("Mutating") or minor >= "1.36")


def test_helm_lint_finds_nothing(helm: Helm, each_set: str) -> None:
    assert "0 chart(s) failed" in helm.lint(SETS[each_set])


def test_no_two_objects_have_one_name(objects: Objects) -> None:
    names = [(each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for each in objects.all]
    assert len(names) == len(set(names))


def test_names_fit_and_labels_are_texts(objects: Objects) -> None:
    for each in objects.all:
        assert len(each["metadata"]["name"]) <= 63, each["metadata"]["name"]
        labels = each["metadata"].get("labels") or {}
        assert [value for value in labels.values() if not isinstance(value, str)] == []


def test_the_model_cache_is_accepted_by_the_schema_and_by_the_command_line(objects: Objects) -> None:
    crd = yaml.safe_load((CHART / "charts/crds/crds/modelcaches.yaml").read_text())
    for cache in objects.of("ModelCache"):
        seen = Conformity()
        seen.check(cache, crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
        assert (seen.errors, seen.unknown) == ([], [])
        assert manifest_from(cache, "rendered").models


def test_the_manifest_without_an_operator_is_what_init_sync_reads(rendered: Callable[[str], Objects]) -> None:
    config = rendered("standalone").one("ConfigMap", "cache")
    assert config["metadata"]["name"] == "multitalk-modelcache"
    manifest = parse_manifest(config["data"]["modelcache.yaml"], "rendered")
    assert [model.display_name for model in manifest.models] == ["Base model", "Wav2vec model", "MultiTalk weights"]


def test_the_default_models_are_those_of_the_example(rendered: Callable[[str], Objects]) -> None:
    example = yaml.safe_load((ROOT / "examples/multitalk.yaml").read_text())
    cache = rendered("defaults").one("ModelCache")
    assert cache["spec"]["models"] == example["spec"]["models"]
    assert cache["spec"]["volume"] == example["spec"]["volume"]
    assert cache["metadata"]["name"] == example["metadata"]["name"]


def test_selectors_find_the_pods_they_mean(objects: Objects) -> None:
    pods = {component_of(pod): pod["metadata"]["labels"] for name, pod in objects.pods() if "readyz" not in name}
    for each in [*objects.of("Service"), *objects.of("PodDisruptionBudget"), *objects.of("Deployment")]:
        selector = each["spec"]["selector"]
        selector = selector if "matchLabels" in selector else {"matchLabels": selector}
        assert [name for name, labels in pods.items() if selects(selector, labels)] == [component_of(each)]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("operator only", {"ConfigMap", "Deployment", "ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"}),
        ("operator for the cluster", {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}),
        ("cache only", {"ModelCache", "PersistentVolumeClaim", "NetworkPolicy"}),
        ("inference of an existing cache", {"ServiceAccount", "Deployment", "Service", "NetworkPolicy", "Pod"}),
        ("nothing but the definition", set()),
        (
            "standalone",
            {"ConfigMap", "PersistentVolumeClaim", "ServiceAccount", "Deployment", "Service", "NetworkPolicy", "Pod"},
        ),
    ],
)
def test_each_part_can_be_left_out(rendered: Callable[[str], Objects], name: str, kinds: set[str]) -> None:
    policy = "ValidatingAdmissionPolicy"
    always = {"CustomResourceDefinition", "ClusterRole", policy, f"{policy}Binding"}
    found = rendered(name).kinds()
    if name == "operator for the cluster":
        always |= {"ConfigMap", "Deployment", "ServiceAccount", "NetworkPolicy"}
    assert found == kinds | always


def test_versions_of_the_chart_and_of_the_parts_are_one() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"]
    file = ROOT / "VERSION"
    assert not file.is_file() or file.read_text().strip() == chart["version"]


@pytest.mark.parametrize(("given", "made"), [("", None), ("-", ""), ("fast", "fast")])
def test_the_claim_is_of_the_class_that_is_meant(render: Render, given: str, made: str | None) -> None:
    claim = render(cache={"volume": {"storageClassName": given}}).one("PersistentVolumeClaim")
    assert claim["spec"].get("storageClassName") == made


def test_the_peer_server_is_asked_for_with_its_token(rendered: Callable[[str], Objects]) -> None:
    expected = {"enabled": True, "tokenSecret": {"name": "peer-token", "key": "token"}}
    assert rendered("peers").one("ModelCache")["spec"]["peers"] == expected
    assert "peers" not in rendered("defaults").one("ModelCache")["spec"]


@pytest.mark.parametrize("name", ["defaults", "standalone", "everything", "copies"])
def test_the_claim_outlives_the_release_and_its_volume_too(rendered: Callable[[str], Objects], name: str) -> None:
    objects = rendered(name)
    for each in [objects.one("PersistentVolumeClaim"), *objects.of("PersistentVolume")]:
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.parametrize(("given", "made"), [("", ""), ("-", ""), ("disks", "disks")])
def test_the_volume_of_the_copies_and_its_claim_fit_each_other_alone(render: Render, given: str, made: str) -> None:
    """Whatever the default class does: both name the other, and the class."""
    copies = {"perNode": {"enabled": True, "path": "/ssd/models"}, "storageClassName": given}
    objects = render(operator={"perNode": {"enabled": True}}, cache={"volume": copies})
    volume, claim = objects.one("PersistentVolume"), objects.one("PersistentVolumeClaim")
    assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
    assert (volume["spec"]["claimRef"]["namespace"], volume["spec"]["claimRef"]["name"]) == (
        claim["metadata"]["namespace"],
        claim["metadata"]["name"],
    )
    assert claim["spec"]["storageClassName"] == volume["spec"]["storageClassName"] == made
    assert claim["spec"]["accessModes"] == volume["spec"]["accessModes"] == ["ReadWriteMany"]
    assert claim["spec"]["resources"]["requests"] == volume["spec"]["capacity"]


def test_the_volume_of_the_example_by_hand_is_what_the_chart_makes(helm: Helm) -> None:
    by_hand = {each["kind"]: each for each in yaml.safe_load_all((ROOT / "examples/per-node.yaml").read_text())}
    group = by_hand["ModelCache"]["spec"]["volume"]["perNode"]
    volume = {"size": "4Gi", "nodeSelector": {**group["nodeSelector"], "kubernetes.io/os": None}}
    volume |= {"tolerations": group["tolerations"], "perNode": {"enabled": True, "path": "/mnt/ssd/qwen"}}
    values = {"operator": {"perNode": {"enabled": True}}, "cache": {"name": "qwen", "volume": volume}}
    made = {each["kind"]: each for each in helm.render(Release(values, namespace="default"))}
    for kind in ("PersistentVolume", "PersistentVolumeClaim"):
        assert made[kind]["metadata"]["name"] == by_hand[kind]["metadata"]["name"]
        assert made[kind]["spec"] == by_hand[kind]["spec"]
    assert made["ModelCache"]["spec"]["volume"] == by_hand["ModelCache"]["spec"]["volume"]


def test_copies_behind_an_existing_claim_need_nothing_of_the_chart(rendered: Callable[[str], Objects]) -> None:
    objects = rendered("copies behind an existing claim")
    assert {"PersistentVolume", "PersistentVolumeClaim"} & objects.kinds() == set()
    assert objects.one("ModelCache")["spec"]["volume"]["claimName"] == "weights"
    assert "perNode" in objects.one("ModelCache")["spec"]["volume"]


def test_a_claim_whose_size_is_asked_for_is_the_operators(rendered: Callable[[str], Objects], render: Render) -> None:
    objects = rendered("day two")
    assert objects.of("PersistentVolumeClaim") == []
    spec = objects.one("ModelCache")["spec"]
    create = {"size": "auto", "headroom": "20%", "accessModes": ["ReadWriteOnce"], "storageClassName": "fast"}
    assert spec["volume"] == {"claimName": "multitalk-models", "create": create, "prune": True}
    assert (spec["scrub"], spec["updates"]) == ({"every": "168h", "rate": "100Mi"}, {"check": "24h"})
    volumes = [each.get("persistentVolumeClaim") for each in objects.server()["volumes"]]
    assert {"claimName": "multitalk-models"} in volumes
    plain = render(cache={"volume": {"size": "auto"}}).one("ModelCache")["spec"]
    assert plain["volume"]["create"] == {"size": "auto", "accessModes": ["ReadWriteOnce"]}
    assert {"scrub", "updates"}.isdisjoint(plain)


def test_the_claim_of_the_release_says_of_which_cache_it_is(objects: Objects) -> None:
    """By which its deletion is refused while the cache is there."""
    for claim in objects.of("PersistentVolumeClaim"):
        name = objects.one("ModelCache")["metadata"]["name"] if objects.of("ModelCache") else "multitalk"
        assert claim["metadata"]["labels"]["modelcache.dev/cache"] == name


def test_a_claim_that_exists_is_used_and_not_made(rendered: Callable[[str], Objects]) -> None:
    objects = rendered("existing claim")
    assert objects.of("PersistentVolumeClaim") == []
    assert objects.one("ModelCache")["spec"]["volume"] == {"claimName": "weights"}
    volumes = [each.get("persistentVolumeClaim") for each in objects.server()["volumes"]]
    assert {"claimName": "weights"} in volumes
