"""How sync Jobs run, ``spec.sync.job``: the part of the manifest that the operator alone acts on."""

from __future__ import annotations

from init_sync.core.fields import Choice, Flag, Group, Listing, Native, Number, Text, Texts
from init_sync.core.manifest_rules import (
    MOUNT_PATH,
    NAME,
    VOLUME_NAME,
    object_name,
)

JOB = Group(
    "The Job that syncs the volume before any GPU is asked for.",
    {
        "enabled": Flag(
            "Whether the operator makes sync Jobs. If not, the init containers of your pods sync.",
            default=True,
            unset_in_definition=True,
        ),
        "image": Text("Image with init-sync. The operator's default unless set.", max_length=512),
        "imagePullPolicy": Choice("As in a pod: Always, IfNotPresent or Never.", "Always", "IfNotPresent", "Never"),
        "imagePullSecrets": Listing(
            "Secrets to pull the image with.",
            Group("A Secret.", {"name": Text("Its name.", required=True)}),
            key="name",
            of_pod=True,
        ),
        "serviceAccountName": object_name("Service account of the pod. No token of it is mounted.", of_pod=True),
        "priorityClassName": object_name("Priority class of the pod.", of_pod=True),
        "nodeSelector": Texts(
            "Labels of the nodes that may sync. A volume that only one node can mount must be synced where it is used.",
            of_pod=True,
        ),
        "affinity": Native("As in a pod.", of_pod=True),
        "tolerations": Listing("As in a pod.", Native("A toleration."), of_pod=True),
        "topologySpreadConstraints": Listing("As in a pod.", Native("A constraint."), of_pod=True),
        "resources": Native("Requests and limits of the sync container. 500m CPU and 256Mi of 1Gi memory unless set."),
        "runAsDefaultUser": Flag(
            "Whether the pod runs as user and group 65532, with that fsGroup, unless podSecurityContext sets others. "
            "false: none is set; the image or the cluster decides, as OpenShift does.",
            default=True,
            unset_in_definition=True,
        ),
        "podSecurityContext": Native(
            "Merged over the pod's security context. Set fsGroup to the group that your serving image runs with."
        ),
        "env": Listing(
            "More variables for the sync container, such as HF_ENDPOINT or HTTPS_PROXY.",
            Group(
                "A variable.",
                {
                    "name": Text("Its name.", required=True),
                    "value": Text("Its value.", min_length=0, max_length=None),
                    "valueFrom": Native("Where the value comes from instead, as in a pod."),
                },
            ),
            key="name",
        ),
        "volumes": Listing(
            "More volumes of the pod, as in a pod. ConfigMaps and Secrets must be in the namespace of the cache.",
            Group(
                "A volume.",
                {"name": Text("Its name.", rule=VOLUME_NAME, max_length=63, required=True)},
                native=True,
            ),
            key="name",
        ),
        "volumeMounts": Listing(
            "More mounts of the sync container, as in a container.",
            Group(
                "A mount.",
                {
                    "name": Text("Name of the volume.", rule=NAME, max_length=63, required=True),
                    "mountPath": Text("Where it is mounted.", rule=MOUNT_PATH, required=True),
                },
                native=True,
            ),
            key="mountPath",
        ),
        "logFormat": Choice(
            "Format of the sync container's log.", "text", "json", default="text", unset_in_definition=True
        ),
        "labels": Texts("More labels for the Job and its pod."),
        "annotations": Texts("Annotations for the pod."),
        "backoffLimit": Number(
            "How often the pod is tried again before the Job fails. A failed Job is followed by another one, after "
            "10 s to 10 minutes.",
            default=3,
            unset_in_definition=True,
        ),
        "activeDeadlineSeconds": Number(
            "The Job is ended after this many seconds. No limit unless set.", minimum=1, bits=64
        ),
        "ttlSecondsAfterFinished": Number(
            "A finished Job is kept for this many seconds.", default=3600, unset_in_definition=True
        ),
    },
)
