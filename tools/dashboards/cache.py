"""One cache in detail: where it stands, how its sync goes, model by model, and what waits for it."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Row

from dashboards import panels
from dashboards.panels import Board, Query, Steps

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
    _copies(made)
    _day_two(made)
    _peer_server(made)
    _syncs_in_range(made)
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
        width=3,
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
    made.with_panel(
        panels.figure(
            "Stalled",
            "Whether only a change by a person can help: the condition Stalled.",
            panels.BOOLEAN,
            Query(newest("stalled")),
            width=2,
            steps=panels.BAD_ABOVE_0,
        )
    )
    _progress(made)
    for title, description, metric, steps in (
        (
            "Failures in a row",
            "Sync Jobs that failed permanently, one after the other.",
            "consecutive_sync_failures",
            panels.BAD_ABOVE_0,
        ),
        (
            "Outdated pods",
            "Started pods whose commits are not those on the volume any more. Restart them to load what is there now.",
            "outdated_pods",
            panels.WATCH_ABOVE_0,
        ),
    ):
        made.with_panel(panels.figure(title, description, panels.COUNT, Query(newest(metric)), width=3, steps=steps))
    over_time = Query(panels.phase_number(ONE, "cache"), "{{cache}}")
    made.with_panel(panels.phases_over_time("Phase over time", "The cache's phases.", over_time, height=4))


def _progress(made: Board) -> None:
    present = Query(f"{newest('present_bytes')} / ({newest('size_bytes')} > 0)")
    share = "Share of the bytes that are on the volume."
    made.with_panel(panels.figure("Present", share, panels.SHARE, present, width=3))
    made.with_panel(
        panels.figure(
            "Time left",
            "What is missing, by the rate of the last five minutes; none while nothing arrives.",
            panels.SECONDS,
            Query(
                f"({newest('size_bytes')} - {newest('present_bytes')}) / "
                f"(max(avg_over_time(modelcache_rate_bytes_per_second{{{ONE}}}[5m])) > 0)"
            ),
            width=3,
        )
    )
    verified = Query(f"time() - min(modelcache_last_verified_timestamp_seconds{{{ONE}}})")
    age = "Age of the oldest verification among the models."
    made.with_panel(panels.figure("Verified", age, panels.SECONDS, verified, width=3))


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
            "The same in files; present ones are complete.",
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
        ("Files by model", "Complete, against what is needed.", panels.COUNT, ("present_files", "files")),
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
            Query(_rate("peer_bytes"), "{{pod}} fetched from peers"),
            Query(_rate("verified_bytes"), "{{pod}} verified"),
            Query(f"max by (pod) (modelcache_sync_rate_bytes_per_second{{{ONE}}})", "{{pod}} own figure"),
        )
    )
    errors = f"sum by (reason) (increase(modelcache_sync_hub_errors_total{{{ONE}}}[$__rate_interval]))"
    left_out = f"sum by (reason) (increase(modelcache_sync_peers_left_out_total{{{ONE}}}[$__rate_interval]))"
    made.with_panel(
        panels.lines(
            "Failed attempts",
            "To get something from the hub, by reason; each is retried. And peers that are not asked any more."
            + SCRAPED,
            panels.COUNT,
            Query(errors, "{{reason}}"),
            Query(left_out, "peer left out: {{reason}}"),
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
            "At the gate: these hold no GPU. Ungated early, for spec.gate.leadTime: these hold theirs.",
            panels.COUNT,
            Query(newest("gate_waiting_pods"), "at the gate"),
            Query(newest("early_pods"), "ungated early"),
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
            "Seconds waited times GPUs requested, of the pods whose gate was removed in this time range.",
            panels.SECONDS,
            panels.increased("gate_gpu_seconds_total", ONE),
        ),
        (
            "Mean wait",
            "Of the pods whose gate was removed in this time range.",
            panels.SECONDS,
            panels.mean("gate_wait_seconds", ONE),
        ),
    ):
        made.with_panel(panels.figure(title, description, unit, Query(expr), height=8))


def _copies(made: Board) -> None:
    made.with_row(Row("Copies on nodes"))
    made.with_panel(
        panels.lines(
            "Copies",
            "With spec.volume.perNode, by state: failed ones are retried; waiting ones are still to be synced, or "
            "their node is away. status.copies names the nodes.",
            panels.COUNT,
            Query(f"max by (state) (modelcache_copies{{{ONE}}})", "{{state}}"),
            width=24,
        )
    )


def _day_two(made: Board) -> None:
    made.with_row(Row("Day two"))
    made.with_panel(
        panels.lines(
            "Age of the oldest verification",
            "Since some file was last read and hashed, and how often spec.scrub asks for that. At twice the period, "
            "ModelCacheNotVerified fires.",
            panels.SECONDS,
            Query(f"time() - min(modelcache_last_verified_timestamp_seconds{{{ONE}}})", "age"),
            Query(newest("scrub_period_seconds"), "period"),
            width=8,
        )
    )
    scrubs = f"sum by (result) (increase(modelcache_scrubs_total{{{ONE}}}[$__rate_interval]))"
    made.with_panel(
        panels.lines("Scrubs", "That ended, by result.", panels.COUNT, Query(scrubs, "{{result}}"), width=8, bars=True)
    )
    damaged = f"max by (pod) (modelcache_damaged_pod_info{{{ONE}}})"
    made.with_panel(
        panels.lines(
            "Pods with damaged files",
            "That have them mounted, while the cache is damaged; 20 at most. Restart them once it is Ready.",
            panels.COUNT,
            Query(damaged, "{{pod}}"),
            width=8,
        )
    )
    for title, description, unit, expr, steps in (
        (
            "Update available",
            "Whether the hub has other content than the volume. The annotation modelcache.dev/resync takes it.",
            panels.BOOLEAN,
            newest("update_available"),
            panels.WATCH_ABOVE_0,
        ),
        ("To fetch", "What that update would fetch.", panels.BYTES, newest("update_bytes"), panels.PLAIN),
        (
            "Unused",
            "What prune would remove: files of this cache that nothing needs any more.",
            panels.BYTES,
            newest("unused_bytes"),
            panels.PLAIN,
        ),
        (
            "Pruned",
            "What was removed in this time range.",
            panels.BYTES,
            panels.increased("pruned_bytes_total", ONE),
            panels.PLAIN,
        ),
    ):
        made.with_panel(panels.figure(title, description, unit, Query(expr), width=6, steps=steps))


SERVER = 'namespace="$namespace", pod=~"(mc-)?$cache-peers"'
"""Its metrics do not name the cache; its pod does, unless the cache's name is very long."""


def _peer_server(made: Board) -> None:
    made.with_row(Row("Peer server"))
    sent = Query(f"sum(rate(modelcache_serve_sent_bytes_total{{{SERVER}}}[$__rate_interval]))", "sent")
    made.with_panel(panels.lines("Sent to peers", "Bytes of files.", panels.RATE, sent, width=8))
    requests = f"sum by (kind, code) (increase(modelcache_serve_requests_total{{{SERVER}}}[$__rate_interval]))"
    made.with_panel(
        panels.lines(
            "Requests",
            "By what they ask for and the response; 404 is what the volume does not hold, 503 too many connections.",
            panels.COUNT,
            Query(requests, "{{kind}} {{code}}"),
            width=8,
            bars=True,
        )
    )
    cut = f"sum by (reason) (increase(modelcache_serve_cut_responses_total{{{SERVER}}}[$__rate_interval]))"
    made.with_panel(
        panels.lines(
            "Responses cut",
            "Changed: the file was written to while it was sent. Slow: the client did not read.",
            panels.COUNT,
            Query(cut, "{{reason}}"),
            width=8,
            bars=True,
        )
    )
    for title, description, unit, metric in (
        ("Connections", "Open now, of 256.", panels.COUNT, "connections"),
        ("Held", "Bytes of files that receipts prove on the volume.", panels.BYTES, "held_bytes"),
        ("Commits", "Of repositories that it offers.", panels.COUNT, "commits"),
    ):
        query = Query(f"max(modelcache_serve_{metric}{{{SERVER}}})")
        made.with_panel(panels.figure(title, description, unit, query, width=8))


def _syncs_in_range(made: Board) -> None:
    made.with_row(Row("Syncs, in this time range"))
    for title, description, unit, expr in (
        ("Fetched", "Bytes received from the hub.", panels.BYTES, panels.increased("fetched_bytes_total", ONE)),
        (
            "Served",
            "Bytes found on the volume instead of being fetched again.",
            panels.BYTES,
            panels.increased("served_bytes_total", ONE),
        ),
        ("Syncs that succeeded", "Warm starts of pods are among them.", panels.COUNT, _syncs("succeeded")),
        ("Syncs that failed", "Each is retried.", panels.COUNT, _syncs("failed")),
        (
            "Mean duration",
            "Of all syncs.",
            panels.SECONDS,
            panels.mean("sync_duration_seconds", ONE),
        ),
        (
            "Errors of the hub",
            "Syncs that ended for a reason of the hub's. The first of a kind is not counted.",
            panels.COUNT,
            panels.count("hub_errors_total", ONE),
        ),
    ):
        made.with_panel(panels.figure(title, description, unit, Query(expr), none="0"))


def _syncs(outcome: str) -> str:
    return panels.count("syncs_total", f'{ONE}, outcome="{outcome}"')
