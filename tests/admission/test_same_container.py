"""The container that the label adds is that of a sync Job with the same values, but for credentials.

The Job is what the operator's code makes of the flags and the file that the chart gives it.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from admission.ground import ALONE, Ground
from admission.pods import TOKEN_PATH, pod
from modelcache_operator.core.job_defaults import read_job_defaults
from support.helm import Release
from support.kubeapi import ApiError
from support.pure_cluster import PureCluster
from support.waiting import eventually

Json = dict[str, Any]
SECRET = {"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}}
SETS: dict[str, Json] = {
    "defaults": {},
    "a mirror, with a CA from a ConfigMap": {
        "imageRegistry": "registry.example/mirror",
        "imagePullSecrets": [{"name": "pull"}],
        "sync": {
            "image": {"digest": f"sha256:{'0123456789abcdef' * 4}", "pullPolicy": "Always"},
            "endpoint": "http://mirror.example:8080",
            "caBundle": {"configMapName": "ca", "key": "root.pem"},
            "env": [
                {"name": "TEXT", "value": "a \"b\" 'c' \\\\d <e> $(F) {{g}} ünï"},
                {"name": "NO_PROXY", "valueFrom": {"configMapKeyRef": {"name": "proxy", "key": "none"}}},
            ],
            "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
        },
        "logFormat": "json",
    },
    "a CA from a Secret, more volumes": {
        "sync": {
            "caBundle": {"secretName": "ca"},
            "extraVolumes": [{"name": "hosts", "configMap": {"name": "hosts", "defaultMode": 292}}],
            "extraVolumeMounts": [{"name": "hosts", "mountPath": "/etc/hosts.d", "readOnly": True}],
            "logFormat": "json",
        },
    },
    "users of the cluster": {"runAsDefaultUser": False},
    "users taken out by null": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
    "other users": {"podSecurityContext": {"runAsUser": 1000, "runAsGroup": 1000, "supplementalGroups": [3]}},
}
OF_A_POD = ("fsGroup", "fsGroupChangePolicy", "supplementalGroups")
"""Fields of a security context that a container does not have."""


@pytest.mark.parametrize("name", SETS)
def test_it_is_the_container_of_a_sync_job(server: Ground, name: str) -> None:
    made, job = _both(server, name, SETS[name])
    injected, wanted = made["initContainers"][0], job["containers"][0]
    for field in ("name", "image", "env", "resources"):
        assert injected.get(field, []) == wanted.get(field, []), field
    assert _arguments(injected) == _arguments(wanted)
    assert injected["imagePullPolicy"] == wanted["imagePullPolicy"]
    of_pod = {key: value for key, value in job["securityContext"].items() if key not in OF_A_POD and value is not None}
    assert injected["securityContext"] == {**of_pod, **wanted["securityContext"]}
    assert [each["containerPort"] for each in injected["ports"]] == [each["containerPort"] for each in wanted["ports"]]
    mounts = [each for each in injected["volumeMounts"] if each["mountPath"] != TOKEN_PATH]
    assert mounts == [{**each, "name": f"modelcache-{each['name']}"} for each in wanted["volumeMounts"]]
    assert made.get("imagePullSecrets", []) == job.get("imagePullSecrets", [])
    volumes = {each.pop("name"): each for each in made["volumes"]}
    for each in job["volumes"]:
        assert _source(volumes[f"modelcache-{each['name']}"]) == _source(each), each["name"]


def test_what_holds_a_secret_is_left_out_and_what_needs_it_too(server: Ground) -> None:
    values = {
        "sync": {
            "env": [SECRET, {"name": "A", "value": "b"}],
            "extraVolumes": [
                {"name": "keys", "secret": {"secretName": "keys"}},
                {"name": "both", "projected": {"sources": [{"secret": {"name": "keys"}}]}},
            ],
            "extraVolumeMounts": [{"name": name, "mountPath": f"/{name}"} for name in ("keys", "both")],
        },
        "cache": {"enabled": True, "name": "chart", "auth": {"secretName": "hf-token"}},
    }
    made, job = _both(server, "a Secret", values)
    assert [each["name"] for each in job["volumes"]][-2:] == ["keys", "both"]
    assert made["initContainers"][0]["env"] == [{"name": "A", "value": "b"}]
    text = json.dumps(made)
    assert "secret" not in text.replace("imagePullSecrets", "").replace("run/secrets", "")
    assert "/keys" not in text


def _arguments(of: Json) -> list[str]:
    """The Job's name the format that is the default too."""
    arguments: list[str] = of["args"]
    return arguments if "--log-format" in arguments else [*arguments, "--log-format", "text"]


def _source(volume: Json) -> Json:
    """Without what the API server fills in."""
    (kind,) = (key for key in volume if key != "name")
    return {kind: {key: value for key, value in volume[kind].items() if key != "defaultMode"}}


def _both(server: Ground, name: str, values: Json) -> tuple[Json, Json]:
    """Specs of a pod that was joined under these values, and of the pod of a sync Job."""
    namespace = server.namespace("same-" + "-".join(name.lower().replace(",", "").split())[:40])
    server.cache("cache", namespace)
    rendered = server.install(Release({**ALONE, **values}, "same", namespace))

    def made() -> Json | None:
        try:
            spec: Json = server.create(pod(), namespace)["spec"]
        except ApiError:
            return None
        return spec if "initContainers" in spec else None

    joined: Json = eventually(made, "a pod is joined", 30)
    world = PureCluster()
    defaults = next(
        each for each in rendered if each["kind"] == "ConfigMap" and each["metadata"]["name"].endswith("-sync")
    )
    world.job_defaults = read_job_defaults(defaults["data"]["sync.yaml"], "file")
    (operator,) = (each for each in rendered if each["kind"] == "Deployment")
    flags = operator["spec"]["template"]["spec"]["containers"][0]["args"]
    image = next(each.removeprefix("--sync-image=") for each in flags if each.startswith("--sync-image="))
    world.settle()
    template = world.jobs[world.latest]["spec"]["template"]["spec"]
    assert template["containers"][0]["image"] != image, "the test gives the operator's flag"
    template["containers"][0]["image"] = image
    return joined, template
