"""Rendered objects, and how tests find their way in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from init_sync.core.manifest_job import JOB
from init_sync.core.problems import Problems
from modelcache_operator.core import peer_objects
from modelcache_operator.core.job_defaults import NO_DEFAULTS, read_job_defaults, with_defaults
from modelcache_operator.core.parse import parse_cache

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Objects:
    """What one set of values renders to."""

    all: tuple[Json, ...]

    def of(self, kind: str) -> list[Json]:
        return [each for each in self.all if each["kind"] == kind]

    def one(self, kind: str, component: str = "") -> Json:
        """The only one of its kind, or of its kind for a component."""
        found = [each for each in self.of(kind) if component in ("", component_of(each))]
        assert len(found) == 1, f"{len(found)} {kind} objects for {component or 'all'}"
        return found[0]

    def kinds(self) -> set[str]:
        return {each["kind"] for each in self.all}

    def pods(self) -> Iterator[tuple[str, Json]]:
        """Name and template, or pod, of every pod; labels in ``metadata``, the rest in ``spec``."""
        for each in self.all:
            if each["kind"] == "Pod":
                yield each["metadata"]["name"], each
            elif each["kind"] in ("Deployment", "Job"):
                yield each["metadata"]["name"], each["spec"]["template"]

    def server(self) -> Json:
        """Spec of the serving pod."""
        spec: Json = self.one("Deployment", "inference")["spec"]["template"]["spec"]
        return spec

    def job(self) -> Json:
        """``spec.sync.job`` of the ModelCache, and what its operator takes for it where it says nothing."""
        spec = self.one("ModelCache")["spec"]
        job = JOB.check(spec["sync"]["job"], "", Problems())
        found: Json = _set(with_defaults(job, spec, self.job_defaults()))
        return found

    def job_defaults(self) -> Mapping[str, Any]:
        """As the operator of the release reads them."""
        files = [data["sync.yaml"] for each in self.of("ConfigMap") if "sync.yaml" in (data := each.get("data") or {})]
        return read_job_defaults(files[0], "sync.yaml") if files else NO_DEFAULTS

    def peer_server(self) -> Json:
        """The pod that its operator makes for the ModelCache."""
        cache = self.one("ModelCache")
        metadata = {**cache["metadata"], "uid": "uid"}
        return peer_objects.pod(parse_cache({**cache, "metadata": metadata}, defaults=self.job_defaults()), "image", "")

    def preparing(self) -> Json:
        """The pod template of the Job that writes a prepared copy."""
        template: Json = self.one("Job", "prepare")["spec"]["template"]
        return template

    def args(self, component: str) -> list[str]:
        """Arguments of the component's own container."""
        pod = self.one("Deployment", component)["spec"]["template"]["spec"]
        args: list[str] = pod["containers"][0]["args"]
        return args


def _set(value: Any) -> Any:
    """Without what is empty."""
    if isinstance(value, dict):
        return {key: _set(each) for key, each in value.items() if each not in ("", {}, [], ())}
    return [_set(each) for each in value] if isinstance(value, list) else value


def component_of(document: Json) -> str:
    return str((document["metadata"].get("labels") or {}).get("app.kubernetes.io/component", ""))


def selects(selector: Json, labels: Json) -> bool:
    """Whether a label selector matches."""
    by_label = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return by_label and all(_meets(each, labels) for each in selector.get("matchExpressions", ()))


def _meets(expression: Json, labels: Json) -> bool:
    value = labels.get(expression["key"])
    return {
        "Exists": value is not None,
        "In": value in expression.get("values", ()),
        "NotIn": value not in expression.get("values", ()),
    }[expression["operator"]]


def env_of(container: Json) -> dict[str, Json]:
    return {each["name"]: each for each in container.get("env", ())}
