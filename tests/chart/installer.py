"""Helm at a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.helm import Helm
from support.kubeapi import RealApi, assets
from support.kubeapi.client import Client

Json = dict[str, Any]


class Installer:
    """Helm at one API server."""

    def __init__(self, helm: Helm, api: RealApi) -> None:
        self._helm = helm
        self.api = api
        self.kubeconfig = api.kubeconfig()
        self.client = Client(self.kubeconfig)

    def namespace(self, name: str) -> str:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.client.create("namespaces", {"metadata": {"name": name, "labels": labels}}, "")
        return name

    def helm(
        self, verb: str, namespace: str, *arguments: str, values: Json | None = None, release: str = "multitalk"
    ) -> str:
        return self._helm.run(
            *(verb, release, *arguments, "--namespace", namespace), values=values, kubeconfig=self.kubeconfig
        )

    def names(self, resource: str, namespace: str) -> list[str]:
        return [each["metadata"]["name"] for each in self.client.list(resource, namespace)]


@contextmanager
def installing(helm: Helm, folder: Path) -> Iterator[Installer]:
    """At an API server of its own; skips the test where there is none."""
    programs = assets()
    if programs is None:
        pytest.skip("no real API server: set KUBEBUILDER_ASSETS")
    with RealApi(programs, folder) as api:
        running = Installer(helm, api)
        yield running
        running.client.close()
