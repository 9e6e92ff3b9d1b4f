"""The alerts: each fires and does not fire when it should, says what to do, and has an entry in the runbook.

Firing is tried by ``promtool test rules`` on the files of ``rules/``, where promtool is on the PATH or PROMTOOL names
it (Debian's package prometheus has it).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring import sources

Json = dict[str, Any]
CASES = Path(__file__).parent / "rules"
ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs/operations.md"
NAMES = (
    *("ModelCacheSyncStalled", "ModelCacheChecksumMismatch", "ModelCacheTokenRefused", "ModelCacheVolumeTooSmall"),
    *("ModelCacheGateWaiting", "ModelCacheDegraded", "ModelCacheFailed", "ModelCacheOperatorDown"),
    *("MultiTalkNotReady", "MultiTalkQueueFull", "MultiTalkErrorRate"),
)


@pytest.fixture
def promtool() -> str:
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if not found:
        pytest.skip("no promtool: put it on the PATH or set PROMTOOL=/path/to/promtool")
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The rules that the chart makes, with and without their texts, and the cases beside them."""
    groups = sources.groups()
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


def test_the_alerts_are_those_that_are_promised() -> None:
    assert {rule["alert"] for rule in sources.alerts()} == set(NAMES)


def test_the_values_know_the_alerts_that_can_be_left_out() -> None:
    schema = json.loads((sources.CHART / "values.schema.json").read_text())
    rules = schema["properties"]["monitoring"]["properties"]["rules"]["properties"]
    assert rules["disabled"]["items"]["enum"] == list(NAMES)


def test_every_alert_says_how_bad_what_and_where_to_read_on() -> None:
    for rule in sources.alerts():
        name, texts = rule["alert"], rule["annotations"]
        assert rule["labels"]["severity"] in ("warning", "critical"), name
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


def _named(*flags: str) -> dict[str, Json]:
    return {rule["alert"]: rule for rule in sources.alerts(*flags)}


def test_without_the_kind_in_the_cluster_there_are_no_rules_unless_asked_for() -> None:
    template = "templates/prometheusrule.yaml"
    assert sources.rendered(template) == ()
    assert sources.rendered(template, "--set", "monitoring.rules.enabled=true")
    assert sources.groups("--set", "monitoring.rules.enabled=false") == []


def test_a_release_watches_what_it_installs() -> None:
    without_inference = _named("--set", "inference.enabled=false")
    assert {name for name in NAMES if name.startswith("ModelCache")} == set(without_inference)
    without_operator = _named("--set", "operator.enabled=false")
    assert {name for name in NAMES if name.startswith("MultiTalk")} == set(without_operator)


def test_the_namespaces_that_are_watched_are_those_that_the_operator_serves() -> None:
    some = _named("--set", "operator.namespaces={models,blue}")
    assert 'namespace=~"models|blue"' in some["ModelCacheFailed"]["expr"]
    assert 'namespace="models"' in some["ModelCacheOperatorDown"]["expr"]
    everything = _named("--set", "operator.allNamespaces=true")
    assert 'namespace=~".+"' in everything["ModelCacheFailed"]["expr"]


def test_thresholds_reach_the_rules() -> None:
    flags = [f"--set=monitoring.rules.thresholds.{each}" for each in ("failedPercent=50", "gateWaitSeconds=86400000")]
    found = _named(*flags, "--set=monitoring.rules.thresholds.failedFor=1h30m")
    assert "> 50 / 100" in found["MultiTalkErrorRate"]["expr"]
    assert found["ModelCacheFailed"]["for"] == "1h30m"
    waits = [rule["expr"] for rule in sources.alerts(*flags) if rule["alert"] == "ModelCacheGateWaiting"]
    assert any("> 86400000\n" in each for each in waits)


def test_labels_texts_and_alerts_can_be_chosen() -> None:
    found = _named(
        "--set=monitoring.rules.alertLabels.team=media,monitoring.rules.alertLabels.severity=none",
        "--set=monitoring.rules.disabled={ModelCacheGateWaiting,MultiTalkQueueFull}",
        "--set=monitoring.rules.runbookUrl=https://runbooks.example/modelcache",
        "--set=monitoring.rules.labels.release=prometheus",
    )
    assert set(NAMES) - set(found) == {"ModelCacheGateWaiting", "MultiTalkQueueFull"}
    failed = found["ModelCacheFailed"]
    assert failed["labels"] == {"severity": "critical", "team": "media"}
    assert failed["annotations"]["runbook_url"] == "https://runbooks.example/modelcache#modelcachefailed"
    flags = ("--set=monitoring.rules.enabled=true", "--set=monitoring.rules.labels.release=prometheus")
    (made,) = sources.rendered("templates/prometheusrule.yaml", *flags)
    assert made["metadata"]["labels"]["release"] == "prometheus"


REFUSED = {
    "monitoring.rules.thresholds.failedFor=ten": "/monitoring/rules/thresholds/failedFor",
    "monitoring.rules.thresholds.failedPercent=101": "/monitoring/rules/thresholds/failedPercent",
    "monitoring.rules.thresholds.stalled=5m": "'stalled' not allowed",
    "monitoring.rules.disabled={ModelCacheStalled}": "/monitoring/rules/disabled/0",
    "monitoring.rules.runbookUrl=": "/monitoring/rules/runbookUrl",
    "monitoring.dashboards.enabled=yes": "/monitoring/dashboards/enabled",
}


@pytest.mark.parametrize("value", REFUSED)
def test_a_wrong_value_is_refused_by_its_name(value: str) -> None:
    with pytest.raises(AssertionError) as refusal:
        sources.rendered("templates/prometheusrule.yaml", "--set", value)
    assert REFUSED[value] in str(refusal.value)
