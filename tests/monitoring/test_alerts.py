"""The alerts: each fires and does not fire when it should, says what to do, and has an entry in the runbook.

Firing is tried by ``promtool test rules`` on the files of ``rules/``, where promtool is on the PATH or PROMTOOL names
it (Debian's package prometheus has it).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.sources import Chart
from support.helm import CHART, HelmRefused

Json = dict[str, Any]
CASES = Path(__file__).parent / "rules"
ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs/operations.md"
DOCUMENT = ROOT / "docs/monitoring.md"
NAMES = (
    *("ModelCacheSyncStalled", "ModelCacheChecksumMismatch"),
    *("ModelCacheDamaged", "ModelCacheNotVerified", "ModelCacheUpdateAvailable", "ModelCachePeerFileChanged"),
    *("ModelCacheTokenRefused", "ModelCacheVolumeTooSmall"),
    *("ModelCacheGateWaiting", "ModelCacheDegraded", "ModelCacheFailed", "ModelCacheCopiesBehind"),
    *("ModelCacheOperatorDown", "ModelCacheNamespaceNotServed", "ModelCacheLeadTimeFailed"),
    *("MultiTalkNotReady", "MultiTalkQueueFull", "MultiTalkErrorRate"),
)


@pytest.fixture
def folder(tmp_path: Path, chart: Chart) -> Path:
    """The rules that the chart makes, with and without their texts, and the cases beside them."""
    groups = chart.groups()
    (tmp_path / "rules-with-texts.yaml").write_text(yaml.safe_dump({"groups": groups}))
    bare = json.loads(json.dumps(groups))
    for group in bare:
        for rule in group["rules"]:
            del rule["annotations"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": bare}))
    for path in CASES.glob("*.yaml"):
        shutil.copy(path, tmp_path)
    return tmp_path


def _promtool(promtool: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *arguments], cwd=folder, capture_output=True, text=True, timeout=60)


def test_promtool_accepts_the_rules(promtool: str, folder: Path) -> None:
    done = _promtool(promtool, folder, "check", "rules", "--lint=all", "--lint-fatal", "rules-with-texts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", sorted(path.name for path in CASES.glob("*.yaml")))
def test_alerts_fire_when_they_should(promtool: str, folder: Path, case: str) -> None:
    done = _promtool(promtool, folder, "test", "rules", case)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_does_not_hold_is_found(promtool: str, folder: Path) -> None:
    path = folder / "caches.yaml"
    path.write_text(path.read_text().replace("cache: stuck", "cache: moving"))
    done = _promtool(promtool, folder, "test", "rules", "caches.yaml")
    assert done.returncode == 1
    assert "ModelCacheSyncStalled" in done.stdout + done.stderr


def test_each_alert_has_a_case_of_firing_and_one_of_not_firing() -> None:
    tried: dict[str, set[bool]] = {}
    for path in CASES.glob("*.yaml"):
        for test in yaml.safe_load(path.read_text())["tests"]:
            for case in test["alert_rule_test"]:
                tried.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert tried == {name: {True, False} for name in NAMES}


def test_the_alerts_are_those_that_are_promised(chart: Chart) -> None:
    assert {rule["alert"] for rule in chart.alerts()} == set(NAMES)


def test_the_values_know_the_alerts_that_can_be_left_out() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    rules = schema["properties"]["monitoring"]["properties"]["rules"]["properties"]
    assert rules["disabled"]["items"]["enum"] == list(NAMES)


def test_every_alert_says_how_bad_what_and_where_to_read_on(chart: Chart) -> None:
    for rule in chart.alerts():
        name, texts = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in ("info", "warning", "critical"), name
        assert set(texts) == {"summary", "description", "runbook_url"}, name
        assert texts["runbook_url"] == f"docs/operations.md#{name.lower()}"
        assert "${" not in json.dumps(rule), f"{name} has a word that no value stands for"
        assert len(texts["summary"]) < 100, name
        assert texts["description"].endswith("."), name


@pytest.mark.parametrize("name", NAMES)
def test_the_runbook_has_an_entry_for_each_alert(name: str) -> None:
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(), re.MULTILINE) if RUNBOOK.exists() else []
    assert name in headings


# What values change


def _named(chart: Chart, **values: Any) -> dict[str, Json]:
    return {rule["alert"]: rule for rule in chart.alerts(**values)}


def _rules(**changes: Any) -> Json:
    return {"rules": changes}


def test_without_the_kind_in_the_cluster_there_are_no_rules_unless_asked_for(chart: Chart) -> None:
    assert chart.objects("PrometheusRule", apis=()) == []
    assert chart.objects("PrometheusRule", {"monitoring": _rules(enabled=True)}, apis=())
    assert chart.groups(monitoring=_rules(enabled=False)) == []


def test_a_release_watches_what_it_installs(chart: Chart) -> None:
    without_inference = _named(chart, inference={"enabled": False})
    assert {name for name in NAMES if name.startswith("ModelCache")} == set(without_inference)
    without_operator = _named(chart, operator={"enabled": False})
    assert {name for name in NAMES if name.startswith("MultiTalk")} == set(without_operator)
    assert chart.groups(inference={"enabled": False}, operator={"enabled": False}) == []


def test_the_namespaces_that_are_watched_are_those_that_the_operator_serves(chart: Chart) -> None:
    some = _named(chart, operator={"namespaces": ["models", "blue"]})
    assert 'namespace=~"models|blue"' in some["ModelCacheFailed"]["expr"]
    assert 'namespace="models"' in some["ModelCacheOperatorDown"]["expr"]
    everything = _named(chart, operator={"allNamespaces": True})
    assert 'namespace=~".+"' in everything["ModelCacheFailed"]["expr"]


def test_thresholds_reach_the_rules(chart: Chart) -> None:
    chosen = {"failedPercent": 50, "gateWaitSeconds": 86_400_000, "failedFor": "1h30m"}
    rules = chart.alerts(monitoring=_rules(thresholds=chosen))
    waits = [rule["expr"] for rule in rules if rule["alert"] == "ModelCacheGateWaiting"]
    assert any("> 86400000\n" in each for each in waits)
    found = {rule["alert"]: rule for rule in rules}
    assert "> 50 / 100" in found["MultiTalkErrorRate"]["expr"]
    assert found["ModelCacheFailed"]["for"] == "1h30m"


def test_alerts_can_be_left_out(chart: Chart) -> None:
    left_out = {"ModelCacheGateWaiting", "MultiTalkQueueFull"}
    found = _named(chart, monitoring=_rules(disabled=sorted(left_out)))
    assert set(NAMES) - set(found) == left_out


def test_labels_and_the_runbooks_place_can_be_chosen(chart: Chart) -> None:
    labels = {"team": "media", "severity": "none"}
    values = _rules(alertLabels=labels, labels={"release": "prometheus"}, runbookUrl="https://runbooks.example/mc")
    failed = _named(chart, monitoring=values)["ModelCacheFailed"]
    assert failed["labels"] == {"severity": "critical", "team": "media"}
    assert failed["annotations"]["runbook_url"] == "https://runbooks.example/mc#modelcachefailed"
    (made,) = chart.objects("PrometheusRule", {"monitoring": values})
    assert made["metadata"]["labels"]["release"] == "prometheus"


REFUSED: dict[str, Json] = {
    "/monitoring/rules/thresholds/failedFor": {"rules": {"thresholds": {"failedFor": "ten minutes"}}},
    "/monitoring/rules/thresholds/notReadyFor": {"rules": {"thresholds": {"notReadyFor": "5m1h"}}},
    "/monitoring/rules/thresholds/failedPercent": {"rules": {"thresholds": {"failedPercent": 101}}},
    "additional properties 'stalled' not allowed": {"rules": {"thresholds": {"stalled": "5m"}}},
    "/monitoring/rules/disabled/0": {"rules": {"disabled": ["ModelCacheStalled"]}},
    "/monitoring/rules/runbookUrl": {"rules": {"runbookUrl": ""}},
    "/monitoring/dashboards/enabled": {"dashboards": {"enabled": "yes"}},
}


@pytest.mark.parametrize("complaint", REFUSED)
def test_a_wrong_value_is_refused_by_its_name(chart: Chart, complaint: str) -> None:
    with pytest.raises(HelmRefused, match=re.escape(complaint)):
        chart.groups(monitoring=REFUSED[complaint])


# The documentation


def test_the_documentation_lists_each_alert_with_its_severity(chart: Chart) -> None:
    row = re.compile(r"^\| (\w+) \| (info|warning|critical) \|.*\| (`.*)?\|$", re.MULTILINE)
    listed = sorted((name, severity) for name, severity, _ in row.findall(DOCUMENT.read_text()))
    assert listed == sorted((rule["alert"], rule["labels"]["severity"]) for rule in chart.alerts())


def test_the_documentation_names_each_threshold() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    thresholds = values["monitoring"]["rules"]["thresholds"]
    assert [name for name in thresholds if f"`{name}`" not in DOCUMENT.read_text()] == []
