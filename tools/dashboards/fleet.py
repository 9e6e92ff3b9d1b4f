"""All caches at a glance: who may start, what is transferred, what the gate saves, how the operator does."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Row

from dashboards import panels
from dashboards.cache_table import cache_table
from dashboards.panels import Board, Query

CHOSEN = 'namespace=~"$namespace", cache=~"$cache"'
EACH = "max by (namespace, cache)"
LEGEND = "{{namespace}}/{{cache}}"


def board() -> Board:
    variables = [
        panels.variable("namespace", "Namespace", "modelcache_complete"),
        panels.variable("cache", "Cache", 'modelcache_complete{namespace=~"$namespace"}'),
    ]
    made = panels.new_board("modelcache-fleet", "Model cache / Fleet", "All model caches.", variables)
    _caches(made)
    _transfer(made)
    _gate(made)
    _operator(made)
    return made


def _caches(made: Board) -> None:
    made.with_row(Row("Caches"))
    for title, description, expr, steps in (
        (
            "Caches",
            "ModelCaches that the operator sees.",
            f"count({EACH} (modelcache_complete{{{CHOSEN}}}))",
            panels.PLAIN,
        ),
        ("Complete", "Their models are proven complete: GPUs may start.", _complete("1"), panels.GOOD_ABOVE_0),
        ("Not complete", "Pods of these wait at the gate.", _complete("0"), panels.WATCH_ABOVE_0),
        ("Degraded", "Were complete and are not any more.", _in_phase("Degraded"), panels.BAD_ABOVE_0),
        (
            "Failed",
            "A sync Job failed permanently, or the manifest is wrong.",
            _in_phase("Failed"),
            panels.BAD_ABOVE_0,
        ),
        (
            "Stalled",
            "Only a change by a person can help: the condition Stalled.",
            f"sum({EACH} (modelcache_stalled{{{CHOSEN}}}))",
            panels.BAD_ABOVE_0,
        ),
        (
            "Pods waiting",
            "Pods that the gate holds now. They hold no GPU.",
            f"sum({EACH} (modelcache_gate_waiting_pods{{{CHOSEN}}}))",
            panels.PLAIN,
        ),
        (
            "Outdated pods",
            "Started pods whose commits are not those on the volume any more. Restart them to load what is there now.",
            f"sum({EACH} (modelcache_outdated_pods{{{CHOSEN}}}))",
            panels.WATCH_ABOVE_0,
        ),
    ):
        made.with_panel(panels.figure(title, description, panels.COUNT, Query(expr), width=3, steps=steps))
    made.with_panel(cache_table(CHOSEN))
    made.with_panel(
        panels.phases_over_time(
            "Phases",
            "The phase of each cache over time.",
            Query(panels.phase_number(CHOSEN, "namespace", "cache"), LEGEND),
        )
    )


def _complete(value: str) -> str:
    return f"count({EACH} (modelcache_complete{{{CHOSEN}}}) == {value}) or vector(0)"


def _in_phase(phase: str) -> str:
    return f'sum({EACH} (modelcache_phase{{{CHOSEN}, phase="{phase}"}})) or vector(0)'


def _transfer(made: Board) -> None:
    made.with_row(Row("Transfer"))
    for title, description, expr in (
        ("Fetched from the hub", "Bytes received from the hub in this time range.", FETCHED),
        ("Served from the cache", "Bytes found on the volume instead of being fetched again, in this range.", SERVED),
    ):
        made.with_panel(panels.figure(title, description, panels.BYTES, Query(expr), width=6))
    made.with_panel(panels.figure("Share served from the cache", SHARE_TEXT, panels.SHARE, Query(SHARE), width=6))
    made.with_panel(
        panels.figure(
            "Transfer rate now",
            "What all running syncs receive together.",
            panels.RATE,
            Query(f"sum({EACH} (modelcache_rate_bytes_per_second{{{CHOSEN}}}))"),
            width=6,
        )
    )
    rate = Query(f"{EACH} (modelcache_rate_bytes_per_second{{{CHOSEN}}})", LEGEND)
    made.with_panel(panels.lines("Transfer rate", "Of each running sync.", panels.RATE, rate))
    made.with_panel(
        panels.lines(
            "Duration of syncs",
            "Of the syncs that ended within the last six hours; warm starts of pods are among them.",
            panels.SECONDS,
            *(Query(_duration(quantile), legend) for quantile, legend in ((0.5, "median"), (0.95, "95 of 100"))),
        )
    )
    made.with_panel(panels.lines("Syncs", "That ended, by outcome.", panels.COUNT, SYNCS, bars=True))
    made.with_panel(panels.lines("Errors of the hub", HUB_TEXT, panels.COUNT, HUB_ERRORS, bars=True))


SHARE_TEXT = "Of all bytes that pods and Jobs needed in this time range: at 100 % nothing was fetched."
SERVED, FETCHED = (panels.increased(f"{name}_bytes_total", CHOSEN) for name in ("served", "fetched"))
SHARE = f"{SERVED} / ({SERVED} + {FETCHED} > 0)"
SYNCS = Query(f"sum by (outcome) (increase(modelcache_syncs_total{{{CHOSEN}}}[$__rate_interval]))", "{{outcome}}")
HUB_TEXT = "Syncs that ended for a reason of the hub's, by reason. The first of a kind for a cache is not drawn."
HUB_ERRORS = Query(
    f"sum by (reason) (increase(modelcache_hub_errors_total{{{CHOSEN}}}[$__rate_interval]))", "{{reason}}"
)


def _duration(quantile: float) -> str:
    ended = f"increase(modelcache_sync_duration_seconds_bucket{{{CHOSEN}}}[6h])"
    return f"histogram_quantile({quantile}, sum by (le) ({ended}))"


def _gate(made: Board) -> None:
    made.with_row(Row("Gate"))
    for title, description, unit, expr in (
        ("GPU time saved", SAVED_TEXT, panels.SECONDS, panels.increased("gate_gpu_seconds_total", CHOSEN)),
        (
            "Gates removed",
            "Pods whose gate was removed in this time range.",
            panels.COUNT,
            panels.count("gates_removed_total", CHOSEN),
        ),
        ("Mean wait", "Of the pods whose gate was removed in this time range.", panels.SECONDS, MEAN_WAIT),
        (
            "Longest wait now",
            "Of the pods that wait at present.",
            panels.SECONDS,
            f"max(modelcache_gate_longest_wait_seconds{{{CHOSEN}}})",
        ),
    ):
        made.with_panel(panels.figure(title, description, unit, Query(expr), width=6))
    _gate_over_time(made)


def _gate_over_time(made: Board) -> None:
    made.with_panel(
        panels.lines(
            "Pods waiting",
            "Pods that the gate holds, by cache.",
            panels.COUNT,
            Query(f"{EACH} (modelcache_gate_waiting_pods{{{CHOSEN}}})", LEGEND),
            width=8,
        )
    )
    made.with_panel(
        panels.lines(
            "Longest wait",
            "How long the oldest waiting pod of each cache has waited.",
            panels.SECONDS,
            Query(f"{EACH} (modelcache_gate_longest_wait_seconds{{{CHOSEN}}})", LEGEND),
            width=8,
        )
    )
    saved = Query(
        f"sum by (namespace, cache) (increase(modelcache_gate_gpu_seconds_total{{{CHOSEN}}}[$__rate_interval]))", LEGEND
    )
    made.with_panel(panels.lines("GPU time saved", SAVED_TEXT, panels.SECONDS, saved, width=8, bars=True))


SAVED_TEXT = (
    "Seconds that pods waited at the gate, times the GPUs that they request: these would have been idle while the "
    "models arrived. Counted when a gate is removed."
)
MEAN_WAIT = panels.mean("gate_wait_seconds", CHOSEN)


BY_POD = "{{namespace}}/{{pod}}"


def _operator(made: Board) -> None:
    made.with_row(Row("Operator"))
    active = Query("max by (namespace, pod) (modelcache_operator_active)", BY_POD)
    made.with_panel(
        panels.lines(
            "Active", "1 for an operator that holds its Lease; others stand by.", panels.COUNT, active, width=8
        )
    )
    made.with_panel(
        panels.lines(
            "Queue",
            "Caches that wait to be looked at. Stays near 0.",
            panels.COUNT,
            Query("max by (namespace, pod) (modelcache_operator_queue_length)", BY_POD),
            width=8,
        )
    )
    made.with_panel(
        panels.lines(
            "Age of the last full list",
            "Everything is listed again every two minutes; a line that climbs means that the API does not answer.",
            panels.SECONDS,
            Query(LIST_AGE, BY_POD),
            width=8,
        )
    )
    _operator_work(made)


def _operator_work(made: Board) -> None:
    made.with_panel(
        panels.lines(
            "Work",
            "Looks at caches, those that ended in an error, statuses written, gates removed.",
            panels.PER_SECOND,
            *(Query(_per_second(name), legend) for name, legend in WORK),
        )
    )
    made.with_panel(
        panels.lines(
            "Calls to the Kubernetes API",
            "Watches aside.",
            panels.PER_SECOND,
            Query("sum by (namespace, pod) (rate(modelcache_operator_api_requests_total[$__rate_interval]))", BY_POD),
        )
    )


LIST_AGE = (
    "time() - max by (namespace, pod) (modelcache_operator_last_full_list_timestamp_seconds > 0) "
    "and on (namespace, pod) modelcache_operator_active == 1"
)
WORK = (
    ("reconciles", "looks at caches"),
    ("errors", "errors"),
    ("status_writes", "statuses written"),
    ("gates_opened", "gates removed"),
)


def _per_second(name: str) -> str:
    return f"sum(rate(modelcache_operator_{name}_total[$__rate_interval]))"
