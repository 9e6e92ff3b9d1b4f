"""From `helm install` to the first video, and what happens to a release afterwards: steps of one story, in order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial

import pytest

from e2e.hand import Hand
from e2e.kube import UNSETTLED, Json
from e2e.release import Release, condition, container, gated, phases, ran_for_s, serving
from e2e.site import SENTENCES, Site
from e2e.watching import Watch
from support.waiting import eventually

SLOW = 30_000
"""Bytes a second on each connection: the largest of the small files takes half a minute."""
LEASE_S = 45
"""How long a Lease lasts whose holder is not known to be gone."""
VAE = "Wan2.1-I2V-14B-480P/Wan2.1_VAE.pth"


@pytest.fixture(scope="module")
def release(site: Site) -> Release:
    return Release(site.kube, "tiny")


@pytest.fixture(scope="module")
def caches(site: Site, release: Release) -> Iterator[Watch]:
    """Every state of the cache; the definition comes with the chart, so this begins after the installation."""
    with Watch(f"/apis/modelcache.dev/v1alpha1/namespaces/{site.kube.namespace}/modelcaches") as watch:
        yield watch


@pytest.fixture(scope="module")
def hand(site: Site, release: Release) -> Hand:
    """A pod that can write to the volume."""
    return Hand.placed(site, release.claim, beside=release.pod("inference"))


def test_it_is_installed_where_restricted_is_enforced_without_a_warning(
    site: Site, release: Release, pods: Watch
) -> None:
    site.hub.slow_down(SLOW)
    said = site.helm("install", release.name, site.values())
    assert "PodSecurity" not in said
    assert "arning" not in said


def test_while_the_models_arrive_the_serving_pod_is_on_no_node(site: Site, release: Release, caches: Watch) -> None:
    site.kube.wait(f"modelcache/{release.name}", "jsonpath={.status.phase}=Syncing")
    pod = eventually(lambda: release.pod("inference"), "there is a serving pod", 60, not_yet=UNSETTLED)
    assert gated(pod)
    assert condition(pod, "PodScheduled")["reason"] == "SchedulingGated"
    assert "nodeName" not in pod["spec"]
    told = partial(_told, site, pod, "WaitingForModelCache")
    assert f"waits for ModelCache {release.name}, which is " in eventually(told, "the pod is told", 60)


def test_progress_is_shown_while_it_syncs(site: Site, release: Release) -> None:
    def progress() -> bool:
        status = release.cache()["status"]
        return bool(status["phase"] == "Syncing" and 0 < status.get("bytesPresent", 0) < status.get("bytesTotal", 0))

    eventually(progress, "some bytes of all are reported", 60, not_yet=UNSETTLED)
    table = site.kube.kubectl("get", "modelcaches").splitlines()
    assert table[0].split() == ["NAME", "PHASE", "REASON", "MODELS", "NODES", "PROGRESS", "SIZE", "RATE", "ETA", "AGE"]
    assert table[1].split()[:3] == [release.name, "Syncing", "Syncing"]
    site.kube.wait(f"modelcache/{release.name}", "condition=Reconciling")


def test_an_operator_that_is_killed_meanwhile_loses_nothing(site: Site, release: Release, caches: Watch) -> None:
    jobs = [job["metadata"]["uid"] for job in release.jobs()]
    old = release.pod("operator")["metadata"]["name"]
    began = time.monotonic()
    site.kube.kubectl("delete", "pod", old, "--grace-period=0", "--force")
    site.kube.rolled_out(release.operator)
    assert time.monotonic() - began < LEASE_S, "the Lease of a pod that is gone is not waited for"
    assert release.pod("operator")["metadata"]["name"] != old
    assert [job["metadata"]["uid"] for job in release.jobs()] == jobs
    assert gated(release.pod("inference"))
    assert phases(caches.seen())[-1] == "Syncing"


def test_the_cache_gets_complete_and_only_then_the_pod_gets_a_node(
    site: Site, release: Release, pods: Watch, caches: Watch
) -> None:
    site.hub.recover()
    release.complete()
    site.kube.wait(f"modelcache/{release.name}", "condition=Ready")
    site.kube.rolled_out(release.inference)
    assert phases(caches.seen()) == ["Pending", "Syncing", "Ready"]
    in_use = eventually(lambda: release.cache()["status"]["pods"].get("commits"), "the server is seen to use it", 60)
    assert in_use == [{"commit": release.cache()["status"]["summary"]["commit"], "pods": 1}]
    complete = next(state for state in caches.seen() if complete_for(state, generation=1))
    states = serving(pods, release)
    waiting = [pod for pod in states if gated(pod)]
    assert waiting
    assert {condition(pod, "PodScheduled").get("reason") for pod in waiting if pod["status"].get("conditions")} == {
        "SchedulingGated"
    }
    assert [pod for pod in waiting if "nodeName" in pod["spec"]] == []
    let_go = next(pod for pod in states if not gated(pod))
    assert version(complete) < version(let_go)


def test_the_safetensors_file_was_taken_from_the_pull_request(release: Release) -> None:
    models = {model["name"]: model for model in release.cache()["status"]["models"]}
    assert models["wav2vec"]["chosen"] == {"model.safetensors": "refs/pr/1"}


def test_a_request_is_answered_with_a_video_that_has_a_voice(release: Release) -> None:
    video = release.video()
    assert video["frames"] > 8
    assert video["audio_seconds"] > 0.3
    assert video["loudness"] > 0


def test_helm_test_passes(site: Site, release: Release) -> None:
    assert "Phase:          Succeeded" in site.kube.helm("test", release.name).stdout


def test_a_second_start_asks_the_hub_nothing_and_takes_less_than_a_second(site: Site, release: Release) -> None:
    site.hub.forget()
    pod = release.restart_server()
    log = release.sync_log(pod)
    assert "All models already complete!" in log
    assert log.count(" complete: True") == 3
    assert ran_for_s(pod, "init-sync") <= 1  # the API knows whole seconds
    assert stamped_s(site, pod) < 1
    assert site.hub.requests() == []


def test_an_upgrade_of_the_server_leaves_the_cache_alone(site: Site, release: Release, caches: Watch) -> None:
    before, jobs = release.cache(), release.jobs()
    site.helm("upgrade", release.name, site.values(inference={"settings": {"queue": 3}}))
    site.kube.rolled_out(release.inference)
    assert "--queue=3" in release.pod("inference")["spec"]["containers"][0]["args"]
    assert release.cache()["metadata"]["generation"] == before["metadata"]["generation"]
    assert [job["metadata"]["uid"] for job in release.jobs()] == [job["metadata"]["uid"] for job in jobs]
    assert phases(caches.seen())[-1] == "Ready"


def test_a_job_writes_a_prepared_copy_and_the_next_start_takes_it(site: Site, release: Release) -> None:
    halved = {"settings": {"queue": 3, "dtype": "bfloat16"}, "prepare": {"enabled": True}}
    site.helm("upgrade", release.name, site.values(inference=halved))
    (job,) = site.kube.list("jobs", release.selector("prepare"))
    site.kube.wait(f"job/{job['metadata']['name']}", "condition=Complete")
    pod = release.restart_server()
    assert "loading prepared bfloat16 copy" in release.server_log(pod)
    assert release.video()["frames"] > 8
    site.helm("upgrade", release.name, site.values(inference={"settings": {"queue": 3}}))
    site.kube.rolled_out(release.inference)
    assert "the prepared copy is not taken" in release.server_log(release.pod("inference"))


def test_an_upgrade_of_the_models_holds_new_pods_until_they_are_there(
    site: Site, release: Release, pods: Watch, caches: Watch
) -> None:
    models = [*release.cache()["spec"]["models"], SENTENCES]
    site.helm("upgrade", release.name, site.values(cache={"models": models}, inference={"settings": {"queue": 3}}))
    site.kube.wait(f"modelcache/{release.name}", "jsonpath={.status.observedGeneration}=2")
    pod = release.restart_server()
    complete = next(state for state in caches.seen() if complete_for(state, generation=2))
    let_go = next(state for state in serving(pods, release) if uid(state) == uid(pod) and not gated(state))
    assert version(complete) < version(let_go)
    assert "sentences complete: True" in release.sync_log(pod)


def test_a_file_that_was_cut_short_is_fetched_again_and_nothing_else(site: Site, release: Release, hand: Hand) -> None:
    whole = hand.sha256(VAE)
    hand.cut_short(VAE)
    site.hub.forget()
    pod = release.restart_server()
    assert hand.sha256(VAE) == whole
    assert site.hub.fetched() == {"Wan2.1_VAE.pth"}
    assert container(pod, "server")["ready"]
    release.complete()
    assert release.video()["frames"] > 8


def test_damage_that_a_pod_cannot_repair_degrades_the_cache_until_a_job_has_repaired_it(
    site: Site, release: Release, hand: Hand, caches: Watch
) -> None:
    whole, jobs = hand.sha256(VAE), len(release.jobs())
    hand.cut_short(VAE)
    site.hub.refuse_files()
    site.kube.kubectl("rollout", "restart", f"deployment/{release.inference}")
    site.kube.wait(f"modelcache/{release.name}", "jsonpath={.status.phase}=Degraded")
    # That comes a minute after the Job before it. Until then the hub stays away, or the pod would repair it by itself.
    eventually(lambda: len(release.jobs()) > jobs, "a Job to repair it", 90, not_yet=UNSETTLED)
    site.hub.recover()
    site.kube.wait(f"modelcache/{release.name}", "jsonpath={.status.phase}=Ready")
    site.kube.rolled_out(release.inference)
    assert hand.sha256(VAE) == whole
    assert phases(caches.seen())[-2:] == ["Degraded", "Ready"]


def test_bytes_that_changed_silently_are_found_by_a_resync(site: Site, release: Release, hand: Hand) -> None:
    whole = hand.sha256(VAE)
    hand.flip_a_byte(VAE)
    assert hand.sha256(VAE) != whole
    release.resync("1")
    assert hand.sha256(VAE) == whole


def test_a_claim_that_is_deleted_is_created_and_filled_again_before_a_pod_gets_a_node(
    site: Site, release: Release, pods: Watch, caches: Watch
) -> None:
    """With a claim that the operator creates. Its finished Job must not keep the claim from going."""
    again = Release(site.kube, "again")
    site.kube.apply(site.cache(again.name, SENTENCES))
    eventually(again.cache, "there is a cache", 60, not_yet=UNSETTLED)
    again.complete()
    old = uid(site.kube.get("persistentvolumeclaim", again.name))
    site.kube.kubectl("annotate", "persistentvolumeclaim", again.name, "modelcache.dev/allow-deletion=true")
    site.kube.kubectl("delete", "persistentvolumeclaim", again.name, "--wait=false")
    site.kube.apply(site.gated_pod("held", again.name))
    # The pod makes the operator look at the claim; without it that would be done with the next full list.
    new = eventually(lambda: _another(site, again.name, old), "there is another claim", 180, not_yet=UNSETTLED)
    site.kube.wait("pod/held", "jsonpath={.status.phase}=Succeeded")
    complete = next(state for state in caches.seen() if _complete_on(state, new))
    ungated = next(state for state in pods.seen() if state["metadata"]["name"] == "held" and not gated(state))
    assert version(complete) < version(ungated)
    assert site.kube.get("persistentvolumeclaim", again.name)["status"]["phase"] == "Bound"
    site.kube.kubectl("delete", "pod/held", f"modelcache/{again.name}")
    site.kube.kubectl("delete", f"persistentvolumeclaim/{again.name}")


def _another(site: Site, claim: str, old: str) -> str:
    found = uid(site.kube.get("persistentvolumeclaim", claim))
    return "" if found == old else found


def _complete_on(cache: Json, claim_uid: str) -> bool:
    status = cache.get("status", {})
    return bool(status.get("complete") and status["sync"].get("claimUid") == claim_uid)


def test_the_operator_exports_what_it_saw(release: Release) -> None:
    assert release.metric("modelcache_complete") == 1
    assert release.metric("modelcache_gate_wait_seconds_count") >= 3
    assert release.metric("modelcache_fetched_bytes_total") > 2_000_000


def test_nothing_was_forbidden_or_refused(site: Site, release: Release) -> None:
    log = site.kube.kubectl("logs", f"deployment/{release.operator}").lower()
    assert [line for line in log.splitlines() if "forbidden" in line or '"level": "error"' in line] == []
    refused = [
        event
        for event in site.kube.list("events")
        if event["type"] == "Warning" and event["reason"] in ("FailedCreate", "Refused", "FailedMount", "BackOff")
    ]
    assert refused == []
    assert {policy["metadata"]["name"] for policy in site.kube.list("networkpolicies")} == {
        f"{release.name}-modelcache-{part}" for part in ("operator", "sync", "volume", "inference")
    }


def test_uninstalled_it_leaves_the_claim_and_a_new_release_finds_it_full(
    site: Site, release: Release, hand: Hand
) -> None:
    site.kube.helm("uninstall", release.name, "--wait")
    assert site.kube.get("persistentvolumeclaim", release.claim)["status"]["phase"] == "Bound"
    eventually(lambda: site.kube.list("modelcaches") == [], "the cache is gone", 60, not_yet=UNSETTLED)
    eventually(
        lambda: release.jobs() == [] and serving_now(release) == [],
        "its Jobs and pods are gone",
        60,
        not_yet=UNSETTLED,
    )
    site.hub.forget()
    site.helm("install", release.name, site.values())
    eventually(release.cache, "there is a cache", 60, not_yet=UNSETTLED)
    release.complete()
    site.kube.rolled_out(release.inference)
    assert site.hub.fetched() == set()


def test_without_an_operator_the_init_container_syncs(site: Site, release: Release) -> None:
    site.kube.helm("uninstall", release.name, "--wait")  # there is one GPU
    alone = Release(site.kube, "alone")
    site.helm("install", alone.name, site.values(operator={"enabled": False}, cache={"standalone": True}))
    site.kube.rolled_out(alone.inference)
    pod = alone.pod("inference")
    assert "Some models missing or incomplete, downloading..." in alone.sync_log(pod)
    assert not gated(pod)
    assert alone.video()["frames"] > 8
    site.kube.helm("uninstall", alone.name, "--wait")


def _told(site: Site, pod: Json, reason: str) -> str:
    """The message of a pod's Event; empty while there is none."""
    about = f"involvedObject.uid={pod['metadata']['uid']},reason={reason}"
    events = json.loads(site.kube.kubectl("get", "events", "--field-selector", about, "-o", "json"))["items"]
    return str(events[0]["message"]) if events else ""


def complete_for(cache: Json, generation: int) -> bool:
    is_complete = condition(cache, "Complete").get("status") == "True"
    return bool(is_complete and cache["status"]["observedGeneration"] == generation)


def serving_now(release: Release) -> list[str]:
    return [pod["metadata"]["name"] for pod in release.kube.list("pods", release.selector("inference"))]


def version(thing: Json) -> int:
    """Comparable between kinds that lie in one etcd; so it tells what came first."""
    return int(thing["metadata"]["resourceVersion"])


def uid(thing: Json) -> str:
    return str(thing["metadata"]["uid"])


def stamped_s(site: Site, pod: Json) -> float:
    """From the first to the last line of the init container, by the clock of the container runtime."""
    name = pod["metadata"]["name"]
    lines = site.kube.kubectl("logs", name, "--container", "init-sync", "--timestamps").splitlines()
    first, last = (datetime.fromisoformat(line.split(" ", 1)[0][:26] + "+00:00") for line in (lines[0], lines[-1]))
    return (last - first).total_seconds()
