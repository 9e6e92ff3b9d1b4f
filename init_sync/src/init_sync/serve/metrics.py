"""Metrics of ``init-sync serve``. No label comes from a request, and no name of a repository is in them.

    modelcache_serve_sent_bytes_total                  bytes of files that were sent
    modelcache_serve_requests_total{kind,code}         requests by what they asked for and how they were answered
    modelcache_serve_cut_responses_total{reason}       files whose sending was ended early: changed or slow
    modelcache_serve_connections                       open connections
    modelcache_serve_held_bytes                        bytes of files that receipts prove on the volume
    modelcache_serve_commits                           commits of repositories that are offered

Gauges are computed at scrape time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
REASONS = ("changed", "slow")


class Metrics:
    """Counted by connections, read by a scrape."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        counter = partial(Counter, namespace="modelcache_serve", registry=self._registry)
        self.sent = counter("sent_bytes", "Bytes of files that were sent.")
        self.requests = counter("requests", "Requests by what they asked for and the answer.", ("kind", "code"))
        self.cut = counter("cut_responses", "Files whose sending was ended early.", ("reason",))
        for reason in REASONS:
            self.cut.labels(reason)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A gauge that is computed at scrape time."""
        Gauge(f"modelcache_serve_{name}", text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        return generate_latest(self._registry)
