"""The MultiTalk servers: ready or not, what is asked of them, how long it takes, what a start costs."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Row

from dashboards import panels
from dashboards.panels import Board, Query, Steps

CHOSEN = 'namespace=~"$namespace", pod=~"$pod"'
EACH = "max by (namespace, pod)"
LEGEND = "{{namespace}}/{{pod}}"


def board() -> Board:
    variables = [
        panels.variable("namespace", "Namespace", "multitalk_ready"),
        panels.variable("pod", "Pod", 'multitalk_ready{namespace=~"$namespace"}'),
    ]
    text = "MultiTalk servers. Figures of the GPUs themselves come from the cluster's own exporter."
    made = panels.new_board("modelcache-inference", "Model cache / MultiTalk", text, variables)
    _state(made)
    _requests(made)
    _generation(made)
    _start(made)
    return made


def _state(made: Board) -> None:
    made.with_row(Row("State"))
    for title, description, unit, expr, steps in (
        (
            "Ready",
            "Servers that take requests.",
            panels.COUNT,
            f"sum(multitalk_ready{{{CHOSEN}}})",
            panels.GOOD_ABOVE_0,
        ),
        ("Not ready", "Servers that load, stop, or failed.", panels.COUNT, NOT_READY, Steps("green", ((1, "orange"),))),
        ("Waiting", "Videos in the queues.", panels.COUNT, f"sum(multitalk_queue_depth{{{CHOSEN}}})", panels.PLAIN),
        ("Being made", "Videos on the devices.", panels.COUNT, f"sum(multitalk_running{{{CHOSEN}}})", panels.PLAIN),
        ("Finished", "Videos in the chosen time.", panels.COUNT, f"round({_in_range('completed')})", panels.PLAIN),
        ("Failed", "Share of the videos that ended in the chosen time.", panels.SHARE, FAILED, panels.BAD_ABOVE_0),
    ):
        made.with_panel(panels.figure(title, description, unit, Query(expr), steps=steps))
    ready = Query(f"{EACH} (multitalk_ready{{{CHOSEN}}})", LEGEND)
    made.with_panel(panels.lines("Ready", "1 while a server takes requests.", panels.COUNT, ready))
    queue = Query(f"{EACH} (multitalk_queue_depth{{{CHOSEN}}})", LEGEND)
    made.with_panel(panels.lines("Queue", "Videos that wait for the device.", panels.COUNT, queue))


def _in_range(status: str) -> str:
    return f'sum(increase(multitalk_requests_total{{{CHOSEN}, status="{status}"}}[$__range]))'


NOT_READY = f"count(multitalk_ready{{{CHOSEN}}} == 0) or vector(0)"
FAILED = f"{_in_range('failed')} / ({_in_range('failed')} + {_in_range('completed')} > 0)"


def _requests(made: Board) -> None:
    made.with_row(Row("Requests"))
    made.with_panel(
        panels.lines(
            "Requests for a video",
            "By their end. Interrupted: the server was stopped first. Rejected: no place in the queue, or not ready. "
            "Invalid: refused for what they said.",
            panels.COUNT,
            Query(f"sum by (status) (increase(multitalk_requests_total{{{CHOSEN}}}[$__rate_interval]))", "{{status}}"),
            bars=True,
        )
    )
    http = f"sum by (method, route, code) (rate(multitalk_http_requests_total{{{CHOSEN}}}[$__rate_interval]))"
    made.with_panel(
        panels.lines(
            "HTTP answers", "All routes, probes too.", panels.PER_SECOND, Query(http, "{{method}} {{route}} {{code}}")
        )
    )


def _generation(made: Board) -> None:
    made.with_row(Row("Generation"))
    for title, description, metric, window in (
        ("Wait in the queue", "From acceptance to the device, of the last hour.", "queue_wait_seconds", "1h"),
        ("Time of a video", "From start to end on the device, of the last hour.", "generation_seconds", "1h"),
        ("Time of a step", "One step of sampling, of the last ten minutes.", "step_seconds", "10m"),
    ):
        quantiles = ((0.5, "median"), (0.95, "95 of 100"))
        shown = [Query(_quantile(quantile, metric, window), legend) for quantile, legend in quantiles]
        made.with_panel(panels.lines(title, description, panels.SECONDS, *shown, width=8))
    _output(made)


def _output(made: Board) -> None:
    made.with_panel(
        panels.lines(
            "Seconds of video made",
            "By server.",
            panels.SECONDS,
            Query(
                f"sum by (namespace, pod) (increase(multitalk_video_seconds_total{{{CHOSEN}}}[$__rate_interval]))",
                LEGEND,
            ),
            width=8,
            bars=True,
        )
    )
    made.with_panel(
        panels.lines(
            "Device time for a second of video",
            "Of the last hour.",
            panels.SECONDS,
            Query(
                f"sum(increase(multitalk_generation_seconds_sum{{{CHOSEN}}}[1h])) / "
                f"(sum(increase(multitalk_video_seconds_total{{{CHOSEN}}}[1h])) > 0)",
                "device seconds",
            ),
            width=8,
        )
    )
    busy = Query(f"avg_over_time(multitalk_running{{{CHOSEN}}}[10m])", LEGEND)
    made.with_panel(
        panels.lines(
            "Busy", "Share of the last ten minutes in which the device made a video.", panels.SHARE, busy, width=8
        )
    )


def _quantile(quantile: float, metric: str, window: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate(multitalk_{metric}_bucket{{{CHOSEN}}}[{window}])))"


def _start(made: Board) -> None:
    made.with_row(Row("Loading and memory"))
    made.with_panel(
        panels.lines(
            "Loading time",
            "Of the last start of each server; 0 until it is loaded.",
            panels.SECONDS,
            Query(f"{EACH} (multitalk_load_seconds{{{CHOSEN}}})", LEGEND),
            width=6,
        )
    )
    made.with_panel(
        panels.lines(
            "Bytes read while loading",
            "From the volume, by part of the model.",
            panels.BYTES,
            Query(f"max by (pod, component) (multitalk_load_bytes{{{CHOSEN}}})", "{{pod}} {{component}}"),
            width=6,
        )
    )
    made.with_panel(
        panels.lines(
            "GPU memory",
            "Of the server's process, as torch counts it; none on a CPU.",
            panels.BYTES,
            Query(f"max by (pod, kind) (multitalk_gpu_memory_bytes{{{CHOSEN}}})", "{{pod}} {{kind}}"),
            width=6,
        )
    )
    made.with_panel(
        panels.lines(
            "Finished videos kept",
            "On the scratch directory, until they are fetched, deleted or too old.",
            panels.BYTES,
            Query(f"{EACH} (multitalk_results_bytes{{{CHOSEN}}})", LEGEND),
            width=6,
        )
    )
