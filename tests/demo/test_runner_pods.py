"""Pods on the runner: what a kubelet would do with them."""

from __future__ import annotations

from demo.bench import Bench, container


def test_a_pod_runs_to_its_end_and_keeps_the_end_of_a_long_termination_message(bench: Bench) -> None:
    script = "printf 'a%.0s' $(seq 5000) > /dev/termination-log; printf end >> /dev/termination-log"
    bench.pod(container(script))
    status = bench.until_phase("Succeeded")
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 0
    assert ended["message"] == "a" * 4093 + "end"
