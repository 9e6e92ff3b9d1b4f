"""The client of tests, runner and demo: blocking calls on JSON, against the in-memory API and a real one alike.

It is not the operator's client on purpose: a mistake there must not hide itself here. The checks on a real cluster
(tests/e2e) use kubectl and Helm instead, as its users do.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from support.kubeapi.access import read_kubeconfig
from support.kubeapi.errors import ApiError

Json = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
MERGE = "application/merge-patch+json"
PATHS = {
    "modelcaches": "/apis/modelcache.dev/v1alpha1",
    "jobs": "/apis/batch/v1",
    "deployments": "/apis/apps/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "endpointslices": "/apis/discovery.k8s.io/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "validatingadmissionpolicies": "/apis/admissionregistration.k8s.io/v1",
    "validatingadmissionpolicybindings": "/apis/admissionregistration.k8s.io/v1",
    "mutatingadmissionpolicies": "/apis/admissionregistration.k8s.io/v1",
    "mutatingadmissionpolicybindings": "/apis/admissionregistration.k8s.io/v1",
    "roles": "/apis/rbac.authorization.k8s.io/v1",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "clusterroles": "/apis/rbac.authorization.k8s.io/v1",
    "clusterrolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "customresourcedefinitions": "/apis/apiextensions.k8s.io/v1",
}


class Client:
    """Safe to use from several threads; each has a connection of its own.

    ``acting_as`` is the user in whose name an admin asks.
    """

    def __init__(self, kubeconfig: Path, acting_as: str = "") -> None:
        self._access = read_kubeconfig(kubeconfig)
        self._url = urlsplit(self._access.url)
        self._login = {"Authorization": f"Bearer {self._access.token}"} if self._access.token else {}
        if acting_as:
            self._login["Impersonate-User"] = acting_as
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._watched: weakref.WeakSet[socket.socket] = weakref.WeakSet()

    def close(self) -> None:
        """Ends watches too, though nothing happens that they could tell."""
        for watched in tuple(self._watched):
            with suppress(OSError):  # it has ended by itself
                socket.socket.shutdown(watched, socket.SHUT_RDWR)  # TLS has no say in it
        for each in self._connections:
            each.close()

    def get(self, resource: str, name: str, namespace: str = "default") -> Json:
        return self.call("GET", self.path(resource, namespace, name))

    def find(self, resource: str, name: str, namespace: str = "default") -> Json | None:
        """None when it is not there."""
        try:
            return self.get(resource, name, namespace)
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def list(self, resource: str, namespace: str = "default", labels: str = "") -> list[Json]:
        query = {"labelSelector": labels} if labels else {}
        return _entries(self.call("GET", self.path(resource, namespace), query=query))

    def create(self, resource: str, body: Json, namespace: str = "default", **query: str) -> Json:
        return self.call("POST", self.path(resource, namespace), body, query=query)

    def patch(
        self, resource: str, name: str, body: Any, namespace: str = "default", sub: str = "", kind: str = MERGE
    ) -> Json:
        return self.call("PATCH", self.path(resource, namespace, name, sub), body, kind)

    def apply(self, body: Json) -> Json:
        """An object of any kind, such as a chart renders; one that is there is patched."""
        plural = re.sub("ys$", "ies", f"{body['kind'].lower()}s")
        name, namespace = body["metadata"]["name"], body["metadata"].get("namespace", "")
        if self.find(plural, name, namespace) is None:
            return self.create(plural, body, namespace)
        return self.patch(plural, name, body, namespace)

    def table(self, resource: str, namespace: str = "default", labels: str = "") -> Json:
        """What ``kubectl get`` shows."""
        query = {"labelSelector": labels} if labels else {}
        return self.call("GET", self.path(resource, namespace), query=query, accept=TABLE)

    def bind(self, pod: str, namespace: str, node: str) -> None:
        """As a scheduler does."""
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod}, "target": target}
        self.call("POST", self.path("pods", namespace, pod, "binding"), body)

    def delete(self, resource: str, name: str, namespace: str = "default") -> None:
        """At once; what it owned is left to the garbage collector, which a Job would wait for by default."""
        options = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}
        self.call("DELETE", self.path(resource, namespace, name), options)

    def path(self, resource: str, namespace: str = "", name: str = "", sub: str = "") -> str:
        place = ("namespaces", namespace) if namespace else ()
        return "/".join(each for each in (PATHS.get(resource, "/api/v1"), *place, resource, name, sub) if each)

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        kind: str = "application/json",
        query: dict[str, str] | None = None,
        accept: str = "application/json",
    ) -> Json:
        """Raises ApiError for anything but success, OSError when nobody answers."""
        url = f"{path}?{urlencode(query)}" if query else path
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        status, text = self._exchange(method, url, data, {"Content-Type": kind, "Accept": accept, **self._login})
        answer: Json = json.loads(text) if text[:1] == b"{" else {"message": text.decode(errors="replace")}
        if status >= 300:
            raise ApiError(status, answer.get("reason", ""), answer.get("message", ""))
        return answer

    def _exchange(self, method: str, url: str, data: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        if not hasattr(self._local, "connection"):
            self._local.connection = self._new_connection()
            self._connections.append(self._local.connection)
        connection: http.client.HTTPConnection = self._local.connection
        try:
            return _answer(connection, method, url, data, headers)
        except (OSError, http.client.HTTPException):  # it was kept alive here alone: it opens once more by itself
            connection.close()
            return _answer(connection, method, url, data, headers)

    def _new_connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._access.tls:
            return http.client.HTTPSConnection(host, port, timeout=30, context=self._access.tls)
        return http.client.HTTPConnection(host, port, timeout=30)

    def watch(self, resource: str, namespace: str, stop: threading.Event) -> Iterator[Json]:
        """What there is and every event from then on, until ``stop`` is set; at once, if ``close`` follows.

        Raises ApiError when it is refused, OSError when the stream is cut.

        In pieces of a few seconds, each from the version at which the last one ended.
        """
        try:
            yield from self._pieces(resource, namespace, stop)
        except (OSError, http.client.HTTPException):
            if not stop.is_set():
                raise

    def _pieces(self, resource: str, namespace: str, stop: threading.Event) -> Iterator[Json]:
        version = ""
        while not stop.is_set():
            query = {"watch": "true", "timeoutSeconds": "3"} | ({"resourceVersion": version} if version else {})
            with closing(self._new_connection()) as connection:
                connection.request("GET", f"{self.path(resource, namespace)}?{urlencode(query)}", headers=self._login)
                self._watched.add(connection.sock)
                answer = connection.getresponse()
                if answer.status != 200:
                    raise ApiError(answer.status, "", answer.read().decode(errors="replace"))
                while line := answer.readline():
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        version = ""
                        break
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event


def _answer(connection: http.client.HTTPConnection, *request: Any) -> tuple[int, bytes]:
    connection.request(*request)
    answer = connection.getresponse()
    return answer.status, answer.read()


def _entries(answer: Json) -> list[Json]:
    """Objects of a list, with the kind that a real API server tells of the whole list alone."""
    kind = {"apiVersion": answer["apiVersion"], "kind": answer["kind"].removesuffix("List")}
    return [{**kind, **each} for each in answer["items"]]
