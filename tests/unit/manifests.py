"""What rows of the two tables of manifests are made of: ``good_manifests`` and ``bad_manifests``.

The command line's own validation must accept every ``Good`` and refuse every ``Bad``, naming exactly its ``fields``.
The custom resource definition must decide alike, except where ``in_cluster`` is False: those documents are refused by
the YAML reader, or cannot be sent to an API server in the first place.
"""

from __future__ import annotations

from dataclasses import dataclass

LONG_NAME = "a" * 64
LONGEST_NAME = "a" * 63


@dataclass(frozen=True, slots=True)
class Good:
    """A manifest that every validator accepts."""

    id: str
    text: str
    in_cluster: bool = True


@dataclass(frozen=True, slots=True)
class Bad:
    """A manifest that every validator refuses."""

    id: str
    text: str
    fields: tuple[str, ...]
    """Path of each field that is wrong; ``""`` stands for the whole document."""
    word: str
    """What the message must contain: the rule in words, the wrong value or the cure."""
    in_cluster: bool = True


def model(**fields: str | None) -> str:
    """One entry of ``spec.models`` in flow style; values are YAML, None leaves a required field out."""
    whole: dict[str, str | None] = {"name": "base", "repo": "owner/model", "path": "base", **fields}
    return "{" + ", ".join(f"{key}: {value}" for key, value in whole.items() if value is not None) + "}"


def document(
    *models: str, spec: str = "", metadata: str = "{name: cache}", head: str = "", api_version: str = "v1alpha1"
) -> str:
    """A whole manifest; ``spec`` and ``head`` are further lines at these levels."""
    lines = [f"apiVersion: modelcache.dev/{api_version}", "kind: ModelCache", f"metadata: {metadata}", "spec:"]
    lines += ["  models:", *(f"  - {each}" for each in models or (model(),))]
    lines += [f"  {line}" for line in spec.splitlines()]
    return "\n".join([*lines, head]).rstrip() + "\n"


def one(**fields: str | None) -> str:
    """A manifest of one model with these fields."""
    return document(model(**fields))


def job(fields: str) -> str:
    return document(spec=f"sync: {{job: {{{fields}}}}}")


def volume(fields: str) -> str:
    return document(spec=f"volume: {{{fields}}}")


FULL = document(
    model(
        displayName="Base model",
        repo="Wan-AI/Wan2.1-I2V-14B-480P",
        revision="refs/pr/12",
        path="models/base",
        digest=f"sha256:{'09af' * 16}",
        include='["*.json", "google/umt5-xxl/*", "google/", "[ab]?.bin"]',
        exclude='["*.msgpack"]',
        oneOf="[{file: model.safetensors}, {file: model.safetensors, revision: refs/pr/1}, {file: pytorch_model.bin}]",
        links="[{file: model.safetensors, at: other/model.safetensors}]",
    ),
    model(name="other", path="other"),
    metadata="{name: cache, namespace: default, labels: {a: b}, annotations: {c: d}, resourceVersion: '7', uid: u}",
    spec="""\
allowPickles: false
volume:
  claimName: models
  deletionPolicy: Retain
  create: {size: 110Gi, storageClassName: fast, accessModes: [ReadWriteMany]}
auth: {secretName: hf-token, key: token}
peers: {enabled: true, tokenSecret: {name: peer-token, key: token}}
sync:
  job:
    enabled: true
    runAsDefaultUser: false
    image: registry.example/init-sync:1
    imagePullPolicy: IfNotPresent
    priorityClassName: low
    serviceAccountName: sync
    nodeSelector: {disk: ssd}
    labels: {a: b}
    annotations: {c: d}
    affinity: {nodeAffinity: {}}
    resources: {requests: {cpu: 500m}}
    podSecurityContext: {fsGroup: 2000}
    tolerations: [{operator: Exists}]
    imagePullSecrets: [{name: pull}]
    env: [{name: HTTPS_PROXY, value: 'http://proxy:3128'}]
    topologySpreadConstraints: [{maxSkew: 1}]
    backoffLimit: 0
    activeDeadlineSeconds: 1
    ttlSecondsAfterFinished: 0""",
    head="status: {phase: Ready}",
)
