"""Sets of values that are rendered, validated and linted: the defaults, each switch, and what clusters differ in."""

from __future__ import annotations

from typing import Any

from support.helm import Release

WITH_PEERS = {"operator": {"peers": {"enabled": True}}}
MONITORS = tuple(f"monitoring.coreos.com/v1/{kind}" for kind in ("PodMonitor", "ServiceMonitor", "PrometheusRule"))
MUTATING = ("admissionregistration.k8s.io/v1/MutatingAdmissionPolicy",)
SMALL_MODEL = {"name": "small", "repo": "owner/small", "path": "small"}
DIGEST = f"sha256:{'0123456789abcdef' * 4}"
CONTAINER: dict[str, Any] = {
    "name": "before",
    "image": "busybox",
    "securityContext": {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    },
}
TOLERATION = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
ZONE = {"topology.kubernetes.io/zone": "a"}
SPREAD = {
    "maxSkew": 1,
    "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "ScheduleAnyway",
    "labelSelector": {"matchLabels": {"app.kubernetes.io/part-of": "modelcache"}},
}
IN_ZONE = {
    "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]
    }
}
EXTRAS: dict[str, Any] = {
    "annotations": {"reloader": "true"},
    "extraEnvFrom": [{"configMapRef": {"name": "more"}}],
    "extraVolumes": [{"name": "more", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    "extraInitContainers": [CONTAINER],
    "extraContainers": [{**CONTAINER, "name": "beside"}],
    "extraPodSpec": {"hostAliases": [{"ip": "10.0.0.1", "hostnames": ["hub.example"]}]},
    "podSecurityContext": {"runAsUser": 1000, "supplementalGroups": [3]},
    "containerSecurityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
}
"""What operator and server take alike."""
STANDALONE: dict[str, Any] = {"operator": {"enabled": False}, "cache": {"standalone": True}}

SETS: dict[str, Release] = {
    "defaults": Release(),
    "operator only": Release({"cache": {"enabled": False}, "inference": {"enabled": False}}, name="operator"),
    "operator for the cluster": Release(
        {"operator": {"allNamespaces": True}, "cache": {"enabled": False}, "inference": {"enabled": False}}
    ),
    "operator for three namespaces": Release({"operator": {"namespaces": ["models", "team-a", "team-b"]}}),
    "cache and operator for the cluster": Release({"operator": {"allNamespaces": True}}),
    "operator for three namespaces and copies on nodes": Release(
        {"operator": {"namespaces": ["models", "team-a", "team-b"], "perNode": {"enabled": True}}}
    ),
    "cache only": Release({"operator": {"enabled": False}, "inference": {"enabled": False}}),
    "inference of an existing cache": Release(
        {"operator": {"enabled": False}, "cache": {"enabled": False, "name": "shared"}}
    ),
    "nothing but the definition": Release({key: {"enabled": False} for key in ("operator", "cache", "inference")}),
    "standalone": Release({**STANDALONE, "cache": {"standalone": True, "auth": {"secretName": "hf-token"}}}),
    "standalone on several nodes": Release(
        {**STANDALONE, "cache": {"standalone": True, "volume": {"accessModes": ["ReadWriteMany"]}}}
    ),
    "several nodes": Release(
        {
            "cache": {"volume": {"accessModes": ["ReadWriteMany"], "storageClassName": "nfs"}},
            "inference": {"replicas": 3, "pdb": {"enabled": True}, "rollingUpdate": {"maxSurge": 0}},
        }
    ),
    "one pod": Release({"cache": {"volume": {"accessModes": ["ReadWriteOncePod"], "storageClassName": "-"}}}),
    "existing claim": Release({"cache": {"volume": {"existingClaim": "weights", "accessModes": ["ReadWriteMany"]}}}),
    "lead time and Kueue": Release(
        {
            "operator": {"kueue": {"enabled": True}},
            "cache": {"volume": {"accessModes": ["ReadWriteMany"]}, "gate": {"leadTime": "3m"}},
        }
    ),
    "day two": Release(
        {
            "cache": {
                "volume": {"size": "auto", "headroom": "20%", "prune": True, "storageClassName": "fast"},
                "scrub": {"every": "168h", "rate": "100Mi"},
                "updates": {"check": "24h"},
            },
        },
        api_versions=MONITORS,
    ),
    "no job": Release({"cache": {"job": {"enabled": False}}}),
    "label": Release(api_versions=MUTATING),
    "label, for three namespaces": Release(
        {"operator": {"namespaces": ["models", "team-a", "team-b"]}}, api_versions=MUTATING
    ),
    "label, for the cluster": Release(
        {
            "operator": {"allNamespaces": True},
            "imagePullSecrets": [{"name": "pull"}],
            "sync": {"endpoint": "http://hub.example", "caBundle": {"configMapName": "ca"}},
        },
        api_versions=MUTATING,
    ),
    "air-gapped": Release(
        {
            "imageRegistry": "registry.example:5000/mirror",
            "imagePullSecrets": [{"name": "pull"}],
            "sync": {"endpoint": "http://hub.example:8080", "env": [{"name": "HTTPS_PROXY", "value": "http://p:3128"}]},
            "networkPolicy": {"hubTo": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
        }
    ),
    "digests": Release({key: {"image": {"digest": DIGEST}} for key in ("operator", "sync", "inference")}),
    "several GPUs": Release({"inference": {"gpus": 4}}),
    "no GPU": Release({"inference": {"gpus": 0, "resources": {"requests": {"memory": "1Gi"}}}}),
    "another GPU": Release(
        {
            "inference": {
                "gpu": {"resourceName": "nvidia.com/mig-3g.40gb"},
                "runtimeClassName": "nvidia",
                "resources": {"limits": {"memory": "64Gi"}},
            }
        }
    ),
    "monitors": Release(api_versions=MONITORS),
    "monitors for the cluster": Release(
        {
            "operator": {"allNamespaces": True},
            "monitoring": {
                "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "15s"},
                "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}, "interval": "15s"},
            },
        }
    ),
    "peers": Release(
        {
            "operator": {"peers": {"enabled": True}},
            "cache": {
                "volume": {"accessModes": ["ReadWriteMany"]},
                "auth": {"secretName": "hf-token"},
                "peers": {"enabled": True, "tokenSecret": {"name": "peer-token"}},
            },
        },
        api_versions=MONITORS,
    ),
    "copies": Release(
        {
            "operator": {"perNode": {"enabled": True}},
            "cache": {
                "volume": {
                    "perNode": {"enabled": True, "path": "/mnt/ssd/models", "maxParallel": 4},
                    "nodeSelector": {"pool": "gpu"},
                    "tolerations": [TOLERATION],
                },
                "models": [SMALL_MODEL],
            },
            "inference": {"enabled": False},
        }
    ),
    "copies behind an existing claim": Release(
        {
            "operator": {"allNamespaces": True, "perNode": {"enabled": True}},
            "cache": {"volume": {"existingClaim": "weights", "perNode": {"enabled": True}}},
        }
    ),
    "not watched": Release(
        {
            "monitoring": {
                "podMonitor": {"enabled": False},
                "serviceMonitor": {"enabled": False},
                "scrapeAnnotations": False,
            },
            "networkPolicy": {"enabled": False},
        },
        api_versions=MONITORS,
    ),
    "closed network": Release(
        {
            "networkPolicy": {
                "inferenceFrom": [],
                "metricsFrom": [],
                "apiServerTo": [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
                "hubPorts": [8443],
                "inferenceEgress": [{"to": [{"podSelector": {"matchLabels": {"app": "store"}}}]}],
            }
        }
    ),
    "users handed out by the cluster": Release({"runAsDefaultUser": False}),
    "users taken out by null": Release(
        {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}}
    ),
    "namespace admin": Release({"crds": {"install": False}}, api_versions=MUTATING),
    "rights by hand": Release({"rbac": {"create": False, "aggregate": False}, "operator": {"allNamespaces": True}}),
    "parent chart": Release(
        {"global": {"imageRegistry": "registry.corp", "imagePullSecrets": ["corp", {"name": "pull"}]}, "enabled": True}
    ),
    "another namespace": Release({"namespaceOverride": "video", "operator": {"allNamespaces": True}}),
    "autoscaler": Release({"inference": {"replicas": None}}),
    "server on GPU nodes": Release(
        {
            "inference": {
                "nodeSelector": {"pool": "gpu"},
                "tolerations": [TOLERATION],
                "affinity": {"nodeAffinity": IN_ZONE, "podAntiAffinity": {}},
            }
        }
    ),
    "prepare": Release({"inference": {"prepare": {"enabled": True}}}),
    "prepare, each pod syncs": Release(
        {**STANDALONE, "inference": {"prepare": {"enabled": True, "ttlSecondsAfterFinished": None}}}
    ),
    "dotted": Release(name="video.prod"),
    "digit": Release(name="4k"),
    # A name and labels that YAML takes for booleans and numbers unless they are quoted.
    "true": Release({"commonLabels": {"team": "0e1", "on": "yes"}}, name="true", namespace="on", api_versions=MONITORS),
    "everything": Release(
        {
            "nameOverride": "cache",
            "fullnameOverride": "all",
            "commonLabels": {"team": "video"},
            "logFormat": "json",
            "imageRegistry": "registry.example",
            "imagePullSecrets": [{"name": "pull"}],
            "commonAnnotations": {"owner": "video"},
            "extraObjects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-more"}},
                "apiVersion: v1\nkind: Secret\nmetadata: {name: text}",
            ],
            "operator": {
                **EXTRAS,
                "logLevel": "debug",
                "probes": {"readiness": {"initialDelaySeconds": 1}},
                "topologySpreadConstraints": [SPREAD],
                "limits": {
                    "forbid": ["image", "env.valueFrom"],
                    "jobLabelPrefixes": ["team.example/"],
                    "allowedEndpoints": ["https://hub.example"],
                },
                "admissionPolicy": {"enabled": True},
                "peers": {"enabled": True},
                "perNode": {"enabled": True},
                "serviceAccount": {"name": "operator", "annotations": {"a": "b"}},
                "extraEnv": [{"name": "MODELCACHE_LEASE_SECONDS", "value": "30"}],
                "podLabels": {"a": "b"},
                "podAnnotations": {"a": "b"},
                "nodeSelector": {"a": "b"},
                "tolerations": [TOLERATION],
                "affinity": {"nodeAffinity": {}},
                "priorityClassName": "high",
            },
            "sync": {"endpoint": "http://hub.example", "env": [{"name": "HF_HUB_OFFLINE", "value": "0"}]},
            "cache": {
                "name": "small",
                "volume": {
                    "claimName": "weights",
                    "size": "1Gi",
                    "storageClassName": "fast",
                    "annotations": {"a": "b"},
                    "nodeSelector": ZONE,
                    "tolerations": [TOLERATION],
                    "oneNode": True,
                },
                "models": [SMALL_MODEL],
                "auth": {"secretName": "hf", "key": "read"},
                "peers": {"enabled": True, "tokenSecret": {"name": "peers", "key": "clients"}},
                "allowPickles": False,
                "job": {
                    "activeDeadlineSeconds": 3600,
                    "backoffLimit": 0,
                    "nodeSelector": {"disk": "ssd"},
                    "tolerations": [{"operator": "Exists"}],
                    "env": [{"name": "A", "value": "b"}],
                    "resources": {"limits": {"memory": "2Gi"}},
                },
            },
            "inference": {
                **EXTRAS,
                "settings": {"queue": 2, "lora": ["/lora/a", "/lora/b=0.5"], "compile": True, "memoryLimitGib": 20.5},
                "apiKeySecret": {"name": "clients", "key": "all"},
                "strategy": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1},
                "service": {
                    "type": "LoadBalancer",
                    "port": 80,
                    "labels": {"a": "b"},
                    "annotations": {"a": "b"},
                    "sessionAffinity": "None",
                    "ipFamilyPolicy": "PreferDualStack",
                    "loadBalancerSourceRanges": ["10.0.0.0/8"],
                    "nodePort": 30080,
                },
                "pdb": {"enabled": True, "maxUnavailable": "50%"},
                "shmSize": "",
                "scratchGib": 8,
                "extraEnv": [{"name": "A", "value": "b"}],
                "extraVolumes": [{"name": "lora", "persistentVolumeClaim": {"claimName": "lora"}}],
                "extraVolumeMounts": [{"name": "lora", "mountPath": "/lora", "readOnly": True}],
                "serviceAccount": {"name": "server", "annotations": {"a": "b"}},
                "podLabels": {"a": "b"},
                "podAnnotations": {"a": "b"},
                "nodeSelector": {"gpu": "a100"},
                "tolerations": [{"operator": "Exists"}],
                "affinity": {"nodeAffinity": {}},
                "topologySpreadConstraints": [SPREAD],
                "priorityClassName": "high",
            },
        }
    ),
}


def on_nodes(path: str = "/mnt/ssd/models", **cache: Any) -> dict[str, Any]:
    """A copy on every node, with more of the cache's values."""
    volume = {"perNode": {"enabled": True, "path": path}, **cache.pop("volume", {})}
    return {"operator": {"perNode": {"enabled": True}}, "cache": {"volume": volume, **cache}}
