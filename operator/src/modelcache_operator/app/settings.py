"""What the operator can be told, by flags or by variables: ``--sync-image`` is ``MODELCACHE_SYNC_IMAGE``.

Nothing else reads the environment, but for what kubectl takes from there: KUBECONFIG, and the proxies on the way to the
API.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from init_sync.core.errors import ManifestError
from init_sync.shell import flags
from init_sync.shell.flags import PORT, flag, matching, number, several, whole
from init_sync.shell.log_settings import LogSettings
from modelcache_operator import __version__
from modelcache_operator.core.job_defaults import NO_DEFAULTS, read_job_defaults
from modelcache_operator.core.limits import FORBIDDABLE, Limits

EPILOG = """\
examples:
  python -m modelcache_operator --namespace models --sync-image registry.example/modelcache/init-sync:0.2.0
  python -m modelcache_operator --all-namespaces --log-format json

environment:
  Every flag has a variable: --sync-image is MODELCACHE_SYNC_IMAGE. Several namespaces are separated by commas.

exit codes:
  0  stopped by SIGTERM or SIGINT
  1  cannot go on: another operator took the lease, a watch ended, or the API refuses the credentials
  2  wrong usage, or no cluster to connect to
"""

NAMESPACE = matching(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "the name of a namespace")
OBJECT = matching(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", "a name; use lower-case letters, digits, '-' and '.'")
IMAGE = matching(r"[^\s:]\S*", "the name of an image")
IDENTITY = matching(r"(?s).*\S.*", "a name; a lease without one is held by nobody. Give a name, or leave it out")
SERVE, LIMITS, CLUSTER, PROCESS = "what to serve", "what a ModelCache may set", "cluster", "process"


def _forbiddable(name: str) -> str:
    if name not in FORBIDDABLE:
        raise ValueError(f"{name!r} cannot be forbidden; use some of {', '.join(FORBIDDABLE)}")
    return name


def _job_defaults(file: str) -> Mapping[str, Any] | None:
    if not file:
        return None
    try:
        return read_job_defaults(Path(file).read_text(), file)
    except ManifestError as error:
        raise ValueError(error.message) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"reading {file}: {error}") from error


class Settings(LogSettings):
    """One operator process."""

    PREFIX = "MODELCACHE_"

    namespace: tuple[str, ...] = flag(
        "serve this namespace; may be given again", several(NAMESPACE), "NAME", SERVE, default=()
    )
    all_namespaces: bool = flag("serve the whole cluster; needs a ClusterRole", group=SERVE, default=False)
    sync_image: str = flag(
        "image of sync Jobs, unless the ModelCache names one",
        IMAGE,
        "IMAGE",
        SERVE,
        default=f"modelcache/init-sync:{__version__}",
    )
    sync_defaults: Mapping[str, Any] | None = flag(
        "what spec.sync.job is unless the ModelCache says it, as YAML or JSON",
        _job_defaults,
        "FILE",
        SERVE,
        default=None,
    )
    per_node: bool = flag("serve spec.volume.perNode; needs get, list and watch on nodes", group=SERVE, default=False)
    full_list_seconds: float = flag(
        "how often everything is listed again, to find what was missed", number(1, 86400), "S", SERVE, default=120.0
    )
    claim_check_seconds: float = flag(
        "how often a claim that is not bound is looked at", number(0.1, 3600), "S", SERVE, default=10.0
    )
    progress_seconds: float = flag(
        "how often one running sync is asked for its progress, at most", number(0.1, 3600), "S", SERVE, default=5.0
    )

    forbid: tuple[str, ...] = flag(
        f"refuse ModelCaches that set one of these, by commas: {', '.join(FORBIDDABLE)}",
        several(_forbiddable),
        "FIELDS",
        LIMITS,
        default=(),
    )
    job_label_prefix: tuple[str, ...] = flag(
        "refuse other labels of sync Jobs than those that begin so, by commas",
        several(),
        "PREFIXES",
        LIMITS,
        default=(),
    )
    allowed_endpoint: tuple[str, ...] = flag(
        "refuse other values of HF_ENDPOINT and of proxies, by commas", several(), "URLS", LIMITS, default=()
    )

    kubeconfig: str | None = flag(
        "where the API is (default: as kubectl, or the pod's own)", str, "FILE", CLUSTER, default=None
    )
    context: str | None = flag("context in it", str, "NAME", CLUSTER, default=None)
    lease_namespace: str = flag(
        "where the lease lies (default: the pod's own, else the first served)", str, "NAME", CLUSTER, default=""
    )
    lease_name: str = flag(
        "operators with one lease never work at the same time", OBJECT, "NAME", CLUSTER, default="modelcache-operator"
    )
    lease_seconds: int = flag(
        "how long an operator that died keeps others from taking over", whole(2, 3600), "S", CLUSTER, default=45
    )
    identity: str = flag(
        "who we are in the lease (default: POD_NAME and POD_UID, which let the next pod take over at once)",
        IDENTITY,
        "NAME",
        CLUSTER,
        default="",
    )

    metrics_port: int = flag("for Prometheus, at /metrics; 0 picks a free port", PORT, "N", PROCESS, default=8080)
    health_port: int = flag(
        "for probes, at /healthz and /readyz; 0 picks a free port", PORT, "N", PROCESS, default=8081
    )

    in_cluster: bool = False
    """Whether this is a pod; from the environment."""

    @property
    def job_defaults(self) -> Mapping[str, Any]:
        return NO_DEFAULTS if self.sync_defaults is None else self.sync_defaults

    @property
    def limits(self) -> Limits:
        endpoints = tuple(each.rstrip("/") for each in self.allowed_endpoint)
        return Limits(frozenset(self.forbid), self.job_label_prefix, endpoints)

    def problems(self) -> Iterator[str]:
        if not self.namespace and not self.all_namespaces:
            yield "say what to serve: --namespace NAME, or --all-namespaces"
        if self.namespace and self.all_namespaces:
            yield "--namespace and --all-namespaces exclude each other; give one of them"
        if self.metrics_port == self.health_port != 0:
            yield f"--metrics-port and --health-port are both {self.health_port}; give each its own"


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Raises WrongSettings; ``--help`` and unknown flags end the process as argparse does."""
    found = flags.read_settings(Settings, make_parser().parse_args(arguments), environment)
    lease_namespace = found.lease_namespace or environment.get("POD_NAMESPACE") or (*found.namespace, "default")[0]
    return found.replace(
        lease_namespace=lease_namespace,
        identity=found.identity or _own_identity(environment, lease_namespace),
        in_cluster=bool(environment.get("KUBERNETES_SERVICE_HOST")),
    )


def make_parser() -> argparse.ArgumentParser:
    description = "Keep ModelCaches in step with their volumes, and remove the gate of pods that wait for them."
    parser = flags.make_parser("modelcache-operator", description, EPILOG, lambda: __version__)
    flags.add_flags(parser, Settings)
    return parser


def _own_identity(environment: Mapping[str, str], lease_namespace: str) -> str:
    """With the uid only where others look for the pod that holds the Lease."""
    name, uid = environment.get("POD_NAME"), environment.get("POD_UID")
    if name and uid and lease_namespace == environment.get("POD_NAMESPACE"):
        return f"{name}_{uid}"
    return name or f"{socket.gethostname()}-{os.getpid()}"
