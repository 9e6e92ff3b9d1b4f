"""Jobs, Deployments and Services on the runner."""

from __future__ import annotations

import socket
import urllib.request
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


def deployment(bench: Bench, main: Json, strategy: str = "Recreate", **pod: Any) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [main], **pod}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    bench.create("deployments", {**body, "spec": {**spec, "strategy": {"type": strategy}}})


def pods(bench: Bench) -> list[str]:
    return [each["metadata"]["name"] for each in bench.client.list("pods", bench.namespace)]


def until_available(bench: Bench) -> None:
    def available() -> bool:
        status = bench.get("deployments", "web").get("status", {})
        generation = bench.get("deployments", "web")["metadata"]["generation"]
        return (status.get("observedGeneration"), status.get("availableReplicas")) == (generation, 1)

    eventually(available, "the Deployment is available")


def test_a_job_gets_new_pods_until_one_succeeds(bench: Bench) -> None:
    folder, shared = bench.shared()
    job(bench, "echo run >> /shared/runs; test $(wc -l < /shared/runs) -eq 3", shared)
    until_job(bench, "Complete")
    assert (folder / "runs").read_text().split() == ["run"] * 3
    assert len(pods(bench)) == 3


def test_a_job_fails_when_its_backoff_limit_is_exceeded(bench: Bench) -> None:
    job(bench, "exit 1", backoffLimit=1)
    assert until_job(bench, "Failed")["reason"] == "BackoffLimitExceeded"
    assert len(pods(bench)) == 2


def test_an_exit_code_of_the_failure_policy_fails_a_job_at_once(bench: Bench) -> None:
    codes = {"containerName": "init-sync", "operator": "In", "values": [2]}
    job(bench, "exit 2", podFailurePolicy={"rules": [{"action": "FailJob", "onExitCodes": codes}]})
    condition = until_job(bench, "Failed")
    assert condition["reason"] == "PodFailurePolicy"
    assert "failed with exit code 2" in condition["message"]
    assert len(pods(bench)) == 1


def test_a_job_that_is_active_too_long_is_ended(bench: Bench) -> None:
    job(bench, FOREVER, activeDeadlineSeconds=1)
    assert until_job(bench, "Failed")["reason"] == "DeadlineExceeded"
    eventually(lambda: pods(bench) == [], "its pod is gone")


def test_a_deleted_job_takes_its_pods_with_it(bench: Bench) -> None:
    if not bench.local:
        pytest.skip("garbage is collected by the controller manager, not by the API server")
    job(bench, FOREVER)
    (name,) = eventually(lambda: pods(bench), "it has a pod")
    bench.until_phase("Running", name)
    bench.delete("jobs", "job")
    bench.until_gone(name)


def test_a_deployment_replaces_a_pod_that_was_deleted(bench: Bench) -> None:
    deployment(bench, container(FOREVER))
    until_available(bench)
    (old,) = pods(bench)
    bench.delete_gracefully(old)
    eventually(lambda: old not in pods(bench) and pods(bench), "there is another pod")
    until_available(bench)


def test_recreate_ends_the_old_pod_before_the_new_one_is_made(bench: Bench) -> None:
    folder, shared = bench.shared()
    script = f"trap 'echo end >> /shared/log; exit 0' TERM; echo begin >> /shared/log; {FOREVER}"
    deployment(bench, container(script, volumeMounts=SHARED), **shared)
    eventually(lambda: (folder / "log").exists(), "the first runs")
    changed = container(script + " # changed", volumeMounts=SHARED)
    bench.patch("deployments", "web", {"spec": {"template": {"spec": {"containers": [changed]}}}})
    eventually(lambda: (folder / "log").read_text().split() == ["begin", "end", "begin"], "one after the other")


def test_a_rolling_update_ends_the_old_pod_when_the_new_one_is_ready(bench: Bench) -> None:
    folder, shared = bench.shared()
    script = f"trap 'echo end >> /shared/log; exit 0' TERM; echo begin >> /shared/log; {FOREVER}"
    deployment(bench, container(script, volumeMounts=SHARED), "RollingUpdate", **shared)
    eventually(lambda: (folder / "log").exists(), "the first runs")
    changed = container(script + " # changed", volumeMounts=SHARED)
    bench.patch("deployments", "web", {"spec": {"template": {"spec": {"containers": [changed]}}}})
    eventually(lambda: (folder / "log").read_text().split() == ["begin", "begin", "end"], "side by side for a while")


def test_a_service_leads_to_a_ready_pod_and_refuses_while_there_is_none(bench: Bench) -> None:
    if not bench.local:
        pytest.skip("a real API server gives addresses of its own")
    ports = [{"name": "http", "port": 80, "targetPort": "web"}]
    spec = {"selector": {"app": "web"}, "ports": ports}
    bench.create("services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})
    address = eventually(lambda: bench.get("services", "web")["spec"].get("clusterIP"), "it has an address")
    folder, shared = bench.shared()
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    ready = {"exec": {"command": ["test", "-e", "/shared/ready"]}, "periodSeconds": 1}
    main = container("exec python3 -m http.server 8000 --bind $IP", env=env, readinessProbe=ready)
    deployment(
        bench,
        {**main, "ports": [{"name": "web", "containerPort": 8000}], "volumeMounts": SHARED},
        **shared,
    )
    (name,) = eventually(lambda: pods(bench), "it has a pod")
    eventually(lambda: _accepts(bench.status(name).get("podIP", "")), "it listens")
    with socket.create_connection((address, 80), timeout=5) as nobody:
        assert nobody.recv(1) == b""
    (folder / "ready").touch()
    until_available(bench)
    with urllib.request.urlopen(f"http://{address}:80/", timeout=5) as answer:
        assert answer.status == 200


def _accepts(address: str) -> bool:
    """Raises OSError while nobody listens."""
    with socket.create_connection((address, 8000), timeout=5):
        return True
