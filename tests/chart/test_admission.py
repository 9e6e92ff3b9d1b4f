"""The policies of the label: when they are installed, for which namespaces, and what they render to.

What they do to a pod is in tests/admission, on a real API server.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from chart.objects import Objects
from chart.sets import MUTATING
from chart.test_golden import GOLDEN, plain
from support.helm import CHART, Helm, HelmRefused, Release

Json = dict[str, Any]
Rendered = Callable[[str], Objects]
TEMPLATES = ("joinpolicy", "refusalpolicy")
NEW, OLD = MUTATING, ()


@pytest.mark.parametrize(
    ("values", "apis", "installed"),
    [
        ({}, NEW, True),
        ({}, OLD, False),
        ({"admission": {"enabled": False}}, NEW, False),
        ({"admission": {"enabled": True}}, NEW, True),
        ({"crds": {"install": False}}, NEW, False),
        ({"crds": {"install": False}, "admission": {"enabled": True}}, NEW, True),
        ({"operator": {"enabled": False}}, NEW, False),
        ({"operator": {"enabled": False}, "admission": {"enabled": True}}, OLD, False),
    ],
    ids=str,
)
def test_they_are_installed_by_an_administrator_with_an_operator_where_the_api_server_has_them(
    helm: Helm, values: Json, apis: tuple[str, ...], installed: bool
) -> None:
    objects = Objects(tuple(helm.render(Release(values, api_versions=apis))))
    found = {each["metadata"]["name"] for each in objects.all if "-label" in each["metadata"]["name"]}
    names = {f"models.multitalk-modelcache-label{part}" for part in ("", "-refusal")}
    assert found == (names if installed else set())


def test_on_an_api_server_without_them_they_are_refused_with_the_way_out(helm: Helm) -> None:
    with pytest.raises(HelmRefused, match=r"admission.enabled=true needs MutatingAdmissionPolicy .* Set auto or false"):
        helm.render(Release({"admission": {"enabled": True}}))


@pytest.mark.parametrize(
    ("name", "namespaces"),
    [
        ("label", ["models"]),
        ("label, for three namespaces", ["models", "team-a", "team-b"]),
        ("label, for the cluster", None),
    ],
)
def test_they_act_in_the_namespaces_that_the_operator_serves(
    rendered: Rendered, name: str, namespaces: list[str] | None
) -> None:
    bindings = [each for each in rendered(name).all if each["kind"].endswith("PolicyBinding")]
    about = [each["spec"] for each in bindings if "-label" in each["metadata"]["name"]]
    assert len(about) == 2
    for spec in about:
        if namespaces is None:
            assert "matchResources" not in spec
        else:
            (term,) = spec["matchResources"]["namespaceSelector"]["matchExpressions"]
            assert (term["key"], term["values"]) == ("kubernetes.io/metadata.name", namespaces)


def test_the_policies_are_those_of_the_golden_file(helm: Helm) -> None:
    chosen = [f"--show-only=templates/admission/{name}.yaml" for name in TEMPLATES]
    apis = [f"--api-versions={each}" for each in MUTATING]
    text = plain(helm.run("template", "multitalk", str(CHART), "--namespace", "models", *chosen, *apis, values={}))
    path = GOLDEN / "label.yaml"
    if os.environ.get("MODELCACHE_UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), "if that is meant, run again with MODELCACHE_UPDATE_GOLDEN=1"
