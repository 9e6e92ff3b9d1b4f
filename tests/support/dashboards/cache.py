"""One cache in detail: where it stands, how its sync goes, model by model, and what waits for it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Row

from support.dashboards import panels
from support.dashboards.panels import Board, Query, Steps

ONE = 'namespace="$namespace", cache="$cache"'


def board() -> Board:
    variables = [
        panels.variable("namespace", "Namespace", "modelcache_complete", many=False),
        panels.variable("cache", "Cache", 'modelcache_complete{namespace="$namespace"}', many=False),
    ]
    made = panels.new_board("modelcache-cache", "Model cache / One cache", "One model cache in detail.", variables)
    _state(made)
    _sync(made)
    _models(made)
    _gate(made)
    _life(made)
    return made


def newest(metric: str) -> str:
    return f"max(modelcache_{metric}{{{ONE}}})"


def _state(made: Board) -> None:
    made.with_row(Row("State"))
    phase = panels.figure(
        "Phase",
        "See the operator's page for what each phase means and when it ends.",
        panels.COUNT,
        Query(f"max by (phase) (modelcache_phase{{{ONE}}} == 1)", "{{phase}}"),
    )
    made.with_panel(phase)
    made.with_panel(
        panels.figure(
            "Why not complete",
            "The reason of the condition Complete. kubectl describe modelcache shows its message.",
            panels.COUNT,
            Query(f"max by (reason) (modelcache_reason{{{ONE}}})", "{{reason}}"),
            steps=Steps("orange"),
            none="complete",
        )
    )
    _progress(made)
    made.with_panel(
        panels.figure(
            "Failures in a row",
            "Sync Jobs that failed finally, one after the other.",
            panels.COUNT,
            Query(newest("consecutive_sync_failures")),
            steps=panels.BAD_ABOVE_0,
        )
    )
    over_time = Query(panels.phase_number(ONE, "cache"), "{{cache}}")
    made.with_panel(panels.phases_over_time("Phase over time", "The cache's phases.", over_time, height=4))


def _progress(made: Board) -> None:
    present = Query(f"{newest('present_bytes')} / ({newest('size_bytes')} > 0)")
    made.with_panel(panels.figure("Present", "Share of the bytes that are on the volume.", panels.SHARE, present))
    made.with_panel(
        panels.figure(
            "Time left",
            "What is missing, by the rate of the last five minutes; none while nothing arrives.",
            panels.SECONDS,
            Query(
                f"({newest('size_bytes')} - {newest('present_bytes')}) / "
                f"(max(avg_over_time(modelcache_rate_bytes_per_second{{{ONE}}}[5m])) > 0)"
            ),
        )
    )
    verified = Query(f"time() - min(modelcache_last_verified_timestamp_seconds{{{ONE}}})")
    made.with_panel(panels.figure("Verified", "Age of the oldest proof among the models.", panels.SECONDS, verified))


def _sync(made: Board) -> None:
    made.with_row(Row("Sync"))
    made.with_panel(
        panels.lines(
            "Bytes",
            "What the models need, what of it is on the volume, and what the sync read back from there to check it.",
            panels.BYTES,
            Query(newest("size_bytes"), "needed"),
            Query(newest("present_bytes"), "present"),
            Query(newest("verified_bytes"), "read back"),
            width=8,
        )
    )
    made.with_panel(
        panels.lines(
            "Files",
            "The same in files; present ones are whole.",
            panels.COUNT,
            Query(newest("files"), "needed"),
            Query(newest("present_files"), "present"),
            width=8,
        )
    )
    rate = Query(newest("rate_bytes_per_second"), "from the hub")
    made.with_panel(panels.lines("Rate", "Of the running sync.", panels.RATE, rate, width=8))


SCRAPED = " Only while a sync pod is scraped (port 9464)."


def _models(made: Board) -> None:
    """From the sync containers themselves; the panels are empty where these are not scraped."""
    made.with_row(Row("Models, while a sync runs"))
    for title, description, unit, metrics in (
        ("Bytes by model", "On the volume, against what is needed.", panels.BYTES, ("present_bytes", "size_bytes")),
        ("Files by model", "Whole, against what is needed.", panels.COUNT, ("present_files", "files")),
        ("Complete by model", "1 once the model is verified.", panels.COUNT, ("complete",)),
    ):
        lines = [
            Query(f"max by (model) (modelcache_sync_{metric}{{{ONE}}})", f"{{{{model}}}} {legend}")
            for metric, legend in zip(metrics, ("", "needed"), strict=False)
        ]
        made.with_panel(panels.lines(title, description + SCRAPED, unit, *lines, width=8))
    made.with_panel(
        panels.lines(
            "Work of the sync containers",
            "Bytes that they receive, counted and by their own figure, and bytes that they read back from the volume "
            "to hash them." + SCRAPED,
            panels.RATE,
            Query(_rate("fetched_bytes"), "{{pod}} fetched"),
            Query(_rate("verified_bytes"), "{{pod}} verified"),
            Query(f"max by (pod) (modelcache_sync_rate_bytes_per_second{{{ONE}}})", "{{pod}} own figure"),
        )
    )
    errors = f"sum by (reason) (increase(modelcache_sync_hub_errors_total{{{ONE}}}[$__rate_interval]))"
    made.with_panel(
        panels.lines(
            "Failed attempts",
            "To get something from the hub, by reason; each is retried." + SCRAPED,
            panels.COUNT,
            Query(errors, "{{reason}}"),
            bars=True,
        )
    )


def _rate(name: str) -> str:
    return f"sum by (pod) (rate(modelcache_sync_{name}_total{{{ONE}}}[$__rate_interval]))"


def _gate(made: Board) -> None:
    made.with_row(Row("Gate"))
    made.with_panel(
        panels.lines(
            "Pods waiting",
            "That the gate holds. They hold no GPU.",
            panels.COUNT,
            Query(newest("gate_waiting_pods"), "pods"),
            width=8,
        )
    )
    longest = Query(newest("gate_longest_wait_seconds"), "oldest")
    made.with_panel(
        panels.lines("Longest wait", "How long the oldest of them has waited.", panels.SECONDS, longest, width=8)
    )
    for title, description, unit, expr in (
        (
            "GPU time saved",
            "Seconds waited times GPUs asked for, of all pods let go.",
            panels.SECONDS,
            newest("gate_gpu_seconds_total"),
        ),
        (
            "Mean wait",
            "Of the pods that were let go.",
            panels.SECONDS,
            f"{newest('gate_wait_seconds_sum')} / ({newest('gate_wait_seconds_count')} > 0)",
        ),
    ):
        made.with_panel(panels.figure(title, description, unit, Query(expr), height=8))


def _life(made: Board) -> None:
    made.with_row(Row("Since the cache was made"))
    for title, description, unit, expr in (
        ("Fetched", "Bytes received from the hub.", panels.BYTES, newest("fetched_bytes_total")),
        (
            "Served",
            "Bytes found on the volume instead of being fetched again.",
            panels.BYTES,
            newest("served_bytes_total"),
        ),
        ("Syncs that succeeded", "Warm starts of pods are among them.", panels.COUNT, _syncs("succeeded")),
        ("Syncs that failed", "Each is retried.", panels.COUNT, _syncs("failed")),
        (
            "Mean duration",
            "Of all syncs.",
            panels.SECONDS,
            f"{newest('sync_duration_seconds_sum')} / ({newest('sync_duration_seconds_count')} > 0)",
        ),
        ("Errors of the hub", "Syncs that ended for a reason of the hub's.", panels.COUNT, _hub_errors()),
    ):
        made.with_panel(panels.figure(title, description, unit, Query(expr), none="0"))


def _syncs(outcome: str) -> str:
    return f'max(modelcache_syncs_total{{{ONE}, outcome="{outcome}"}})'


def _hub_errors() -> str:
    return f"sum(max by (reason) (modelcache_hub_errors_total{{{ONE}}}))"
