"""Deployments with nothing but the label: refused without a cache, held while it is filled, operator or not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from e2e.kube import UNSETTLED, CommandFailed, Json, run
from e2e.release import container, gated
from e2e.site import SECURITY, SENTENCES, Site
from support.waiting import eventually

NAME, WRONG = "labelled", "mistyped"
SLOW = 500_000
"""Bytes a second on each connection: the 90 MB take half a minute, and what has begun stays as slow."""


@pytest.fixture(scope="module")
def label(site: Site) -> Iterator[Site]:
    """The operator alone, with the policies. It leaves no Events behind: those of refused pods are meant."""
    if (
        "MutatingAdmissionPolicy"
        not in run(["kubectl", "get", "--raw", "/apis/admissionregistration.k8s.io/v1"]).stdout
    ):
        pytest.skip("the label takes MutatingAdmissionPolicy of v1: Kubernetes 1.36")
    off: Json = {"cache": {"enabled": False}, "inference": {"enabled": False}}
    site.helm("install", "label", site.values(**off))
    yield site
    site.hub.recover()
    names = [f"deployment/{NAME}", f"deployment/{WRONG}", f"modelcache/{NAME}"]
    site.kube.kubectl("delete", *names, "--ignore-not-found")
    site.kube.kubectl("delete", f"persistentvolumeclaim/{NAME}", "--ignore-not-found")
    site.kube.helm("uninstall", "label", "--wait")
    site.kube.kubectl("delete", "events", "--all")


def _template(site: Site, cache: str) -> Json:
    """It is ready when it can read the model where nobody said that it should be."""
    main = {
        "name": "main",
        "image": site.images.reference("e2e"),
        "command": ["sleep", "infinity"],
        "readinessProbe": {"exec": {"command": ["ls", "/models/sentences/model.safetensors"]}, "periodSeconds": 1},
        "securityContext": SECURITY,
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    spec = {"terminationGracePeriodSeconds": 0, "containers": [main]}
    return {"metadata": {"labels": {"app": cache, "modelcache.dev/cache": cache}}, "spec": spec}


def _deployment(site: Site, cache: str) -> Json:
    spec = {"selector": {"matchLabels": {"app": cache}}, "template": _template(site, cache)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": cache}, "spec": spec}


def test_a_pod_whose_label_names_no_cache_is_refused_with_the_reason(label: Site) -> None:
    template = _template(label, WRONG)
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": WRONG, **template["metadata"]}}

    def refused() -> bool:
        """The policies take a moment to be in force."""
        try:
            label.kube.apply(pod)
        except CommandFailed as failed:
            return f"there is no ModelCache {WRONG} in namespace {label.kube.namespace}" in str(failed)
        label.kube.kubectl("delete", f"pod/{WRONG}", "--grace-period=0", "--force")
        return False

    eventually(refused, "the pod is refused", 60, not_yet=UNSETTLED, interval_s=1)


def test_its_deployment_says_so_and_has_no_pod(label: Site) -> None:
    label.kube.apply(_deployment(label, WRONG))
    eventually(partial(_refusal, label, WRONG), "the ReplicaSet has an Event that says why", 60, not_yet=UNSETTLED)
    assert _pods(label, WRONG) == []
    label.kube.kubectl("delete", f"deployment/{WRONG}")


def test_a_deployment_that_came_before_its_cache_gets_its_pod_once_the_cache_is_there(label: Site) -> None:
    label.hub.slow_down(SLOW)
    label.kube.apply(_deployment(label, NAME))
    eventually(partial(_refusal, label, NAME), "its pod is refused", 60, not_yet=UNSETTLED)
    label.kube.apply(label.cache(NAME, SENTENCES))
    (pod,) = eventually(partial(_pods, label, NAME), "there is a pod", 120, not_yet=UNSETTLED)
    assert gated(pod)
    assert [each["name"] for each in pod["spec"]["initContainers"]] == ["init-sync"]
    assert "nodeName" not in pod["spec"]


def test_with_the_operator_stopped_the_sync_ends_and_pods_are_created_and_wait(label: Site) -> None:
    label.kube.wait(f"modelcache/{NAME}", "jsonpath={.status.phase}=Syncing")
    _scale(label, "label-modelcache-operator", 0)
    selector = "app.kubernetes.io/instance=label,app.kubernetes.io/component=operator"
    eventually(lambda: label.kube.list("pods", selector) == [], "the operator is gone", 60, not_yet=UNSETTLED)
    label.hub.recover()
    (job,) = label.kube.list("jobs", f"modelcache.dev/cache={NAME}")
    label.kube.wait(f"job/{job['metadata']['name']}", "condition=Complete")
    (old,) = _pods(label, NAME)
    assert gated(old)
    label.kube.kubectl("delete", f"pod/{old['metadata']['name']}")
    (new,) = eventually(partial(_pods, label, NAME), "there is another pod", 60, not_yet=UNSETTLED)
    assert gated(new)
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


def test_with_the_operator_back_the_pod_gets_ready_and_nothing_is_fetched_again(label: Site) -> None:
    label.hub.forget()
    _scale(label, "label-modelcache-operator", 1)
    label.kube.wait(f"modelcache/{NAME}", "condition=Complete")
    label.kube.rolled_out(NAME)
    assert label.hub.requests() == []
    (pod,) = _pods(label, NAME)
    assert container(pod, "init-sync")["state"]["terminated"]["exitCode"] == 0
    log = label.kube.kubectl("logs", pod["metadata"]["name"], "--container", "init-sync")
    assert "All models already complete!" in log


def _scale(site: Site, deployment: str, replicas: int) -> None:
    site.kube.kubectl("scale", f"deployment/{deployment}", f"--replicas={replicas}")


def _pods(site: Site, app: str) -> list[Json]:
    return site.kube.list("pods", f"app={app}")


def _refusal(site: Site, app: str) -> bool:
    """Whether an Event of the Deployment's ReplicaSet says that there is no cache."""
    return any(
        event["reason"] == "FailedCreate"
        and event["involvedObject"]["name"].startswith(f"{app}-")
        and f"there is no ModelCache {app}" in event["message"]
        for event in site.kube.list("events")
    )
