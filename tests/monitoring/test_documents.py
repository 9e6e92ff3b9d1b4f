"""docs/monitoring.md: what is there to copy is accepted by Prometheus and fits the pods of the chart."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from docs.pages import page
from modelcache_operator.core import names, peer_objects
from monitoring.exported import Exported
from monitoring.promql import selectors
from support.helm import Helm, Release
from support.pure_cluster import PureCluster

Json = dict[str, Any]
OF_OTHERS = {"kube_pod_status_reason", "left"}
COMPONENT = "app.kubernetes.io/component"


def blocks(language: str) -> list[str]:
    return [block.text for block in page("docs/monitoring.md").blocks if block.language == language]


@pytest.fixture(scope="module")
def scraping() -> str:
    (found,) = [text for text in blocks("yaml") if "scrape_configs:" in text]
    return found


def meta_labels(pod: Json, port: str) -> dict[str, str]:
    """Those of Prometheus' service discovery that the configuration uses."""
    found = {"__meta_kubernetes_pod_container_port_name": port, "__meta_kubernetes_pod_phase": "Running"}
    for name, value in pod["metadata"]["labels"].items():
        safe = re.sub(r"\W", "_", name)
        found |= {f"__meta_kubernetes_pod_label_{safe}": value, f"__meta_kubernetes_pod_labelpresent_{safe}": "true"}
    return found


def kept(rules: list[Json], labels: dict[str, str]) -> bool:
    for rule in rules:
        if rule.get("action") in ("keep", "drop"):
            value = ";".join(labels.get(name, "") for name in rule["source_labels"])
            if bool(re.fullmatch(rule["regex"], value)) != (rule["action"] == "keep"):
                return False
    return True


def ports(pod: Json) -> Iterator[str]:
    for container in pod["spec"]["containers"]:
        yield from (port["name"] for port in container.get("ports", ()))


def pods(helm: Helm) -> Iterator[Json]:
    for each in helm.render(Release()):
        if each["kind"] == "Deployment":
            yield each["spec"]["template"]
    labels = {**names.MANAGED_BY, names.CACHE_LABEL: "multitalk", names.GENERATION_LABEL: "1"}
    yield {"metadata": {"labels": labels}, "spec": {"containers": [{"ports": [{"name": "metrics"}]}]}}
    yield peer_objects.pod(PureCluster(peers={"enabled": True}).parsed(), "image", "")


def test_promtool_accepts_the_scrape_configuration(promtool: str, scraping: str, tmp_path: Path) -> None:
    """Without the discovery, which Debian leaves out of its promtool."""
    config = yaml.safe_load(scraping)
    assert [job.pop("kubernetes_sd_configs") for job in config["scrape_configs"]] == [[{"role": "pod"}]] * 4
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    done = subprocess.run(
        [promtool, "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_job_scrapes_one_port_of_its_pods(scraping: str, helm: Helm) -> None:
    found = {
        (job["job_name"], pod["metadata"]["labels"].get(COMPONENT, "of the operator"), port)
        for job in yaml.safe_load(scraping)["scrape_configs"]
        for pod in pods(helm)
        for port in ports(pod)
        if kept(job["relabel_configs"], meta_labels(pod, port))
    }
    assert found == {
        ("modelcache-operator", "operator", "metrics"),
        ("modelcache-sync", "of the operator", "metrics"),
        ("modelcache-peers", "of the operator", "peers"),
        ("multitalk", "inference", "http"),
    }


def test_only_the_operator_sets_namespaces_of_its_own(scraping: str) -> None:
    jobs = yaml.safe_load(scraping)["scrape_configs"]
    assert [job["job_name"] for job in jobs if job.get("honor_labels")] == ["modelcache-operator"]


def test_exclusions_for_the_alerts_of_others_can_be_evaluated(exported: Exported) -> None:
    exclusions = blocks("promql")
    assert exclusions
    for text in exclusions:
        used = {each.name for each in selectors(promql_parser.parse(f"left {text}"))}
        assert used <= exported.keys() | OF_OTHERS, text
