"""After the first day: a claim of the right size, an update, what it leaves behind, bytes that rot, and deleting."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from e2e.hand import Hand
from e2e.kube import UNSETTLED, CommandFailed, Json, run
from e2e.release import Release, condition
from e2e.site import Site
from support.waiting import eventually

NAME = "daily"
REPO = "e2e/day-two"
MODEL: Json = {"name": "day-two", "repo": REPO, "path": "day-two"}
KEPT, CHANGED, DROPPED = "kept.safetensors", "changed.safetensors", "dropped.safetensors"
MIB = 1 << 20
MINUTES_3 = 180
"""A check or a scrub every minute, up to a tenth later, and a Job."""


@dataclass(frozen=True, slots=True)
class Daily:
    """One release: the operator, and a cache on a claim that has the cache's name."""

    site: Site
    release: Release

    def values(self, **cache: Json) -> str:
        volume: Json = {"claimName": NAME, "size": "auto", "headroom": "10%", "prune": True}
        given: Json = {"volume": volume, "models": [MODEL], "updates": {"check": "1m"}, **cache}
        return self.site.values(cache=given, inference={"enabled": False})

    def status(self) -> Json:
        found: Json = self.release.cache().get("status", {})
        return found

    def commit(self) -> str:
        (model,) = self.status()["models"]
        return str(model["commit"])

    def tasks(self, task: str) -> list[Json]:
        return self.site.kube.list("jobs", f"modelcache.dev/cache={NAME},modelcache.dev/task={task}")

    def event(self, reason: str) -> str:
        """The message of the newest one; empty while there is none."""
        about = f"involvedObject.name={NAME},involvedObject.kind=ModelCache,reason={reason}"
        found = json.loads(self.site.kube.kubectl("get", "events", "--field-selector", about, "--output", "json"))[
            "items"
        ]
        return str(max(found, key=lambda event: event["metadata"]["creationTimestamp"])["message"]) if found else ""

    def told(self, reason: str) -> str:
        return eventually(lambda: self.event(reason), f"there is an Event {reason}", MINUTES_3, not_yet=UNSETTLED)

    def start_pod(self, name: str) -> Json:
        """It waits at the gate, and then stays."""
        kube = self.site.kube
        kube.apply(self.site.gated_pod(name, NAME, ["sleep", "infinity"]))
        kube.wait(f"pod/{name}", "condition=Ready")
        return kube.get("pod", name)

    def end_pod(self, name: str) -> None:
        self.site.kube.kubectl("delete", f"pod/{name}", "--grace-period=1", "--ignore-not-found")

    def delete(self, *what: str) -> str:
        """What the API server warns of, or why it refuses; nothing is deleted."""
        command = ["kubectl", "--namespace", self.site.kube.namespace, "delete", *what, "--dry-run=server"]
        try:
            return run(command).stderr
        except CommandFailed as failed:
            return str(failed)


@pytest.fixture(scope="module")
def daily(site: Site) -> Iterator[Daily]:
    site.hub.commit(REPO, kept=1, changed=1, dropped=1)
    made = Daily(site, Release(site.kube, NAME))
    site.helm("install", NAME, made.values())
    yield made
    site.kube.kubectl("delete", "pod/serves", "pod/hand", "--grace-period=1", "--ignore-not-found")
    site.kube.helm("uninstall", NAME, "--wait", "--ignore-not-found")
    site.kube.kubectl("delete", f"persistentvolumeclaim/{NAME}", "--ignore-not-found")
    site.kube.kubectl("delete", "events", "--all")


def test_the_claim_is_as_large_as_the_hub_says_and_a_tenth(daily: Daily) -> None:
    daily.release.complete()
    claim = daily.site.kube.get("persistentvolumeclaim", NAME)
    assert claim["spec"]["resources"]["requests"]["storage"] == "1Gi", "three MiB and a tenth, rounded up"
    assert claim["metadata"]["labels"]["modelcache.dev/cache"] == NAME
    size = daily.status()["size"]
    assert (size["bytes"], size["requested"]) == (3 * MIB, "1Gi")
    assert "1Gi" in daily.told("ClaimSized")
    volumes = [volume for job in daily.tasks("plan") for volume in job["spec"]["template"]["spec"]["volumes"]]
    assert [volume for volume in volumes if "persistentVolumeClaim" in volume] == []


def test_deleting_the_claim_is_refused_and_deleting_the_cache_is_warned_of(daily: Daily) -> None:
    daily.start_pod("serves")
    kept = f"the models of ModelCache {NAME} are on this claim"
    eventually(lambda: kept in daily.delete("persistentvolumeclaim", NAME), "the policy is in force", 60)
    assert "pod serves uses this cache. It goes on" in daily.delete("modelcache", NAME)


def test_an_update_is_seen_with_what_it_would_fetch_and_nothing_moves(daily: Daily) -> None:
    before = daily.commit()
    new = daily.site.hub.commit(REPO, kept=1, changed=2)
    daily.site.hub.forget()
    daily.site.kube.wait(f"modelcache/{NAME}", "condition=UpdateAvailable", MINUTES_3)
    updates = daily.status()["updates"]
    assert (updates["commits"], updates["bytes"]) == ({MODEL["name"]: new}, MIB)
    assert new[:7] in daily.told("UpdateAvailable")
    assert daily.commit() == before
    assert daily.site.hub.fetched() == set()
    assert daily.release.metric("modelcache_update_available") == 1


def test_a_resync_takes_it_and_what_is_left_behind_stays_while_a_pod_uses_it(daily: Daily) -> None:
    new = daily.status()["updates"]["commits"][MODEL["name"]]
    daily.release.resync("1")
    assert daily.commit() == new
    eventually(
        lambda: condition(daily.release.cache(), "UpdateAvailable").get("status") == "False",
        "the cache is up to date",
        MINUTES_3,
        not_yet=UNSETTLED,
    )
    waiting = eventually(
        lambda: daily.status().get("prune", {}).get("waitingForPods"), "prune waits", 60, not_yet=UNSETTLED
    )
    assert waiting == 1
    assert daily.site.kube.kubectl("exec", "serves", "--", "ls", f"/models/day-two/{DROPPED}")


def test_it_is_pruned_once_no_pod_was_started_on_it(daily: Daily) -> None:
    daily.end_pod("serves")
    assert daily.told("Pruned")
    assert daily.status()["prune"]["bytesFreed"] == MIB
    hand = Hand.placed(daily.site, NAME, beside=daily.start_pod("serves"))
    assert {file for file in (KEPT, CHANGED, DROPPED) if hand.holds(f"day-two/{file}")} == {KEPT, CHANGED}
    daily.release.complete()


def test_a_byte_that_rots_is_found_by_a_scrub_and_its_file_alone_is_fetched(daily: Daily) -> None:
    hand, file = Hand(daily.site.kube), f"day-two/{CHANGED}"
    whole = hand.sha256(file)
    hand.flip_a_byte(file)
    daily.site.hub.forget()
    daily.site.helm("upgrade", NAME, daily.values(scrub={"every": "1m", "rate": "10Mi"}))
    assert CHANGED in daily.told("DamageFound")
    assert "It is in use by serves" in daily.told("Degraded")
    eventually(lambda: hand.sha256(file) == whole, "it is repaired", MINUTES_3, not_yet=UNSETTLED)
    daily.release.complete()
    assert daily.site.hub.fetched() == {CHANGED}
    daily.told("ScrubFinished")
    assert daily.status()["scrub"]["finishedAt"]
    assert daily.release.metric("modelcache_scrubs_total") >= 1


def test_the_release_is_uninstalled_while_a_pod_uses_it_and_then_its_claim_can_go(daily: Daily) -> None:
    kube = daily.site.kube
    Hand(kube).remove()
    kube.helm("uninstall", NAME, "--wait")
    assert kube.get("pod", "serves")["status"]["phase"] == "Running"
    assert kube.get("persistentvolumeclaim", NAME)["status"]["phase"] == "Bound"
    eventually(
        lambda: "dry run" in kube.kubectl("delete", "persistentvolumeclaim", NAME, "--dry-run=server"),
        "it may go",
        60,
        not_yet=UNSETTLED,
    )
    daily.end_pod("serves")
    kube.kubectl("delete", "persistentvolumeclaim", NAME)
