"""What a ModelCache may set for its sync Job, as the administrator who runs the operator says.

Without limits the right to create ModelCaches is the right to create Jobs. Each limit takes one thing away, for
clusters whose authors hold less than that:

    --forbid=image,env.valueFrom            fields of spec.sync.job, what ``valueFrom`` refers to, spec.auth, spec.peers
    --job-label-prefix=team.example/        labels of other names are refused
    --allowed-endpoint=https://mirror       the only addresses that variables may send requests, and so the token, to
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from init_sync.core.fields import Choice, Flag, Number
from init_sync.core.manifest_job import JOB

CHOICES = (Flag, Number, Choice)
FIELDS = tuple(name for name, field in JOB.fields.items() if not isinstance(field, CHOICES))
"""Of spec.sync.job: all but switches, numbers and choices, which give nobody more power."""
PLACEMENT = ("nodeSelector", "tolerations")
"""Fields that spec.volume.perNode has too: there they say the same of the same pods."""
AUTH, PEERS, VALUE_FROM = "auth", "peers", "env.valueFrom"
FORBIDDABLE = (*FIELDS, VALUE_FROM, AUTH, PEERS)
ENDPOINTS = ("HF_ENDPOINT", "MODELCACHE_PEERS", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
"""Variables that say where requests go; proxies are read in lower case too, peers are separated by commas."""
LOADERS = ("LD_", "PYTHON", "OPENSSL_", "GCONV_")
"""How variables begin that make a process load code from a path, such as one on the volume. That code asks anybody."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Empty: anything goes."""

    forbidden: frozenset[str] = frozenset()
    label_prefixes: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()

    def problem(self, spec: Mapping[str, Any]) -> str:
        """The first thing in a valid spec that is not allowed, with the cure; empty if there is none."""
        return next(self._problems(spec), "")

    def _problems(self, spec: Mapping[str, Any]) -> Iterator[str]:
        job = (spec.get("sync") or {}).get("job") or {}
        if AUTH in self.forbidden and spec.get("auth"):
            yield _refused("spec.auth", "is not allowed")
        if PEERS in self.forbidden and (spec.get("peers") or {}).get("enabled"):
            yield _refused("spec.peers.enabled", "is not allowed")
        for field in FIELDS:
            if field in self.forbidden and job.get(field):
                yield _refused(f"spec.sync.job.{field}", "is not allowed")
        per_node = (spec.get("volume") or {}).get("perNode") or {}
        for field in PLACEMENT:
            if field in self.forbidden and per_node.get(field):
                yield _refused(f"spec.volume.perNode.{field}", "is not allowed")
        yield from self._wrong_labels(job.get("labels") or {})
        for variable in job.get("env") or ():
            yield from self._wrong_variable(variable)

    def _wrong_labels(self, given: Mapping[str, str]) -> Iterator[str]:
        for name in given:
            if self.label_prefixes and not name.startswith(self.label_prefixes):
                allowed = ", ".join(self.label_prefixes)
                yield _refused(f"spec.sync.job.labels: {name!r}", f"does not begin with one of: {allowed}")

    def _wrong_variable(self, variable: Mapping[str, Any]) -> Iterator[str]:
        name = str(variable.get("name"))
        field = f"spec.sync.job.env: {name}"
        if VALUE_FROM in self.forbidden and variable.get("valueFrom"):
            yield _refused(field, "takes its value from another object, which is not allowed")
        if self.endpoints and name.startswith(LOADERS):
            yield _refused(field, "can load code, which asks other than the allowed endpoints: it is not allowed")
        if self.endpoints and name.upper() in ENDPOINTS:
            value = variable.get("value") or ""
            each_allowed = all(each.strip().rstrip("/") in self.endpoints for each in value.split(","))
            if not each_allowed or variable.get("valueFrom"):  # the value may be a secret
                yield _refused(field, f"is not one of the allowed endpoints: {', '.join(self.endpoints)}")


def _refused(field: str, why: str) -> str:
    return f"{field} {why} by this operator's settings. Remove or correct it, or ask the operator's administrator"
