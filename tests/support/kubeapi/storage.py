"""Objects, their versions and their history: what etcd and the API server's storage layer do."""

from __future__ import annotations

import asyncio
import copy
import datetime
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from support.kubeapi.errors import ApiError, not_found
from support.kubeapi.kinds import BUILT_IN, Kind, defined_kind, dig
from support.kubeapi.schema import Conformity, conform
from support.kubeapi.selectors import selector

Json = dict[str, Any]
HISTORY = 20_000
"""Changes that a watch may still ask for; older ones are answered with 410 Gone."""
SERVER_FIELDS = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")
GATED = "Scheduling is blocked due to non-empty scheduling gates"
GRACE_S = 30
"""Of pods that do not say how long their end may take."""


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history."""

    version: int
    key: tuple[str, str]
    event: str
    object: Json
    before: Json | None


def now(later_s: int = 0) -> str:
    at = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=later_s)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


class Storage:
    """For one event loop."""

    def __init__(self) -> None:
        self.kinds: dict[tuple[str, str], Kind] = {kind.key: kind for kind in BUILT_IN}
        self.objects: dict[tuple[str, str], dict[tuple[str, str], Json]] = {}
        self.history: deque[Change] = deque(maxlen=HISTORY)
        self.version = 100
        self.changed = asyncio.Condition()
        self._waking: asyncio.Task[None] | None = None
        self._gone_owners: set[str] = set()
        for name in ("default", "kube-system"):
            body = {"metadata": {"name": name}, "status": {"phase": "Active"}}
            self._put(self.kinds["", "namespaces"], body, "ADDED", "", name)

    def find(self, kind: Kind, namespace: str, name: str) -> Json:
        try:
            return self.objects.get(kind.key, {})[namespace, name]
        except KeyError:
            raise not_found(kind.resource, name) from None

    def matching(self, kind: Kind, namespace: str, name: str, query: dict[str, str]) -> list[Json]:
        matches = matcher(namespace, name, query)
        return [each for each in self.objects.get(kind.key, {}).values() if matches(each)]

    def create(self, kind: Kind, namespace: str, body: Json, query: dict[str, str]) -> tuple[Json, str]:
        """The object and a warning."""
        metadata = body.setdefault("metadata", {})
        name = metadata.get("name")
        if not name:
            if not metadata.get("generateName"):
                raise ApiError(422, "Invalid", "metadata.name: Required value: name or generateName is required")
            name = metadata["generateName"] + uuid.uuid4().hex[:5]
        if kind.namespaced and ("", namespace) not in self.objects["", "namespaces"]:
            raise not_found("namespaces", namespace)
        if (namespace, name) in self.objects.get(kind.key, {}):
            raise ApiError(409, "AlreadyExists", f'{kind.resource} "{name}" already exists')
        if kind.status and kind.schema:
            body.pop("status", None)
        if kind.plural == "pods":
            body["status"] = _new_pod_status(body)
        body, warning = self._conform(kind, body, query)
        if not query.get("dryRun"):
            body = self._put(kind, body, "ADDED", namespace, name)
            if self._gone_owners.intersection(_owners(body)):  # made by somebody who had not seen that yet
                self.delete(kind, namespace, name)
        return body, warning

    def update(
        self, kind: Kind, namespace: str, name: str, sub: str, change: Callable[[Json], Json], query: dict[str, str]
    ) -> tuple[Json, str]:
        old = self.find(kind, namespace, name)
        new = change(copy.deepcopy(old))
        sent = dig(new, "metadata.resourceVersion")
        if sent and sent != old["metadata"]["resourceVersion"]:
            what = f'Operation cannot be fulfilled on {kind.resource} "{name}": the object has been modified'
            raise ApiError(409, "Conflict", f"{what}; please apply your changes to the latest version and try again")
        if kind.plural == "pods" and (uid := dig(new, "metadata.uid")) not in (None, old["metadata"]["uid"]):
            message = f'Pod "{name}" is invalid: metadata.uid: Invalid value: "{uid}": field is immutable'
            raise ApiError(422, "Invalid", message)
        for field in SERVER_FIELDS:
            new["metadata"].pop(field, None)
            if field in old["metadata"]:
                new["metadata"][field] = old["metadata"][field]
        new = _with_status(old, new, sub) if kind.status else new
        new, warning = self._conform(kind, copy.deepcopy(new), query)
        if _desired(new) != _desired(old):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if new == old or query.get("dryRun"):
            return new, warning
        gone = new["metadata"].get("deletionTimestamp") and not _held(new)
        return self._put(kind, new, "DELETED" if gone else "MODIFIED", namespace, name), warning

    def delete(self, kind: Kind, namespace: str, name: str, grace_s: int | None = None) -> Json:
        """``grace_s``: as the caller wishes; pods that run are only marked, and deleted once more by their kubelet."""
        old = self.find(kind, namespace, name)
        new = copy.deepcopy(old)
        grace = _grace(new, grace_s) if kind.plural == "pods" else 0
        if grace or new["metadata"].get("finalizers"):
            if "deletionTimestamp" in new["metadata"]:
                return new
            new["metadata"]["deletionTimestamp"] = now(grace)
            new["metadata"] |= {"deletionGracePeriodSeconds": grace} if grace else {}
            return self._put(kind, new, "MODIFIED", namespace, name)
        result = self._put(kind, new, "DELETED", namespace, name)
        self._collect(kind, name, old["metadata"]["uid"])
        return result

    def _collect(self, kind: Kind, name: str, uid: str) -> None:
        """Garbage collection in the background: what the object owned, or what was in the namespace."""
        self._gone_owners.add(uid)
        for key, table in list(self.objects.items()):
            for (namespace, each), value in list(table.items()):
                inside = kind.plural == "namespaces" and namespace == name
                if (uid in _owners(value) or inside) and (namespace, each) in table:
                    self.delete(self.kinds[key], namespace, each)

    def _conform(self, kind: Kind, body: Json, query: dict[str, str]) -> tuple[Json, str]:
        if not kind.schema:
            return body, ""
        title = f'{kind.kind}.{kind.group} "{dig(body, "metadata.name")}"'
        return conform(body, kind.schema, title, query.get("fieldValidation", "Warn"))

    def _put(self, kind: Kind, body: Json, event: str, namespace: str, name: str) -> Json:
        self.version += 1
        metadata = body.setdefault("metadata", {})
        if event == "ADDED":
            metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        metadata |= {"name": name, "resourceVersion": str(self.version)}
        if namespace:
            metadata["namespace"] = namespace
        body = {"apiVersion": kind.api_version, "kind": kind.kind} | body
        table = self.objects.setdefault(kind.key, {})
        before = table.pop((namespace, name), None) if event == "DELETED" else table.get((namespace, name))
        if event != "DELETED":
            table[namespace, name] = body
        if kind.plural == "customresourcedefinitions":
            self._define(body, event)
        self.history.append(Change(self.version, kind.key, event, body, before))
        self._wake()
        return body

    def _define(self, crd: Json, event: str) -> None:
        kind = defined_kind(crd)
        if event == "DELETED":
            self.kinds.pop(kind.key, None)
            self.objects.pop(kind.key, None)
            return
        self.kinds[kind.key] = kind
        # What is stored is read by the newest schema, which adds defaults and drops fields, and is no change.
        stored = self.objects.get(kind.key, {})
        stored |= {key: Conformity().check(value, kind.schema or {}) for key, value in stored.items()}
        conditions = [
            {"type": each, "status": "True", "reason": "NoConflicts", "message": "", "lastTransitionTime": now()}
            for each in ("NamesAccepted", "Established")
        ]
        names, versions = crd["spec"]["names"], [kind.version]
        crd["status"] = {"acceptedNames": names, "storedVersions": versions, "conditions": conditions}

    def _wake(self) -> None:
        """Tell the watches, once for all changes that are made before they run."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # while the API is being made
            return
        if self._waking is None or self._waking.done():
            self._waking = loop.create_task(self._notify())

    async def _notify(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def matcher(namespace: str, name: str, query: dict[str, str]) -> Callable[[Json], bool]:
    labels, fields = selector(query.get("labelSelector")), selector(query.get("fieldSelector"))

    def matches(value: Json) -> bool:
        metadata = value["metadata"]
        return (
            (not namespace or metadata.get("namespace") == namespace)
            and (not name or metadata["name"] == name)
            and labels((metadata.get("labels") or {}).get)
            and fields(lambda path: dig(value, path) or "")
        )

    return matches


def _new_pod_status(pod: Json) -> Json:
    """That a pod is held shows from its first moment on: the API server itself says so, before any scheduler."""
    given = {"phase": "Pending", **(pod.get("status") or {})}
    if not (pod.get("spec") or {}).get("schedulingGates") or given.get("conditions"):
        return given
    condition = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": GATED}
    return {**given, "conditions": [condition]}


def _grace(pod: Json, wanted_s: int | None) -> int:
    """How long a pod's end may take: no time if no kubelet has it, or if it has ended."""
    spec = pod.get("spec") or {}
    if not spec.get("nodeName") or dig(pod, "status.phase") in ("Succeeded", "Failed"):
        return 0
    if wanted_s is not None:
        return wanted_s
    return int(spec.get("terminationGracePeriodSeconds", GRACE_S))


def _owners(value: Json) -> list[str]:
    return [owner.get("uid", "") for owner in value["metadata"].get("ownerReferences", ())]


def _held(value: Json) -> bool:
    """Whether a finalizer must be removed before it can be deleted."""
    return bool(value["metadata"].get("finalizers") or value["metadata"].get("deletionGracePeriodSeconds"))


def _with_status(old: Json, new: Json, sub: str) -> Json:
    """A write to the status leaves the rest alone, and the other way round."""
    if sub == "status":
        return {**old, "status": new.get("status", {})}
    return {key: value for key, value in new.items() if key != "status"} | (
        {"status": old["status"]} if "status" in old else {}
    )


def _desired(value: Json) -> Json:
    return {key: each for key, each in value.items() if key not in ("metadata", "status")}
