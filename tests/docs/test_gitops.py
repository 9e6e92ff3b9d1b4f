"""examples/gitops: the health checks, Lua for Argo CD and CEL for Flux, run on one table; files that fit together."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cel
import pytest
import yaml
from lupa import lua51  # type: ignore[import-untyped]  # the Lua of Argo CD

from init_sync.core.manifest import parse_manifest
from modelcache_operator.core import names
from support.helm import Helm, Release

from .pages import ROOT, page
from .test_runbook import words_of_the_operator

Json = dict[str, Any]
FOLDER = ROOT / "examples" / "gitops"
WAVE = "argocd.argoproj.io/sync-wave"
NOT_IN_ARGO_CD = ("coroutine", "debug", "io", "math", "string")
"""Libraries of Lua that Argo CD does not open for checks of users."""


def documents(name: str) -> Iterator[Json]:
    yield from yaml.safe_load_all((FOLDER / name).read_text())


def only(name: str, kind: str) -> Json:
    (found,) = [each for each in documents(name) if each["kind"] == kind]
    return found


def condition(kind: str, true: bool, reason: str = "Reason") -> Json:
    return {"type": kind, "status": str(true), "reason": reason, "message": "a sentence"}


def resource(*conditions: Json, observed: int = 2, **metadata: str) -> Json:
    status = {"observedGeneration": observed, "conditions": list(conditions)}
    return {"metadata": {"name": "qwen", "generation": 2, **metadata}, "status": status}


def kept_up(*, ready: bool = False, working: bool = False, stalled: bool = False, reason: str = "Reason") -> list[Json]:
    conditions = {"Ready": ready, "Reconciling": working, "Stalled": stalled}
    return [condition(kind, true, reason) for kind, true in {"Complete": ready, **conditions}.items()]


@dataclass(frozen=True, slots=True)
class Row:
    """A resource and what each tool makes of it; Flux waits for what it cannot evaluate (Unknown)."""

    resource: Json
    argo_cd: str
    flux: str


TABLE = {
    "no status yet": Row({"metadata": {"generation": 1}}, "Progressing", "Unknown"),
    "a status without conditions": Row(
        {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}}, "Progressing", "InProgress"
    ),
    "Pending": Row(resource(*kept_up(working=True, reason="ClaimPending")), "Progressing", "InProgress"),
    "Syncing": Row(resource(*kept_up(working=True, reason="Syncing")), "Progressing", "InProgress"),
    "Ready": Row(resource(*kept_up(ready=True, reason="AllModelsVerified")), "Healthy", "Current"),
    "Ready, and copies are missing on other nodes": Row(
        resource(*kept_up(ready=True, working=True, reason="AllModelsVerified")), "Healthy", "Current"
    ),
    "Degraded": Row(resource(*kept_up(working=True, reason="SizeMismatch")), "Progressing", "InProgress"),
    "Failed, and tried again": Row(
        resource(*kept_up(working=True, reason="HubUnreachable")), "Progressing", "InProgress"
    ),
    "Failed, and stalled": Row(resource(*kept_up(stalled=True, reason="RepoNotFound")), "Degraded", "Failed"),
    "Ready at an older generation": Row(resource(*kept_up(ready=True), observed=1), "Progressing", "InProgress"),
    "stalled at an older generation": Row(resource(*kept_up(stalled=True), observed=1), "Progressing", "InProgress"),
    "Ready, being deleted": Row(
        resource(*kept_up(ready=True), deletionTimestamp="2026-01-01T00:00:00Z"), "Progressing", "InProgress"
    ),
    "no pod syncs": Row(resource(*kept_up(reason="WaitingForPod")), "Suspended", "InProgress"),
    "only gated pods": Row(resource(*kept_up(reason="PodsGated")), "Suspended", "InProgress"),
    "of version 0.1.0": Row(resource(condition("Complete", true=True)), "Progressing", "InProgress"),
}
ROWS = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)


def lua_check() -> str:
    data = only("argocd/health.yaml", "ConfigMap")["data"]
    (key,) = data
    assert key == f"resource.customizations.health.{names.GROUP}_{names.KIND}"
    return str(data[key])


def argo_cd(script: str, subject: Json) -> tuple[str, str]:
    lua = lua51.LuaRuntime(register_eval=False, register_builtins=False)
    for library in NOT_IN_ARGO_CD:
        lua.globals()[library] = None
    lua.globals()["obj"] = lua.table_from(subject, recursive=True)
    health = lua.execute(script)
    return str(health["status"]), str(health["message"])


def expressions() -> Json:
    found = [each for each in documents("flux/qwen.yaml") if "healthCheckExprs" in each.get("spec", {})]
    ((check,),) = [each["spec"]["healthCheckExprs"] for each in found]
    assert (check.pop("apiVersion"), check.pop("kind")) == (names.API_VERSION, names.KIND)
    return dict(check)


def flux(checks: Json, subject: Json) -> str:
    """As its controllers evaluate them: the generation first, then the expressions in this order."""
    observed = subject.get("status", {}).get("observedGeneration")
    if observed is not None and observed != subject["metadata"]["generation"]:
        return "InProgress"
    try:
        for name, outcome in (("inProgress", "InProgress"), ("failed", "Failed"), ("current", "Current")):
            if cel.evaluate(checks[name], subject):
                return outcome
    except RuntimeError:  # a field that is not there
        return "Unknown"
    return "InProgress"


@ROWS
def test_argo_cd_judges_a_cache(row: Row) -> None:
    status, message = argo_cd(lua_check(), row.resource)
    assert status == row.argo_cd
    assert message


@ROWS
def test_flux_judges_a_cache(row: Row) -> None:
    assert flux(expressions(), row.resource) == row.flux


def test_the_message_in_argo_cd_has_reason_and_sentence() -> None:
    assert argo_cd(lua_check(), TABLE["Failed, and stalled"].resource)[1] == "RepoNotFound: a sentence"


def test_the_reasons_in_the_health_check_are_the_operators() -> None:
    known = {word for word in words_of_the_operator() if re.search(rf"\b{word} = true", lua_check())}
    assert known == {"WaitingForPod", "PodsGated", "ClaimNotMounted", "JobSuspended"}
    assert lua_check().count(" = true") == len(known)


def test_both_tools_install_the_operator_alone_and_alike(helm: Helm) -> None:
    argo = only("argocd/operator.yaml", "Application")["spec"]["source"]
    release = only("flux/operator.yaml", "HelmRelease")["spec"]
    assert argo["helm"]["valuesObject"] == release["values"]
    assert argo["path"] == release["chart"]["spec"]["chart"] == "charts/modelcache"
    kinds = {each["kind"] for each in helm.render(Release(release["values"]))}
    assert {"CustomResourceDefinition", "Deployment"} <= kinds
    assert not {names.KIND, "PersistentVolumeClaim"} & kinds


def test_paths_and_dependencies_in_the_examples_exist() -> None:
    assert (ROOT / only("argocd/qwen.yaml", "Application")["spec"]["source"]["path"]).is_dir()
    made = [each for each in documents("flux/qwen.yaml") if each["kind"] == "Kustomization"]
    assert all((ROOT / each["spec"]["path"]).is_dir() for each in made)
    assert [each["spec"].get("dependsOn", []) for each in made] == [[], [{"name": made[0]["metadata"]["name"]}]]
    source = only("flux/operator.yaml", "GitRepository")["metadata"]["name"]
    assert {each["spec"]["sourceRef"]["name"] for each in made} == {source}


def test_cache_and_server_are_those_of_the_example_for_vllm_in_two_waves() -> None:
    parts = [only("qwen/cache/modelcache.yaml", names.KIND), only("qwen/server/deployment.yaml", "Deployment")]
    parse_manifest((FOLDER / "qwen/cache/modelcache.yaml").read_text(), "modelcache.yaml")
    assert [part["metadata"]["annotations"].pop(WAVE) for part in parts] == ["0", "1"]
    bare = copy.deepcopy(parts)
    for part in bare:
        assert part["metadata"].pop("annotations") == {}
    assert bare == list(yaml.safe_load_all((ROOT / "examples" / "vllm-written-out.yaml").read_text()))


def test_the_page_links_to_every_file() -> None:
    files = {path.relative_to(ROOT) for path in FOLDER.rglob("*.yaml")}
    linked = {Path(link.removeprefix("../")) for link in page("docs/gitops.md").links if link.startswith("../examples")}
    assert files == linked
