"""The objects of a peer server, as the API's JSON: pod, Service and EndpointSlice.

The Service has no selector: labels are free text for everybody who may create pods, and traffic to a peer carries a
token. The EndpointSlice names the address of the one pod that the operator created.

The pod meets the "restricted" pod security standard and writes nothing. Its token comes as a file from the Secret,
which only the kubelet reads.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from modelcache_operator.core import names, render
from modelcache_operator.core.jobs import MODELS_PATH, pod_security
from modelcache_operator.core.node_affinity import on_node
from modelcache_operator.core.observed import Cache
from modelcache_operator.core.observed_pods import PeerPod

Json = dict[str, Any]

PORT = 9465
"""Of ``init-sync serve``."""
TOKEN_PATH = "/etc/modelcache-peers"  # noqa: S105 - a directory
RESOURCES: Json = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}}
"""256 connections take less than 64 MiB; page cache of what is read counts towards the limit too, and is given up."""
GRACE_S = 15
"""The server ends within 10 s."""


def name(cache: Cache) -> str:
    """Of pod and Service."""
    return names.peers_name(cache.name)


def address(cache: Cache) -> str:
    return f"http://{name(cache)}.{cache.namespace}.svc:{PORT}"


def name_taken(kind: str, name: str, cache: Cache) -> str:
    """There is an object of the name that the operator needs, and it was not made for this cache."""
    return (
        f"{kind} {name} exists and was not made for ModelCache {cache.name}, so it is neither changed nor used. Delete "
        "it, or set spec.peers.enabled to false"
    )


def template(cache: Cache, image: str, node: str) -> str:
    """Names what the pod is made from, so that one that was made from something else is replaced."""
    text = json.dumps([_pod_spec(cache, image, node), render.labels(cache)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def pod(cache: Cache, image: str, node: str) -> Json:
    """On this node, or anywhere. ``image`` is used unless the manifest names one for sync Jobs."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **_metadata(cache),
            "labels": {**render.labels(cache), names.PEERS_LABEL: "true"},
            "annotations": {
                names.TEMPLATE_ANNOTATION: template(cache, image, node),
                names.INJECT_ANNOTATION: "false",
                "cluster-autoscaler.kubernetes.io/safe-to-evict": "true",
            },
        },
        "spec": _pod_spec(cache, image, node),
    }


def service(cache: Cache) -> Json:
    spec = {"type": "ClusterIP", "ports": [{"name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP"}]}
    metadata = {**_metadata(cache), "labels": render.labels(cache)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def endpoint_slice(cache: Cache, service_uid: str, endpoint: PeerPod | None) -> Json:
    """Owned by the Service, so that it is deleted with it."""
    family = "IPv6" if endpoint and ":" in endpoint.address else "IPv4"
    owner = {"apiVersion": "v1", "kind": "Service", "name": name(cache), "uid": service_uid, "controller": True}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name(cache),
            "namespace": cache.namespace,
            "labels": {
                **render.labels(cache),
                "kubernetes.io/service-name": name(cache),
                "endpointslice.kubernetes.io/managed-by": names.MANAGER,
            },
            "ownerReferences": [owner],
        },
        "addressType": family,
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": [_endpoint(endpoint)] if endpoint else [],
    }


def _endpoint(pod: PeerPod) -> Json:
    target = {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
    found: Json = {"addresses": [pod.address], "conditions": {"ready": True}, "targetRef": target}
    return found | ({"nodeName": pod.node} if pod.node else {})


def _metadata(cache: Cache) -> Json:
    return {"name": name(cache), "namespace": cache.namespace, "ownerReferences": [render.owner(cache)]}


def _pod_spec(cache: Cache, image: str, node: str) -> Json:
    mounts: list[Json] = [{"name": "models", "mountPath": MODELS_PATH, "readOnly": True}]
    volumes: list[Json] = [{"name": "models", "persistentVolumeClaim": {"claimName": cache.volume.claim}}]
    arguments = ["serve", "--volume", MODELS_PATH, "--port", str(PORT), "--log-format", cache.job.log_format]
    if cache.peers and (token := cache.peers.token):
        arguments += ["--token-file", f"{TOKEN_PATH}/token"]
        mounts.append({"name": "token", "mountPath": TOKEN_PATH, "readOnly": True})
        items = [{"key": token.key, "path": "token"}]
        secret = {"secretName": token.secret_name, "items": items, "defaultMode": 0o440}
        volumes.append({"name": "token", "secret": secret})
    container: Json = {
        "name": names.PEERS_CONTAINER,
        "image": cache.job.image or image,
        "args": arguments,
        "ports": [{"name": "peers", "containerPort": PORT}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": PORT}, "periodSeconds": 5},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": PORT}, "periodSeconds": 20, "failureThreshold": 6},
        "resources": RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }
    if cache.job.image_pull_policy:
        container["imagePullPolicy"] = cache.job.image_pull_policy
    return {
        **cache.job.pod,
        **({"nodeSelector": {}, "affinity": on_node(node)} if node else {}),
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": pod_security(cache),
        "containers": [container],
        "volumes": volumes,
    }
