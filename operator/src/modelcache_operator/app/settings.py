"""What the operator can be told: flags first, then the environment, then defaults; all mistakes reported at once.

Each flag ``--sync-image`` has a variable ``MODELCACHE_SYNC_IMAGE``. Nothing else reads the environment, but for
what kubectl takes from there: KUBECONFIG, and the proxies on the way to the API.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from init_sync.core.errors import ManifestError
from modelcache_operator import __version__
from modelcache_operator.core.job_defaults import NO_DEFAULTS, read_job_defaults
from modelcache_operator.core.limits import FORBIDDABLE, Limits

PREFIX = "MODELCACHE_"
DEFAULT_IMAGE = f"modelcache/init-sync:{__version__}"
NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
IMAGE = re.compile(r"[^\s:]\S*")

EPILOG = """\
examples:
  python -m modelcache_operator --namespace models --sync-image registry.example/modelcache/init-sync:0.1.0
  python -m modelcache_operator --all-namespaces --log-format text

environment:
  Every flag has a variable: --sync-image is MODELCACHE_SYNC_IMAGE. Several namespaces are separated by commas.

exit codes:
  0  stopped by SIGTERM or SIGINT
  1  cannot go on: another operator took the lease, a watch ended, or the API refuses the credentials
  2  wrong usage, or no cluster to connect to
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """Validated."""

    namespaces: tuple[str, ...]
    """Empty: all of them."""
    sync_image: str
    job_defaults: Mapping[str, Any]
    """All of spec.sync.job, for what a cache does not set."""
    kubeconfig: str | None
    context: str | None
    in_cluster: bool
    identity: str
    lease_namespace: str
    lease_name: str
    lease_s: int
    health_port: int
    metrics_port: int
    full_list_s: float
    claim_check_s: float
    progress_s: float
    log_format: str
    log_level: str
    limits: Limits


class WrongSettings(Exception):
    """All that is wrong, a line each."""


def port_refused(flag: str, port: int, error: OSError) -> WrongSettings:
    """Nobody can know before the socket is asked for."""
    return WrongSettings(
        f"{flag}: listening on port {port}: {error.strerror}. Choose another port, or 0 for a free one"
    )


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Raises WrongSettings; ``--help`` and unknown flags end the process as argparse does."""
    options = make_parser(environment).parse_args(arguments)
    problems = _problems(options)
    job_defaults = _job_defaults(options.sync_defaults, problems)
    if problems:
        raise WrongSettings("\n".join(problems))
    namespaces = () if options.all_namespaces else tuple(_names(options.namespace))
    lease_namespace = options.lease_namespace or environment.get("POD_NAMESPACE") or (*namespaces, "default")[0]
    return Settings(
        namespaces=namespaces,
        sync_image=options.sync_image,
        job_defaults=job_defaults,
        kubeconfig=options.kubeconfig,
        context=options.context,
        in_cluster=bool(environment.get("KUBERNETES_SERVICE_HOST")),
        identity=_own_identity(environment, lease_namespace) if options.identity is None else options.identity,
        lease_namespace=lease_namespace,
        lease_name=options.lease_name,
        lease_s=int(options.lease_seconds),
        health_port=int(options.health_port),
        metrics_port=int(options.metrics_port),
        full_list_s=float(options.full_list_seconds),
        claim_check_s=float(options.claim_check_seconds),
        progress_s=float(options.progress_seconds),
        log_format=options.log_format,
        log_level=options.log_level,
        limits=Limits(
            frozenset(_names([options.forbid])),
            tuple(_names([options.job_label_prefix])),
            tuple(each.rstrip("/") for each in _names([options.allowed_endpoint])),
        ),
    )


def make_parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelcache-operator",
        description="Keep ModelCaches in step with their volumes, and remove the gate of pods that wait for them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"modelcache-operator {__version__}")
    _Flags(parser.add_argument_group("what to serve"), environment).what_to_serve()
    _Flags(parser.add_argument_group("what a ModelCache may set"), environment).limits()
    _Flags(parser.add_argument_group("cluster"), environment).cluster()
    _Flags(parser.add_argument_group("process"), environment).process()
    return parser


class _Flags:
    """Adds flags whose default may come from the environment."""

    def __init__(self, group: argparse._ArgumentGroup, environment: Mapping[str, str]) -> None:
        self._group = group
        self._environment = environment

    def _add(self, flag: str, default: str | None, text: str, metavar: str) -> None:
        value = self._environment.get(PREFIX + flag[2:].replace("-", "_").upper()) or default
        shown = f" (default: {default})" if default else ""
        self._group.add_argument(flag, default=value, metavar=metavar, help=text + shown)

    def what_to_serve(self) -> None:
        self._group.add_argument(
            "--namespace",
            action="append",
            metavar="NAME",
            default=[each for each in [self._environment.get(f"{PREFIX}NAMESPACE", "")] if each],
            help="serve this namespace; may be given several times",
        )
        self._group.add_argument(
            "--all-namespaces",
            action="store_true",
            default=self._environment.get(f"{PREFIX}ALL_NAMESPACES", "").lower() in ("1", "true", "yes"),
            help="serve the whole cluster; needs a ClusterRole",
        )
        self._add("--sync-image", DEFAULT_IMAGE, "image of sync Jobs, unless the ModelCache names one", "IMAGE")
        self._add(
            "--sync-defaults", None, "what spec.sync.job is unless the ModelCache says it, as YAML or JSON", "FILE"
        )
        self._add("--full-list-seconds", "120", "how often everything is listed again, to find what was missed", "S")
        self._add("--claim-check-seconds", "10", "how often a claim that is not bound is looked at", "S")
        self._add("--progress-seconds", "5", "how often one running sync is asked for its progress, at most", "S")

    def limits(self) -> None:
        fields = ", ".join(FORBIDDABLE)
        self._add("--forbid", "", f"refuse ModelCaches that set one of these, by commas: {fields}", "FIELDS")
        self._add(
            "--job-label-prefix", "", "refuse other labels of sync Jobs than those that begin so, by commas", "PREFIXES"
        )
        self._add("--allowed-endpoint", "", "refuse other values of HF_ENDPOINT and of proxies, by commas", "URLS")

    def cluster(self) -> None:
        self._add("--kubeconfig", None, "where the API is (default: as kubectl, or the pod's own)", "FILE")
        self._add("--context", None, "context in it", "NAME")
        self._add(
            "--lease-namespace", None, "where the lease lies (default: the pod's own, else the first served)", "NAME"
        )
        self._add("--lease-name", "modelcache-operator", "operators with one lease never work at the same time", "NAME")
        self._add("--lease-seconds", "45", "how long an operator that died keeps others from taking over", "S")
        text = "holder of the Lease (default: POD_NAME and POD_UID, which let the next pod take over at once)"
        self._add("--identity", None, text, "NAME")

    def process(self) -> None:
        self._add("--metrics-port", "8080", "for Prometheus, at /metrics; 0 picks a free port", "N")
        self._add("--health-port", "8081", "for probes, at /healthz and /readyz; 0 picks a free port", "N")
        self._add("--log-format", "json", "json or text", "FORMAT")
        self._add("--log-level", "info", "debug, info, warning or error", "LEVEL")


def _own_identity(environment: Mapping[str, str], lease_namespace: str) -> str:
    """With the uid only where others look for the pod that holds the Lease."""
    name, uid = environment.get("POD_NAME"), environment.get("POD_UID")
    if name and uid and lease_namespace == environment.get("POD_NAMESPACE"):
        return f"{name}_{uid}"
    return name or f"{socket.gethostname()}-{os.getpid()}"


def _names(values: Sequence[str]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _job_defaults(file: str | None, problems: list[str]) -> Mapping[str, Any]:
    if not file:
        return NO_DEFAULTS
    try:
        return read_job_defaults(Path(file).read_text(), f"--sync-defaults: {file}")
    except ManifestError as error:
        problems.append(error.message)
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"--sync-defaults: reading {file}: {error}")
    return NO_DEFAULTS


def _problems(options: argparse.Namespace) -> list[str]:
    found = []
    names = _names(options.namespace)
    if not names and not options.all_namespaces:
        found.append("say what to serve: --namespace NAME, or --all-namespaces")
    if names and options.all_namespaces:
        found.append("--namespace and --all-namespaces exclude each other; give one of them")
    found += [
        f"--namespace: {name!r} is not the name of a namespace" for name in names if not NAMESPACE.fullmatch(name)
    ]
    for flag, low, high in (
        *(("metrics-port", 0, 65535), ("health-port", 0, 65535), ("lease-seconds", 2, 3600)),
        *(("full-list-seconds", 1, 86400), ("claim-check-seconds", 0.1, 3600), ("progress-seconds", 0.1, 3600)),
    ):
        text = getattr(options, flag.replace("-", "_"))
        whole = not flag.endswith("-seconds") or flag == "lease-seconds"
        if not _in_range(text, low, high, whole):
            found.append(f"--{flag}: {text!r} is not a {'whole ' * whole}number from {low} to {high}")
    if options.metrics_port == options.health_port != "0":
        found.append(f"--metrics-port and --health-port are both {options.health_port}; give each its own")
    for name in sorted(set(_names([options.forbid])) - set(FORBIDDABLE)):
        found.append(f"--forbid: {name!r} cannot be forbidden; use some of {', '.join(FORBIDDABLE)}")
    if not IMAGE.fullmatch(options.sync_image):
        found.append(f"--sync-image: {options.sync_image!r} is not the name of an image")
    if not OBJECT.fullmatch(options.lease_name):
        found.append(f"--lease-name: {options.lease_name!r} is not a name; use lower-case letters, digits, '-' and '.'")
    if options.identity is not None and not options.identity.strip():
        found.append("--identity: is empty, as a lease is that nobody holds; give a name, or leave it out")
    if options.log_format not in ("json", "text"):
        found.append(f"--log-format: {options.log_format!r} is not valid; use json or text")
    if options.log_level not in ("debug", "info", "warning", "error"):
        found.append(f"--log-level: {options.log_level!r} is not valid; use debug, info, warning or error")
    return found


def _in_range(text: str, low: float, high: float, whole: bool) -> bool:
    try:
        return low <= (int(text) if whole else float(text)) <= high
    except ValueError:
        return False
