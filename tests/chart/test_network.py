"""Who may talk to whom: policies select every pod, and let through what the parts need."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from chart.conftest import Render
from chart.objects import Json, Objects, component_of, selects
from modelcache_operator.core import names

Rendered = Callable[[str], Objects]
SYNC_POD = {names.CACHE_LABEL: "multitalk", names.GENERATION_LABEL: "1", names.ATTEMPT_LABEL: "1"}


TASK_LABEL = "modelcache.dev/task"


def policy_of(objects: Objects, labels: Json) -> Json:
    """The one policy that selects a pod with these labels."""
    found = [each for each in objects.of("NetworkPolicy") if selects(each["spec"]["podSelector"], labels)]
    assert len(found) == 1, f"{len(found)} policies for {labels}"
    spec: Json = found[0]["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    return spec


def policy(objects: Objects, component: str) -> Json:
    labels = {component_of(pod): pod["metadata"]["labels"] for _, pod in objects.pods()}
    return policy_of(objects, labels[component])


def ports(rules: list[Json], protocol: str = "TCP") -> set[Any]:
    return {port["port"] for rule in rules for port in rule["ports"] if port["protocol"] == protocol}


def rule_to(rules: list[Json], port: Any) -> Json:
    (found,) = (rule for rule in rules if port in {each["port"] for each in rule["ports"]})
    return found


def test_the_operator_reaches_names_the_api_and_sync_containers(rendered: Rendered) -> None:
    spec = policy(rendered("defaults"), "operator")
    assert ports(spec["egress"]) == {53, 5353, 443, 6443, 9464}
    assert ports(spec["egress"], "UDP") == {53, 5353}
    (peer,) = rule_to(spec["egress"], 9464)["to"]
    assert selects(peer["podSelector"], SYNC_POD)
    assert peer["namespaceSelector"]["matchExpressions"][0]["values"] == ["models"]
    assert ports(spec["ingress"]) == {8080}


def test_an_operator_of_the_cluster_reaches_sync_containers_everywhere(rendered: Rendered) -> None:
    spec = policy(rendered("operator for the cluster"), "operator")
    (peer,) = rule_to(spec["egress"], 9464)["to"]
    assert peer["namespaceSelector"] == {}


def test_sync_jobs_reach_names_and_the_hub_and_are_reached_by_the_operator(rendered: Rendered) -> None:
    spec = policy_of(rendered("defaults"), SYNC_POD)
    assert ports(spec["egress"]) == {53, 5353, 443}
    operator = next(pod for name, pod in rendered("defaults").pods() if name.endswith("-operator"))
    asked = [rule for rule in spec["ingress"] if "podSelector" in rule["from"][0]]
    assert selects(asked[0]["from"][0]["podSelector"], operator["metadata"]["labels"])
    assert ports(spec["ingress"]) == {9464}


def test_a_job_that_asks_what_a_sync_would_fetch_reaches_the_hub(rendered: Rendered) -> None:
    assert policy_of(rendered("day two"), {**SYNC_POD, TASK_LABEL: "plan"}) == policy_of(rendered("day two"), SYNC_POD)


@pytest.mark.parametrize("task", ["scrub", "prune"])
def test_a_job_that_needs_the_volume_alone_reaches_nobody(rendered: Rendered, task: str) -> None:
    spec = policy_of(rendered("day two"), {**SYNC_POD, TASK_LABEL: task})
    assert "egress" not in spec
    assert spec["ingress"] == policy_of(rendered("day two"), SYNC_POD)["ingress"]


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://hub.example:8080", {443, 8080}),
        ("http://hub.example", {443, 80}),
        ("https://hub.example/a", {443}),
        ("http://[fd00::1]:81/", {443, 81}),
    ],
)
def test_the_port_of_a_mirror_is_let_through(render: Render, endpoint: str, expected: set[int]) -> None:
    spec = policy_of(render(sync={"endpoint": endpoint}), SYNC_POD)
    assert ports(spec["egress"]) - {53, 5353} == expected


PRIVATE = ["10.9.8.7", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "fd00::1", "fe80::1"]


def allows(rule: Json, address: str) -> bool:
    """Whether a rule's blocks contain an address."""
    found = ip_address(address)
    blocks = [peer["ipBlock"] for peer in rule["to"] if "ipBlock" in peer]
    return any(
        found in ip_network(block["cidr"]) and not any(found in ip_network(each) for each in block["except"])
        for block in blocks
    )


def test_sync_jobs_reach_public_addresses_alone_unless_there_is_a_mirror(rendered: Rendered, render: Render) -> None:
    rule = rule_to(policy_of(rendered("defaults"), SYNC_POD)["egress"], 443)
    assert [address for address in PRIVATE if allows(rule, address)] == []
    assert allows(rule, "18.155.1.2")
    assert allows(rule, "2600:1f18::1")
    for values in ({"sync": {"endpoint": "https://mirror"}}, {"networkPolicy": {"hubPorts": [3128]}}):
        rules = policy_of(render(**values), SYNC_POD)["egress"]
        assert any("to" not in each for each in rules), "a mirror or proxy is often inside: hubTo says where"


def test_names_are_asked_of_the_clusters_own_servers_alone(objects: Objects) -> None:
    for each in objects.of("NetworkPolicy"):
        for rule in each["spec"].get("egress", ()):
            if 53 in {port["port"] for port in rule.get("ports", ())}:
                namespaces = rule["to"][0]["namespaceSelector"]["matchExpressions"][0]["values"]
                assert namespaces == ["kube-system", "openshift-dns"]


@pytest.mark.parametrize(
    ("values", "namespace"),
    [
        ({}, {"matchLabels": {"kubernetes.io/metadata.name": "models"}}),
        (
            {"operator": {"enabled": False}, "networkPolicy": {"operatorNamespace": "ops"}},
            {"matchLabels": {"kubernetes.io/metadata.name": "ops"}},
        ),
        ({"operator": {"enabled": False}}, {}),
    ],
)
def test_progress_is_asked_from_the_operators_namespace(render: Render, values: Json, namespace: Json) -> None:
    (rule,) = (each for each in policy_of(render(**values), SYNC_POD)["ingress"] if "podSelector" in each["from"][0])
    assert rule["from"][0]["namespaceSelector"] == namespace


def test_the_server_reaches_nothing_where_a_job_syncs(rendered: Rendered) -> None:
    assert "egress" not in policy(rendered("defaults"), "inference")


@pytest.mark.parametrize("name", ["standalone", "no job"])
def test_a_pod_that_must_sync_itself_reaches_the_hub(rendered: Rendered, name: str) -> None:
    assert ports(policy(rendered(name), "inference")["egress"]) == {53, 5353, 443}


def test_the_server_is_reached_from_its_namespace_and_by_prometheus(rendered: Rendered) -> None:
    spec = policy(rendered("defaults"), "inference")
    peers = [rule["from"] for rule in spec["ingress"] if "http" in {port["port"] for port in rule["ports"]}]
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    assert peers == [[{"podSelector": {}}], [monitoring]]


def test_everything_can_be_closed_further(rendered: Rendered) -> None:
    objects = rendered("closed network")
    operator = policy(objects, "operator")
    assert "ingress" not in operator
    assert rule_to(operator["egress"], 6443)["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    assert ports(policy(objects, "inference")["ingress"]) == {9464}
    assert ports(policy_of(objects, SYNC_POD)["egress"]) == {53, 5353, 8443}


def test_the_peer_server_is_reached_by_pods_of_caches_and_prometheus_and_reaches_nothing(rendered: Rendered) -> None:
    objects = rendered("peers")
    spec = policy_of(objects, objects.peer_server()["metadata"]["labels"])
    assert "egress" not in spec
    assert ports(spec["ingress"]) == {9465}
    (pods,), (prometheus,) = (rule["from"] for rule in spec["ingress"])
    assert set(pods) == {"podSelector"}, "those of its own namespace"
    assert selects(pods["podSelector"], SYNC_POD)
    assert selects(pods["podSelector"], {names.CACHE_LABEL: "multitalk"}), "a pod whose node has no copy fills it"
    assert not selects(pods["podSelector"], {"app": "other"})
    assert prometheus["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}


def test_sync_jobs_reach_the_peer_server(rendered: Rendered) -> None:
    objects = rendered("peers")
    (leads_to,) = rule_to(policy_of(objects, SYNC_POD)["egress"], 9465)["to"]
    assert set(leads_to) == {"podSelector"}, "in its own namespace"
    assert selects(leads_to["podSelector"], objects.peer_server()["metadata"]["labels"])
    assert not selects(leads_to["podSelector"], SYNC_POD)


@pytest.mark.parametrize("key", ["sync", "cache"])
def test_peers_that_a_variable_names_are_reached_too(render: Render, key: str) -> None:
    env = {"env": [{"name": "MODELCACHE_PEERS", "value": "http://a-peers.other.svc:9465"}]}
    others: list[Json] = [{"namespaceSelector": {}}]
    objects = render(networkPolicy={"peersTo": others}, **{key: env if key == "sync" else {"job": env}})
    assert rule_to(policy_of(objects, SYNC_POD)["egress"], 9465)["to"] == others


def test_a_peer_server_can_be_closed_or_opened_further(render: Render) -> None:
    def ingress(**network: Any) -> Any:
        peers = {"operator": {"peers": {"enabled": True}}, "cache": {"name": "multitalk", "peers": {"enabled": True}}}
        objects = render(networkPolicy=network, **peers)
        return policy_of(objects, objects.peer_server()["metadata"]["labels"]).get("ingress")

    assert ingress(peersFrom=[], metricsFrom=[]) is None
    assert ingress(peersFrom=[{"podSelector": {}}], metricsFrom=[])[0]["from"] == [{"podSelector": {}}]


def test_policies_name_ports_that_pods_have(objects: Objects) -> None:
    for each in objects.of("NetworkPolicy"):
        named = [port for port in ports(each["spec"].get("ingress", [])) if isinstance(port, str)]
        for _, pod in objects.pods():
            if named and selects(each["spec"]["podSelector"], pod["metadata"]["labels"]):
                have = {port.get("name") for c in pod["spec"]["containers"] for port in c.get("ports", ())}
                assert set(named) <= have
