"""The metrics port of a running sync: ``/metrics`` for Prometheus, ``/status`` for the operator, ``/healthz``.

    modelcache_sync_size_bytes{cache,model}             bytes that the model needs
    modelcache_sync_present_bytes{cache,model}          bytes of it that are on the volume
    modelcache_sync_files{cache,model}                  files that the model needs
    modelcache_sync_present_files{cache,model}          files of it that are complete
    modelcache_sync_complete{cache,model}               1 when verified, else 0
    modelcache_sync_fetched_bytes_total{cache}          bytes received by this run, from the hub and from peers
    modelcache_sync_peer_bytes_total{cache}             those of them that peers sent
    modelcache_sync_verified_bytes_total{cache}         bytes read back from the volume and hashed by this run
    modelcache_sync_rate_bytes_per_second{cache}        current rate
    modelcache_sync_hub_errors_total{cache,reason}      failed attempts to get something from the hub
    modelcache_sync_peers_left_out_total{cache,reason}  peers that are not asked any more

Values are read from the progress at each scrape. Nothing that comes in over this port changes anything.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from init_sync.core.report import Report
from init_sync.shell.listen import CannotListen, listen
from init_sync.sync.progress import Progress

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 5
"""From byte to byte; a client that drips is ended by ``MAX_CONNECTIONS``."""
MAX_CONNECTIONS = 64
"""At most; the oldest one makes room for the next."""


class SyncCollector(Collector):
    """Turns a progress's report into metrics."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def collect(self) -> Iterator[Metric]:
        report = self._progress.report()
        per_model = {
            "size_bytes": ("Bytes that the model needs.", [model.bytes_total for model in report.models]),
            "present_bytes": ("Bytes that are on the volume.", [model.bytes_present for model in report.models]),
            "files": ("Files that the model needs.", [model.files_total for model in report.models]),
            "present_files": ("Files that are complete.", [model.files_present for model in report.models]),
            "complete": ("1 when the model is verified, else 0.", [int(model.complete) for model in report.models]),
        }
        for name, (text, values) in per_model.items():
            family = GaugeMetricFamily(f"modelcache_sync_{name}", text, labels=("cache", "model"))
            for model, value in zip(report.models, values, strict=True):
                family.add_metric((report.cache, model.name), value)
            yield family
        yield from self._of_the_run(report)

    def _of_the_run(self, report: Report) -> Iterator[Metric]:
        cache = report.cache
        counters = {
            "fetched_bytes": ("Bytes received, from the hub and from peers.", report.bytes_fetched),
            "peer_bytes": ("Those of them that peers sent.", report.bytes_from_peers),
            "verified_bytes": ("Bytes read back from the volume and hashed.", report.bytes_verified),
        }
        for name, (text, value) in counters.items():
            counter = CounterMetricFamily(f"modelcache_sync_{name}", text, labels=("cache",))
            counter.add_metric((cache,), value)
            yield counter
        gauge = GaugeMetricFamily("modelcache_sync_rate_bytes_per_second", "Current rate.", labels=("cache",))
        gauge.add_metric((cache,), report.bytes_per_second)
        yield gauge
        errors = CounterMetricFamily(
            "modelcache_sync_hub_errors", "Failed attempts to get something from the hub.", labels=("cache", "reason")
        )
        for reason, count in dict(self._progress.hub_errors).items():
            errors.add_metric((cache, reason), count)
        yield errors
        left_out = CounterMetricFamily(
            "modelcache_sync_peers_left_out", "Peers that are not asked any more.", labels=("cache", "reason")
        )
        for reason, count in Counter(dict(self._progress.peers_left_out).values()).items():
            left_out.add_metric((cache, reason), count)
        yield left_out


class _Server(ThreadingHTTPServer):
    """On a socket that listens already; quiet about clients that come and go."""

    daemon_threads = True

    def __init__(self, listener: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        self._connections: deque[socket.socket] = deque()
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        if len(self._connections) > MAX_CONNECTIONS:
            with suppress(OSError):
                self._connections.popleft().shutdown(socket.SHUT_RDWR)  # its thread ends
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with suppress(ValueError):  # it made room
            self._connections.remove(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002  # socketserver calls it
        log.debug("a client of the metrics port broke off", exc_info=True)


class MetricsServer:
    """Serves until the process ends; a port that is taken costs only the figures, never the sync."""

    def __init__(self, progress: Progress, port: int) -> None:
        registry = CollectorRegistry()
        registry.register(SyncCollector(progress))

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_TIMEOUT_S

            def do_GET(self) -> None:  # the name that http.server calls
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                elif path == "/status":
                    self._answer(200, "application/json", progress.report().text().encode())
                elif path == "/healthz":
                    self._answer(200, "text/plain", b"ok\n")
                else:
                    self._answer(404, "text/plain", b"try /metrics, /status or /healthz\n")

            def _answer(self, status: int, content_type: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Requests are not worth a line in the sync's log."""

        listener = listen(port)
        self._server = _Server(listener, Handler)
        self.port: int = listener.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()


def serve(progress: Progress, port: int) -> MetricsServer | None:
    """Start serving; None, with a warning, when the port cannot be had."""
    try:
        server = MetricsServer(progress, port)
    except CannotListen as error:
        log.warning("syncing without metrics: %s", error)
        return None
    log.info("Progress at http://localhost:%d/status and /metrics", server.port)
    return server
