"""Watches caches and pods, prints each row that changed, and keeps the moments that the demo talks about."""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path
from typing import Any

from support.demo.screen import Screen, cells
from support.kubeapi.client import Client
from support.runner.statuses import is_ready

Json = dict[str, Any]
NAMESPACE = "default"
QUIET_S = 1.5
"""Between two rows of one cache that differ in their progress alone."""


class Spectator:
    """``moments[object, what]`` is a time of ``time.monotonic``."""

    def __init__(self, kubeconfig: Path, screen: Screen) -> None:
        self._client = Client(kubeconfig)
        self._screen = screen
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._rows: dict[str, list[str]] = {}
        self._printed: dict[str, float] = {}
        self.moments: dict[tuple[str, str], float] = {}
        self._threads = [
            threading.Thread(target=self._follow, args=(resource,), daemon=True) for resource in ("modelcaches", "pods")
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Nothing is printed any more; its watches end with the API."""
        with self._guard:
            self._stop.set()

    def _follow(self, resource: str) -> None:
        try:
            for event in self._client.watch(resource, NAMESPACE, self._stop):
                if event["type"] != "DELETED":
                    self._note(resource, event["object"])
                self._show(resource)
        except (OSError, http.client.HTTPException, ValueError):
            if not self._stop.is_set():
                raise

    def _note(self, resource: str, value: Json) -> None:
        name = value["metadata"]["name"]
        for what in _facts(value) if resource == "pods" else _cache_facts(value):
            self.moments.setdefault((name, what), time.monotonic())

    def _show(self, resource: str) -> None:
        rows = self._client.table(resource, NAMESPACE)["rows"]
        with self._guard:
            for row in () if self._stop.is_set() else rows:
                name, *texts = cells(row)
                texts = texts[: 5 if resource == "modelcaches" else 2]
                if resource == "pods":
                    texts.reverse()  # the state first, as with a cache
                self._print(f"{resource[:-1]}/{name}", texts)

    def _print(self, key: str, texts: list[str]) -> None:
        if self._is_news(key, texts):
            self._rows[key], self._printed[key] = texts, time.monotonic()
            self._screen.at(f"{key:<44}{'  '.join(each.ljust(8) for each in texts).rstrip()}")

    def _is_news(self, key: str, texts: list[str]) -> bool:
        before = self._rows.get(key)
        if before == texts or not texts[0]:
            return False
        small = before is not None and before[0] == texts[0] and key.startswith("modelcache/")
        return not small or time.monotonic() - self._printed[key] >= QUIET_S


def _facts(pod: Json) -> list[str]:
    found = [] if pod["spec"].get("schedulingGates") else ["gate open"]
    return [*found, "ready"] if is_ready(pod) else found


def _cache_facts(cache: Json) -> list[str]:
    return ["complete"] if (cache.get("status") or {}).get("complete") else []
