"""Pods on the runner: what a kubelet does with them."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import pytest

from demo.bench import GATE, SHARED, Bench, container
from support.kubeapi import ApiError
from support.waiting import eventually

FOREVER = "while true; do sleep 0.05; done"


def test_a_pod_runs_to_its_end_and_keeps_the_end_of_a_long_termination_message(bench: Bench) -> None:
    bench.pod(container("printf 'a%.0s' $(seq 5000) > /dev/termination-log; printf end >> /dev/termination-log"))
    status = bench.until_phase("Succeeded")
    ended = status["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (0, "Completed")
    assert ended["message"] == "a" * 4093 + "end"


def test_a_gated_pod_gets_no_node_until_the_gate_is_gone(bench: Bench) -> None:
    bench.pod(container("true"), schedulingGates=[GATE])
    eventually(lambda: bench.scheduling()["reason"] == "SchedulingGated", "it is said why it waits")
    assert "nodeName" not in bench.get("pods", "pod")["spec"]
    bench.patch("pods", "pod", {"spec": {"schedulingGates": []}})
    bench.until_phase("Succeeded")


def test_a_pod_waits_for_the_gpu_that_another_one_holds(bench: Bench) -> None:
    gpu = {"limits": {"nvidia.com/gpu": 1}}
    bench.pod(container(FOREVER, resources=gpu), name="first")
    bench.until_phase("Running", "first")
    bench.pod(container("true", resources=gpu), name="second")
    eventually(lambda: bench.scheduling("second")["reason"] == "Unschedulable", "it is said why it waits")
    assert bench.scheduling("second")["message"] == "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    bench.delete("pods", "first")
    bench.until_phase("Succeeded", "second")


def test_an_image_runs_though_a_volume_is_mounted_where_its_program_lies_on_this_machine(bench: Bench) -> None:
    mounts = [{"name": "shared", "mountPath": "/bin"}]
    bench.pod(
        container("printf here > /dev/termination-log", volumeMounts=mounts),
        volumes=[{"name": "shared", "emptyDir": {}}],
    )
    assert bench.until_phase("Succeeded")["containerStatuses"][0]["state"]["terminated"]["message"] == "here"


def test_init_containers_run_one_after_the_other_and_before_all_others(bench: Bench) -> None:
    volumes = [{"name": "shared", "emptyDir": {}}]
    names = ("one", "two")
    inits = [container(f"sleep 0.05; echo {name} >> /shared/order", name, volumeMounts=SHARED) for name in names]
    main = container("cat /shared/order > /dev/termination-log", volumeMounts=SHARED)
    bench.pod(main, initContainers=inits, volumes=volumes)
    status = bench.until_phase("Succeeded")
    assert status["containerStatuses"][0]["state"]["terminated"]["message"].split() == ["one", "two"]
    assert [each["ready"] for each in status["initContainerStatuses"]] == [True, True]
    assert bench.condition("Initialized")["status"] == "True"


def test_an_init_container_that_fails_is_restarted_after_growing_pauses(bench: Bench) -> None:
    script = "echo again >> /shared/runs; test $(wc -l < /shared/runs) -eq 4"
    _, shared = bench.shared()
    init = container(script, "init", volumeMounts=SHARED)
    bench.pod(container("true"), initContainers=[init], **shared, restartPolicy="OnFailure")
    state = eventually(lambda: bench.waiting("init", "CrashLoopBackOff"), "it waits")
    assert state["message"].endswith("s restarting failed container=init")
    assert bench.status()["phase"] == "Pending"
    assert bench.container("init")["lastState"]["terminated"]["exitCode"] == 1
    bench.until_phase("Succeeded")
    assert bench.container("init")["restartCount"] == 3
    began = [run.began for run in bench.runner.runs if run.container == "init"]
    pauses = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert pauses[0] < pauses[1] < pauses[2]
    assert pauses[1] >= 0.2
    assert pauses[2] >= 0.4


def test_an_init_container_that_fails_ends_a_pod_that_is_never_restarted(bench: Bench) -> None:
    bench.pod(container("true"), initContainers=[container("exit 2", "init")])
    status = bench.until_phase("Failed")
    assert status["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 2
    assert "waiting" in status["containerStatuses"][0]["state"]


def test_a_signal_shows_as_an_exit_code_above_128(bench: Bench) -> None:
    bench.pod(container("kill -9 $$"))
    status = bench.until_phase("Failed")
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137


def test_variables_come_from_fields_of_the_pod(bench: Bench) -> None:
    fields = {"NAME": "metadata.name", "APP": "metadata.labels['app']", "NODE": "spec.nodeName"}
    env = [{"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()]
    script = 'echo "$NAME $APP $NODE $PLAIN" > /dev/termination-log'
    bench.pod(container(script, env=[*env, {"name": "PLAIN", "value": "as it is"}]), name="serve")
    ended = bench.until_phase("Succeeded", "serve")["containerStatuses"][0]["state"]["terminated"]
    assert ended["message"] == "serve serve node-1 as it is\n"


def test_a_pod_waits_for_its_config_map(bench: Bench) -> None:
    volumes = [{"name": "manifest", "configMap": {"name": "manifest"}}]
    mounts = [{"name": "manifest", "mountPath": "/etc/x"}]
    bench.pod(container("cat /etc/x/a.yaml > /dev/termination-log", volumeMounts=mounts), volumes=volumes)
    eventually(lambda: bench.waiting("main", "ContainerCreating"), "it waits")
    assert bench.status()["phase"] == "Pending"
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "manifest"}}
    bench.create("configmaps", {**config, "data": {"a.yaml": "one"}})
    status = bench.until_phase("Succeeded")
    assert status["containerStatuses"][0]["state"]["terminated"]["message"] == "one"


def test_a_claim_outlives_the_pod_that_wrote_to_it(bench: Bench) -> None:
    _, shared = bench.shared()
    bench.pod(container("echo kept > /shared/file", volumeMounts=SHARED), **shared)
    bench.until_phase("Succeeded")
    bench.delete("pods", "pod")
    bench.pod(container("cat /shared/file > /dev/termination-log", volumeMounts=SHARED), name="again", **shared)
    status = bench.until_phase("Succeeded", "again")
    assert status["containerStatuses"][0]["state"]["terminated"]["message"] == "kept\n"


def test_a_pod_without_its_claim_is_not_scheduled(bench: Bench) -> None:
    bench.pod(container("true"), volumes=[{"name": "claim", "persistentVolumeClaim": {"claimName": "none"}}])
    eventually(lambda: bench.scheduling()["reason"] == "Unschedulable", "it is said why it waits")
    assert '"none" not found' in bench.scheduling()["message"]
    bench.claim("none")
    bench.until_phase("Succeeded")


def test_readiness_follows_the_probe_both_ways(bench: Bench) -> None:
    folder, shared = bench.shared()
    env = [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    probe = {"httpGet": {"path": "/ready", "port": "web"}, "periodSeconds": 0 if bench.local else 1}
    ports = [{"name": "web", "containerPort": 8000}]
    fields: dict[str, Any] = {"readinessProbe": probe, "ports": ports, "volumeMounts": SHARED}
    bench.pod(container("exec python3 -m http.server 8000 --bind $IP --directory /shared", env=env, **fields), **shared)
    eventually(lambda: "running" in bench.container().get("state", {}), "it runs")
    assert not bench.container()["ready"]
    (folder / "ready").touch()
    eventually(lambda: bench.condition("Ready")["status"] == "True", "it is ready")
    (folder / "ready").unlink()
    eventually(lambda: bench.condition("Ready")["status"] == "False", "it is not ready any more")


def test_deletion_sends_sigterm_and_waits_for_the_end(bench: Bench) -> None:
    folder, shared = bench.shared()
    script = f"trap 'sleep 0.2; touch /shared/done; exit 0' TERM; touch /shared/armed; {FOREVER}"
    bench.pod(container(script, volumeMounts=SHARED), **shared, terminationGracePeriodSeconds=20)
    eventually((folder / "armed").exists, "it runs")
    bench.delete_gracefully()
    marked = bench.get("pods", "pod")
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 20
    bench.until_gone()
    assert (folder / "done").exists()
    assert bench.runner.runs[0].ended.exit_code == 0


def test_a_container_that_ignores_sigterm_is_killed_when_its_grace_period_is_over(bench: Bench) -> None:
    folder, shared = bench.shared()
    script = f"trap '' TERM; touch /shared/armed; {FOREVER}"
    bench.pod(container(script, volumeMounts=SHARED), **shared, terminationGracePeriodSeconds=1)
    eventually((folder / "armed").exists, "it runs")
    began = time.monotonic()
    bench.delete_gracefully()
    bench.until_gone()
    assert time.monotonic() - began >= 1
    assert bench.runner.runs[0].ended.exit_code == 137


def test_a_pod_deleted_by_force_leaves_no_process(bench: Bench) -> None:
    folder, shared = bench.shared()
    pid = folder / "pid"
    bench.pod(container(f"sh -c 'echo $$ > /shared/pid; {FOREVER}' & wait", volumeMounts=SHARED), **shared)
    eventually(lambda: pid.exists() and pid.read_text(), "its child runs")
    bench.delete("pods", "pod")
    eventually(lambda: not Path(f"/proc/{pid.read_text().strip()}").exists(), "its child is gone")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}, "volume host: hostPath"),
        ({"initContainers": [container("true", "side", restartPolicy="Always")]}, "several main containers, and init"),
        ({"containers": [container("true", readinessProbe={"grpc": {"port": 1}})]}, "container main: readinessProbe"),
        (
            {"containers": [{**container("true"), "image": "registry.example/other:1"}]},
            "image registry.example/other:1",
        ),
        (
            {"containers": [container("true", envFrom=[{"secretRef": {"name": "hub"}}])]},
            "container main: envFrom is not known",
        ),
    ],
    ids=["host path", "sidecar", "grpc probe", "image", "variables"],
)
def test_what_is_not_emulated_is_said(bench: Bench, fields: dict[str, Any], message: str) -> None:
    bench.pod(container("true"), **fields)
    status = bench.until_phase("Failed")
    assert status["reason"] == "NotEmulated"
    assert status["message"].startswith(message)


def test_the_api_serves_the_log_of_a_container(bench: Bench) -> None:
    if not bench.local:
        pytest.skip("a real API server asks a kubelet")
    bench.pod(container("echo one; echo two"))
    bench.until_phase("Succeeded")
    assert bench.log("main") == "one\ntwo\n"
    with pytest.raises(ApiError, match="has not run"):
        bench.log("other")


def test_children_that_a_program_leaves_behind_end_with_it(bench: Bench) -> None:
    folder, shared = bench.shared()
    script = f"sh -c 'echo $$ > /shared/pid; {FOREVER}' & until test -s /shared/pid; do sleep 0.05; done"
    bench.pod(container(script, volumeMounts=SHARED), **shared)
    bench.until_phase("Succeeded")
    pid = (folder / "pid").read_text().strip()
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "its child is gone")
