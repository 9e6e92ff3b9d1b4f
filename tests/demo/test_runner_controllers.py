"""Jobs and Deployments on the runner."""

from __future__ import annotations

from typing import Any

import pytest

from demo.bench import SHARED, Bench, container
from support.waiting import eventually

Json = dict[str, Any]
FOREVER = "while true; do sleep 0.05; done"


def job(bench: Bench, script: str, shared: Json | None = None, **spec: Any) -> None:
    main = container(script, "init-sync", **({"volumeMounts": SHARED} if shared else {}))
    pod = {"containers": [main], "restartPolicy": "Never", **(shared or {})}
    template = {"metadata": {"labels": {"job": "x"}}, "spec": pod}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job"},
        "spec": {"template": template, **spec},
    }
    bench.create("jobs", body)


def until_job(bench: Bench, outcome: str) -> Json:
    """Its condition of that type."""

    def found() -> Json | None:
        conditions = bench.get("jobs", "job").get("status", {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == outcome), None)

    condition: Json = eventually(found, f"the Job is {outcome}")
    return condition


def pods(bench: Bench) -> list[str]:
    return [each["metadata"]["name"] for each in bench.client.list("pods", bench.namespace)]


def test_a_job_gets_new_pods_until_one_succeeds(bench: Bench) -> None:
    folder, shared = bench.shared()
    job(bench, "echo run >> /shared/runs; test $(wc -l < /shared/runs) -eq 3", shared)
    until_job(bench, "Complete")
    assert (folder / "runs").read_text().split() == ["run"] * 3
    assert len(pods(bench)) == 3


def test_an_exit_code_of_the_failure_policy_fails_a_job_at_once(bench: Bench) -> None:
    codes = {"containerName": "init-sync", "operator": "In", "values": [2]}
    job(bench, "exit 2", podFailurePolicy={"rules": [{"action": "FailJob", "onExitCodes": codes}]})
    condition = until_job(bench, "Failed")
    assert condition["reason"] == "PodFailurePolicy"
    assert "failed with exit code 2" in condition["message"]
    assert len(pods(bench)) == 1


def test_a_deleted_job_takes_its_pods_with_it(bench: Bench) -> None:
    if not bench.local:
        pytest.skip("garbage is collected by the controller manager, not by the API server")
    job(bench, FOREVER)
    (name,) = eventually(lambda: pods(bench), "it has a pod")
    bench.until_phase("Running", name)
    bench.delete("jobs", "job")
    bench.until_gone(name)


def test_a_deployment_replaces_a_pod_that_was_deleted(bench: Bench) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container(FOREVER)]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    bench.create(
        "deployments", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    )
    (old,) = eventually(lambda: pods(bench), "it has a pod")
    bench.until_phase("Running", old)
    bench.delete_gracefully(old)
    eventually(lambda: old not in pods(bench) and pods(bench), "there is another pod")
