"""The values: refused with words that help, described once, and in step with what they are passed on to."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from chart.conftest import Render
from chart.objects import Objects
from chart.sets import WITH_PEERS, on_nodes
from support.helm import CHART, HelmRefused

Json = dict[str, Any]
VALUES = CHART / "values.yaml"
SCHEMA: Json = json.loads((CHART / "values.schema.json").read_text())
STANDALONE = {"operator": {"enabled": False}, "cache": {"standalone": True}}


def sized(**volume: Any) -> Json:
    """A claim whose size the operator asks the hub for."""
    return {"cache": {"volume": {"size": "auto", **volume}}}


TASKS: dict[str, Json] = {
    "cache.volume.size=auto": {"volume": {"size": "auto"}},
    "cache.volume.prune": {"volume": {"prune": True}},
    "cache.scrub.every": {"scrub": {"every": "168h"}},
    "cache.updates.check": {"updates": {"check": "24h"}},
}
"""Values for which the operator makes Jobs."""


REFUSED: dict[str, tuple[Json, str]] = {
    "an unknown key": ({"operator": {"enabld": True}}, "'/operator': additional properties 'enabld' not allowed"),
    "an unknown key at the top": ({"inferense": {}}, "additional properties 'inferense' not allowed"),
    "an unknown setting": ({"inference": {"settings": {"quue": 3}}}, "'quue' not allowed"),
    "an unknown key of a model": (
        {"cache": {"models": [{"name": "a", "repo": "o/a", "path": "a", "file": "x"}]}},
        "'/cache/models/0': additional properties 'file' not allowed",
    ),
    "an unknown key of the job": ({"cache": {"job": {"imag": "x"}}}, "'/cache/job': additional properties 'imag'"),
    "a text for a switch": ({"operator": {"enabled": "no"}}, "'/operator/enabled': got string, want boolean"),
    "one mode for a list": ({"cache": {"volume": {"accessModes": "ReadWriteMany"}}}, "got string, want array"),
    "no mode": ({"cache": {"volume": {"accessModes": []}}}, "minItems: got 0, want 1"),
    "a mode that cannot be written": (
        {"cache": {"volume": {"accessModes": ["ReadOnlyMany"]}}},
        "must be one of 'ReadWriteOnce', 'ReadWriteMany', 'ReadWriteOncePod'",
    ),
    "an unknown strategy": ({"inference": {"strategy": "rolling"}}, "one of 'auto', 'Recreate', 'RollingUpdate'"),
    "less than no GPU": ({"inference": {"gpus": -1}}, "'/inference/gpus': minimum: got -1, want 0"),
    "no models": ({"cache": {"models": []}}, "'/cache/models': minItems: got 0, want 1"),
    "a peer that is none": ({"networkPolicy": {"hubTo": [{"cidr": "10.0.0.0/8"}]}}, "'/networkPolicy/hubTo/0'"),
    "a namespace that is none": ({"namespaceOverride": "A_B"}, "'/namespaceOverride': 'A_B' does not match pattern"),
    "root": ({"podSecurityContext": {"runAsUser": 0}}, "'/podSecurityContext/runAsUser': minimum: got 0, want 1"),
    "a digest that is a tag": (
        {"sync": {"image": {"digest": "v1"}}},
        "sync.image.digest=v1 is no digest. Give sha256:",
    ),
    "a size with a space": ({"cache": {"volume": {"size": "120 GB"}}}, "cache.volume.size=120 GB is no size. Give"),
    "a size of nothing": (
        {"cache": {"volume": {"size": "0Gi"}}},
        "cache.volume.size=0Gi is no size. Give a number",
    ),
    "no size": ({"cache": {"volume": {"size": None}}}, "cache.volume.size= is no size. Give"),
    "a lead time without a unit": (
        {"cache": {"gate": {"leadTime": "180"}}},
        "cache.gate.leadTime=180 is no duration. Give one such as 3m",
    ),
    "a lead time that is longer than a word": (
        {"cache": {"gate": {"leadTime": "1m" * 9}}},
        "maxLength: got 18, want 16",
    ),
    "a scrub in days": (
        {"cache": {"scrub": {"every": "7d"}}},
        "cache.scrub.every=7d is no duration. Give one such as 24h or 168h",
    ),
    "a scrub at no rate": ({"cache": {"scrub": {"every": "168h", "rate": "0"}}}, "cache.scrub.rate=0 is no size"),
    "a check in days": (
        {"cache": {"updates": {"check": "1d"}}},
        "cache.updates.check=1d is no duration. Give one such as 24h",
    ),
    "headroom of a given size": (
        {"cache": {"volume": {"headroom": "10%"}}},
        "cache.volume.headroom has no effect on a size that is given. Set cache.volume.size=auto",
    ),
    "headroom that is no share": (
        sized(headroom="10Gi"),
        "cache.volume.headroom=10Gi is no share. Give a whole number",
    ),
    "a claim that exists, of a size that is asked for": (
        sized(existingClaim="weights"),
        "cache.volume.size=auto and cache.volume.existingClaim exclude each other",
    ),
    "copies of a size that is asked for": (
        on_nodes(volume={"size": "auto"}),
        "cache.volume.size=auto and cache.volume.perNode.enabled exclude each other",
    ),
    "annotations of a claim that the operator makes": (
        sized(annotations={"a": "b"}),
        "cache.volume.annotations have no effect with cache.volume.size=auto",
    ),
    "no class for a claim that the operator makes": (
        sized(storageClassName="-"),
        "cache.volume.storageClassName=- cannot be with cache.volume.size=auto",
    ),
    **{
        f"{key} without an operator": (
            {**STANDALONE, "cache": {"standalone": True, **cache}},
            f"{key} and cache.standalone exclude each other",
        )
        for key, cache in TASKS.items()
    },
    **{
        f"{key} without Jobs": ({"cache": {"job": {"enabled": False}, **cache}}, f"{key} needs Jobs of the operator")
        for key, cache in TASKS.items()
    },
    "a port that is none": (
        {"sync": {"endpoint": "http://hub:99999/x"}},
        "http://hub:99999/x has a port above",
    ),
    "a password in the open": (
        {"sync": {"endpoint": "https://user:secret@hub"}},
        "sync.endpoint holds a user or password, and everybody can read it there",
    ),
    "a prefix that is no name": (
        {"fullnameOverride": "video.prod"},
        "names of objects would begin with video.prod; they take lower-case letters, digits and '-', and a letter "
        "first. Change fullnameOverride",
    ),
    "a chart's name that no object can have": ({"nameOverride": "a.b"}, "-a.b; they take lower-case letters"),
    "a port of nodes for a Service inside": (
        {"inference": {"service": {"nodePort": 30080}}},
        "inference.service.nodePort=30080 needs the type NodePort or LoadBalancer",
    ),
    "ranges without a load balancer": (
        {"inference": {"service": {"loadBalancerSourceRanges": ["10.0.0.0/8"]}}},
        "inference.service.loadBalancerSourceRanges needs the type LoadBalancer",
    ),
    "the number of GPUs by its old name": (
        {"inference": {"gpu": {"count": 2}}},
        "inference.gpu.count=2 is inference.gpus now",
    ),
    "several parts of GPUs": (
        {"inference": {"gpus": 2, "gpu": {"resourceName": "nvidia.com/mig-3g.40gb"}}},
        "inference.gpus=2 with nvidia.com/mig-3g.40gb: a process sees one part of a GPU only",
    ),
    "shared memory without a size": (
        {"inference": {"shmSize": "much"}},
        "inference.shmSize=much is no size",
    ),
    "a pod field that is the chart's own": (
        {"inference": {"extraPodSpec": {"volumes": []}}},
        "inference.extraPodSpec.volumes is a field that the chart sets. Use the value of inference",
    ),
    "a parent's registry that is a URL": (
        {"global": {"imageRegistry": "https://r.example"}},
        "global.imageRegistry=https://r.example is a URL",
    ),
    "a registry that is a URL": ({"imageRegistry": "https://r.example"}, "imageRegistry=https://r.example is a URL"),
    "a label without a name": (
        {"commonLabels": {"a b": "c"}},
        'commonLabels: "a b" is no name of a label. Use',
    ),
    "a label that is too long": (
        {"operator": {"podLabels": {"team": "a" * 64}}},
        "the value of team, is no value of a label. Use letters",
    ),
    "a label that selects": (
        {"commonLabels": {"app.kubernetes.io/name": "x"}},
        "commonLabels: app.kubernetes.io/name is the chart's own label",
    ),
    "a label that names another cache": (
        {"inference": {"podLabels": {"modelcache.dev/cache": "x"}}},
        "inference.podLabels: modelcache.dev/cache is the chart's own label",
    ),
    "a variable that is no text": (
        {"sync": {"env": [{"name": "HF_HUB_DOWNLOAD_TIMEOUT", "value": 30}]}},
        "'/sync/env/0/value': got number, want string",
    ),
    "a variable of the Job that is no text": (
        {"cache": {"job": {"env": [{"name": "A", "value": True}]}}},
        "'/cache/job/env/0/value': got boolean, want string",
    ),
    "a pull policy of the Job that there is not": (
        {"cache": {"job": {"imagePullPolicy": "Sometimes"}}},
        "'/cache/job/imagePullPolicy': value must be one of 'Always', 'IfNotPresent', 'Never'",
    ),
    "an endpoint without a scheme": ({"sync": {"endpoint": "hub.example"}}, "sync.endpoint=hub.example is no URL"),
    "standalone with an operator": ({"cache": {"standalone": True}}, "Set operator.enabled=false too"),
    "standalone without a cache": (
        {**STANDALONE, "cache": {"standalone": True, "enabled": False, "name": "a"}},
        "cache.standalone needs cache.enabled=true",
    ),
    "all namespaces and some": (
        {"operator": {"allNamespaces": True, "namespaces": ["multitalk", "models"]}},
        "operator.allNamespaces and operator.namespaces exclude each other",
    ),
    "namespaces without the release's": (
        {"operator": {"namespaces": ["team-a"]}},
        "operator.namespaces leaves out models, where this release makes a ModelCache that nobody would serve",
    ),
    "a cache without a name": ({"cache": {"enabled": False}}, "cache.name is needed when cache.enabled=false"),
    "a name that a cache cannot have": ({"cache": {"name": "a.b"}}, "'-' only. Change cache.name"),
    "two claims": (
        {"cache": {"volume": {"existingClaim": "a", "claimName": "b"}}},
        "cache.volume.existingClaim and cache.volume.claimName exclude each other",
    ),
    "two pods on a volume of one pod": (
        {"cache": {"volume": {"accessModes": ["ReadWriteOncePod"]}}, "inference": {"replicas": 2}},
        "inference.replicas=2 cannot share a ReadWriteOncePod volume",
    ),
    "too little time to stop": (
        {"inference": {"terminationGracePeriodSeconds": 30}},
        "too short for preStopSeconds, lingerS and the 10 s that closing takes. Raise it to 35 at least",
    ),
    "several servers for one scratch directory": (
        {"inference": {"scratchClaim": "videos", "replicas": 2, "strategy": "Recreate"}},
        "inference.scratchClaim is for one server at a time: two pods cannot share it",
    ),
    "two servers at once during a rollout": (
        {"inference": {"scratchClaim": "videos", "strategy": "RollingUpdate"}},
        "inference.scratchClaim is for one server at a time: two pods cannot share it",
    ),
    "a server without an operator": (
        {**STANDALONE, "cache": {"standalone": True, "peers": {"enabled": True}}},
        "cache.peers.enabled and cache.standalone exclude each other",
    ),
    "a server without the rights for it": (
        {"cache": {"peers": {"enabled": True}}},
        "cache.peers.enabled needs operator.peers.enabled=true, which gives",
    ),
    "a server without a token of what needs one": (
        {**WITH_PEERS, "cache": {"auth": {"secretName": "hf"}, "peers": {"enabled": True}}},
        "cache.peers.enabled with cache.auth.secretName needs cache.peers.tokenSecret.name",
    ),
    "a server beside the one pod of a volume": (
        {**WITH_PEERS, "cache": {"volume": {"accessModes": ["ReadWriteOncePod"]}, "peers": {"enabled": True}}},
        "cache.peers.enabled cannot serve a ReadWriteOncePod volume",
    ),
    "copies without the right to see nodes": (
        {"cache": on_nodes()["cache"]},
        "cache.volume.perNode.enabled needs operator.perNode.enabled=true, which gives",
    ),
    "copies without an operator": (
        {**STANDALONE, "cache": {**on_nodes()["cache"], "standalone": True}},
        "cache.volume.perNode.enabled and cache.standalone exclude each other",
    ),
    "copies without Jobs": (on_nodes(job={"enabled": False}), "cache.volume.perNode.enabled needs sync Jobs"),
    "copies on one node": (
        on_nodes(volume={"oneNode": True}),
        "cache.volume.perNode.enabled and cache.volume.oneNode exclude each other",
    ),
    "copies whose Jobs are placed": (
        on_nodes(job={"nodeSelector": {"disk": "ssd"}}),
        "cache.job.nodeSelector has no effect with cache.volume.perNode.enabled",
    ),
    "copies behind an existing claim at a path": (
        on_nodes(volume={"existingClaim": "weights"}),
        "cache.volume.existingClaim and cache.volume.perNode.path exclude each other",
    ),
    "copies nowhere": (on_nodes(""), "cache.volume.perNode.path is needed: name the directory"),
    "copies at a relative path": (on_nodes("models"), "cache.volume.perNode.path=models is no absolute path"),
    "copies at a path that leads up": (on_nodes("/mnt/.."), "cache.volume.perNode.path=/mnt/.. is no absolute path"),
    "copies among the system's files": (
        on_nodes("/etc/models"),
        "cache.volume.perNode.path=/etc/models belongs to the node's system",
    ),
    "none at a time": (
        {"cache": {"volume": {"perNode": {"maxParallel": 0}}}},
        "'/cache/volume/perNode/maxParallel': minimum: got 0, want 1",
    ),
    "a token in the open": (
        {"sync": {"env": [{"name": "HF_TOKEN", "value": "hf_x"}]}},
        "sync.env holds the token itself, where everybody can read it. Put it into a Secret",
    ),
    "two bundles of certificates": (
        {"sync": {"caBundle": {"configMapName": "a", "secretName": "b"}}},
        "sync.caBundle.configMapName and sync.caBundle.secretName exclude each other",
    ),
    "a bundle, and a file of certificates": (
        {"sync": {"caBundle": {"secretName": "b"}, "env": [{"name": "SSL_CERT_FILE", "value": "/x"}]}},
        "sync.env sets SSL_CERT_FILE, and so does sync.caBundle",
    ),
    "a volume of the sync container's own": (
        {"sync": {"extraVolumes": [{"name": "manifest", "emptyDir": {}}]}},
        "sync.extraVolumes: manifest is a volume of the sync container's own",
    ),
    "two endpoints": (
        {"sync": {"endpoint": "http://a"}, "cache": {"job": {"env": [{"name": "HF_ENDPOINT", "value": "http://b"}]}}},
        "cache.job.env sets HF_ENDPOINT, and so does sync.endpoint. Use one of them",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_values_are_refused_and_the_message_says_where(render: Render, name: str) -> None:
    values, words = REFUSED[name]
    with pytest.raises(HelmRefused) as refused:
        render(**values)
    assert words in str(refused.value)


def test_all_that_cannot_work_is_told_at_once(render: Render) -> None:
    with pytest.raises(HelmRefused) as refused:
        render(sync={"endpoint": "hub"}, cache={"volume": {"size": "big"}})
    assert "sync.endpoint=hub" in str(refused.value)
    assert "cache.volume.size=big" in str(refused.value)


EMPTIED = (
    *(
        "cache",
        "cache.models",
        "cache.job",
        "cache.volume.size",
        "cache.volume.nodeSelector",
        "inference.tolerations",
        "inference.apiKeySecret",
    ),
    *("inference.probes.startup", "operator.allNamespaces", "operator.image", "sync.endpoint", "sync.image.digest"),
)
"""Of each way in which templates use a value, one."""


@pytest.mark.parametrize("path", EMPTIED)
def test_an_emptied_value_is_the_same_as_none_or_refused_by_name(render: Render, path: str) -> None:
    """In YAML a key with nothing behind it is null, and Helm takes null as the wish to have no default."""
    values: Any = None
    for name in reversed(path.split(".")):
        values = {name: values}
    assert re.search(rf"^$|missing property '{path.split('.')[-1]}'|{re.escape(path)}=", _refusal(render, values))


def test_resources_of_a_cache_stand_alone_where_those_of_all_syncs_are_emptied(render: Render) -> None:
    objects = render(sync={"resources": None}, cache={"job": {"resources": {"limits": {"memory": "2Gi"}}}})
    assert objects.one("ModelCache")["spec"]["sync"]["job"]["resources"] == {"limits": {"memory": "2Gi"}}


def _refusal(render: Render, values: Json) -> str:
    """Nothing if they are taken."""
    try:
        render(**values)
    except HelmRefused as refused:
        return str(refused)
    return ""


def test_rights_are_in_the_namespaces_that_are_served(rendered: Callable[[str], Objects]) -> None:
    objects = rendered("operator for three namespaces")
    roles = [
        each["metadata"].get("namespace") for each in objects.of("Role") if "lease" not in each["metadata"]["name"]
    ]
    assert roles == ["models", "team-a", "team-b"]
    bindings = [each for each in objects.of("RoleBinding") if "lease" not in each["metadata"]["name"]]
    assert {each["subjects"][0]["namespace"] for each in bindings} == {"models"}
    assert [arg for arg in objects.args("operator") if "namespace" in arg] == [
        *("--namespace=models", "--namespace=team-a", "--namespace=team-b"),
    ]


def test_two_releases_of_one_name_may_serve_two_clusters_worth_of_namespaces(
    rendered: Callable[[str], Objects],
) -> None:
    role = rendered("operator for the cluster").one("ClusterRole", "operator")
    assert role["metadata"]["name"] == "models.multitalk-modelcache-operator"
