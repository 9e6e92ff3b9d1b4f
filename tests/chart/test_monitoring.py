"""Monitors where the cluster has the kinds, annotations where it has not, and never both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chart.objects import Json, Objects, component_of, selects
from init_sync.core.settings import SYNC_PORT
from modelcache_operator.core import names

Rendered = Callable[[str], Objects]


def scraped(objects: Objects) -> dict[str, str]:
    """Port by component, of pods that carry the annotations."""
    found = {}
    for name, pod in objects.pods():
        annotations = pod["metadata"].get("annotations", {})
        if "readyz" not in name and annotations.get("prometheus.io/scrape") == "true":
            found[component_of(pod)] = annotations["prometheus.io/port"]
    return found


def endpoint(monitor: Json) -> Any:
    (found,) = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
    return found


def test_pods_are_annotated_where_there_are_no_monitors(rendered: Rendered) -> None:
    objects = rendered("defaults")
    assert scraped(objects) == {"operator": "8080", "inference": "8000"}
    assert objects.job()["annotations"]["prometheus.io/port"] == str(SYNC_PORT)
    assert not {"PodMonitor", "ServiceMonitor"} & objects.kinds()


@pytest.mark.parametrize("name", ["monitors", "monitors for the cluster"])
def test_monitors_take_the_place_of_annotations(rendered: Rendered, name: str) -> None:
    objects = rendered(name)
    assert scraped(objects) == {}
    assert (len(objects.of("PodMonitor")), len(objects.of("ServiceMonitor"))) == (2, 1)


def test_nothing_is_watched_where_that_is_the_wish(rendered: Rendered) -> None:
    objects = rendered("not watched")
    assert scraped(objects) == {}
    assert "annotations" not in objects.job()
    assert not {"PodMonitor", "ServiceMonitor", "NetworkPolicy"} & objects.kinds()


def test_monitors_select_pods_and_ports_that_there_are(rendered: Rendered) -> None:
    objects = rendered("monitors")
    operator, sync = objects.one("PodMonitor", "operator"), objects.one("PodMonitor", "sync")
    pods = {component_of(pod): pod for _, pod in objects.pods()}
    assert selects(operator["spec"]["selector"], pods["operator"]["metadata"]["labels"])
    assert endpoint(operator)["port"] in {port["name"] for port in pods["operator"]["spec"]["containers"][0]["ports"]}
    assert selects(sync["spec"]["selector"], {names.GENERATION_LABEL: "1"})
    assert not selects(sync["spec"]["selector"], pods["inference"]["metadata"]["labels"])
    assert endpoint(sync)["port"] == "metrics"
    service, monitor = objects.one("Service"), objects.one("ServiceMonitor")
    assert selects(monitor["spec"]["selector"], service["metadata"]["labels"])
    assert endpoint(monitor)["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_peer_servers_are_watched_where_there_may_be_any(rendered: Rendered) -> None:
    server, monitor = rendered("peers").peer_server(), rendered("peers").one("PodMonitor", "peers")
    assert selects(monitor["spec"]["selector"], server["metadata"]["labels"])
    assert endpoint(monitor)["port"] in {port["name"] for port in server["spec"]["containers"][0]["ports"]}
    assert monitor["spec"]["namespaceSelector"] == {"matchNames": ["models"]}
    assert not selects(rendered("peers").one("PodMonitor", "sync")["spec"]["selector"], server["metadata"]["labels"])
    assert "peers" not in {component_of(each) for each in rendered("monitors").of("PodMonitor")}


def test_the_operators_labels_of_a_cache_stay(rendered: Rendered) -> None:
    assert endpoint(rendered("monitors").one("PodMonitor", "operator"))["honorLabels"] is True


def test_monitors_carry_what_prometheus_selects_by(rendered: Rendered) -> None:
    objects = rendered("monitors for the cluster")
    for monitor in [*objects.of("PodMonitor"), *objects.of("ServiceMonitor")]:
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        assert endpoint(monitor)["interval"] == "15s"
    assert objects.one("PodMonitor", "sync")["spec"]["namespaceSelector"] == {"any": True}


def test_labels_of_alerts_are_texts_whatever_the_namespace_is_called(rendered: Rendered) -> None:
    """The operator of Prometheus refuses a rule with `namespace: true`."""
    groups = rendered("true").one("PrometheusRule")["spec"]["groups"]
    labels = [each["labels"] for group in groups for each in group["rules"]]
    assert {"severity": "critical", "namespace": "on"} in labels
    assert all(isinstance(value, str) for each in labels for value in each.values())
