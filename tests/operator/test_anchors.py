"""Anchors (``models[].digest``): one that demands what was proven takes no proof back; any other has to be proven."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.reasons import Reason
from modelcache_operator.core import names
from support.pure_cluster import PureCluster
from support.reports import complete, incomplete

Json = dict[str, Any]
DIGEST, OTHER = f"sha256:{'ab' * 32}", f"sha256:{'cd' * 32}"


def models(*anchors: str, **fields: Any) -> list[Json]:
    both = ("base", "extra")[: len(anchors)]
    entries = [{"name": name, "repo": "owner/small", "path": name, **fields} for name in both]
    return [{**each, **({"digest": anchor} if anchor else {})} for each, anchor in zip(entries, anchors, strict=True)]


def proven(*anchors: str, digest: str | None = DIGEST) -> PureCluster:
    """A cache that a Job completed, whose report named this digest for each model."""
    world = PureCluster(models=models(*anchors))
    world.settle()
    all_models = [each["name"] for each in world.cache["spec"]["models"]]
    world.sync_well(complete("cache", *all_models, digest=digest, manifest=world.digest))
    assert world.status["phase"] == "Ready"
    world.now += 60
    return world


def test_the_status_has_the_digest_of_each_model_and_kubectl_prints_them() -> None:
    status = proven("", "").status
    assert [each["digest"] for each in status["models"]] == [DIGEST, DIGEST]
    assert status["summary"]["digest"] == f"{DIGEST},{DIGEST}"


@pytest.mark.parametrize(
    ("before", "after"), [("", DIGEST), (DIGEST, ""), (DIGEST, DIGEST)], ids=["added", "removed", "unchanged"]
)
def test_an_anchor_that_fits_what_was_proven_leaves_the_cache_ready(before: str, after: str) -> None:
    world = proven(before)
    jobs, figures = set(world.jobs), {**world.status["models"][0]}
    world.change_spec(models=models(after))
    world.settle()
    assert world.status["phase"] == "Ready"
    assert set(world.jobs) == jobs
    assert world.status["models"] == [figures]
    assert world.status["bytesTotal"] > 0
    assert world.phases[-1:] == ["Ready"]
    assert world.config is not None
    assert (DIGEST in world.config["data"][names.MANIFEST_KEY]) == bool(after), "each sync holds it from now on"


def test_it_stays_ready_over_a_restart_and_through_one_change_after_the_other() -> None:
    world = proven("", "")
    for anchors in ((DIGEST, ""), (DIGEST, DIGEST), ("", DIGEST), ("", "")):
        world.change_spec(models=models(*anchors))
        for _ in range(2):
            world.settle()
            assert world.status["phase"] == "Ready"
    assert len(world.jobs) == 1


def test_pods_that_wait_are_ungated_all_along() -> None:
    world = proven("")
    world.change_spec(models=models(DIGEST))
    world.add_pod("server", gated=True)
    world.settle()
    assert world.opened == ["server"]


@pytest.mark.parametrize(
    ("digest", "anchors"),
    [(DIGEST, (OTHER,)), (None, (DIGEST,)), (DIGEST, (DIGEST, OTHER))],
    ids=["another digest", "none is known", "of one of two models"],
)
def test_any_other_anchor_has_to_be_proven_and_no_gate_is_removed_until_then(
    digest: str | None, anchors: tuple[str, ...]
) -> None:
    world = proven(*("" for _ in anchors), digest=digest)
    world.change_spec(models=models(*anchors))
    world.add_pod("server", gated=True)
    world.settle()
    assert world.status["complete"] is False
    assert world.opened == []
    assert len(world.jobs) == 2


def test_a_mismatch_fails_the_cache_with_both_digests_in_its_message() -> None:
    world = proven("")
    world.change_spec(models=models(OTHER))
    world.settle()
    said = f"checking base: what is in base has digest {DIGEST}, the manifest demands {OTHER}"
    world.sync_badly(2, incomplete(Reason.DIGEST_MISMATCH, said, manifest=world.digest))
    found = world.condition("Complete")
    assert (world.status["phase"], found["reason"], found["status"]) == ("Failed", "DigestMismatch", "False")
    assert said in found["message"]
    assert world.condition("Stalled")["status"] == "True"


def test_corrected_it_is_proven_by_a_job_of_its_own() -> None:
    world = proven("")
    world.change_spec(models=models(OTHER))
    world.settle()
    world.sync_badly(2, incomplete(Reason.DIGEST_MISMATCH, "another", manifest=world.digest))
    world.change_spec(models=models(DIGEST))
    world.settle()
    assert world.status["complete"] is False
    world.sync_well(complete(digest=DIGEST, manifest=world.digest))
    assert world.status["phase"] == "Ready"


@pytest.mark.parametrize(
    "change",
    [
        {"models": models(DIGEST, revision="v2")},
        {"models": models(DIGEST), "allowPickles": False},
        {"models": models(DIGEST, DIGEST)},
    ],
    ids=["revision", "pickles", "another model"],
)
def test_with_any_other_change_of_the_content_it_is_a_new_content(change: Json) -> None:
    world = proven("")
    world.change_spec(**change)
    world.settle()
    assert world.status["complete"] is False


def test_on_another_claim_nothing_was_proven() -> None:
    world = proven("")
    world.change_spec(models=models(DIGEST))
    world.replace_claim()
    world.settle()
    assert world.status["complete"] is False


def test_a_cache_that_was_found_damaged_is_not_ready_by_an_anchor() -> None:
    world = proven("")
    pod = world.add_pod("server")
    world.finish(pod, 1, incomplete(Reason.FILE_MISSING, "base/a: missing", manifest=world.digest))
    world.settle()
    assert world.status["phase"] == "Degraded"
    world.change_spec(models=models(DIGEST))
    world.settle()
    assert world.status["complete"] is False


class TestWhoIsBelieved:
    def test_a_pod_of_the_user_s_does_not_say_what_was_proven(self) -> None:
        world = proven("")
        world.finish(world.add_pod("liar"), 0, complete(digest=OTHER, manifest=world.digest))
        world.settle()
        world.change_spec(models=models(OTHER))
        world.settle()
        assert world.status["complete"] is False

    def test_of_runs_that_disagree_none_says_it(self) -> None:
        world = PureCluster(models=models(""))
        world.settle()
        world.finish(world.add_pod("forged", world.latest), 0, complete(digest=OTHER, manifest=world.digest))
        world.sync_well(complete(digest=DIGEST, manifest=world.digest))
        assert world.status["phase"] == "Ready"
        for anchor in (DIGEST, OTHER):
            world.change_spec(models=models(anchor))
            assert world.decide().status.complete is False

    def test_a_report_that_names_no_manifest_does_not_say_it(self) -> None:
        world = PureCluster(models=models(""))
        world.settle()
        world.sync_well(complete(digest=DIGEST))
        assert world.status["phase"] == "Ready"
        world.change_spec(models=models(DIGEST))
        world.settle()
        assert world.status["complete"] is False

    def test_where_jobs_are_disabled_the_pod_that_proved_it_says_it(self) -> None:
        world = PureCluster(models=models(""), sync={"job": {"enabled": False}})
        world.finish(world.add_pod("server"), 0, complete(digest=DIGEST, manifest=world.digest))
        world.settle()
        assert world.status["phase"] == "Ready"
        world.change_spec(models=models(DIGEST))
        world.settle()
        assert world.status["phase"] == "Ready"
        world.change_spec(models=models(OTHER))
        world.settle()
        assert world.status["complete"] is False


def test_a_status_of_an_older_operator_tells_no_digest_so_the_first_anchor_is_proven_by_a_job() -> None:
    world = proven("")
    for key in ("content", "digests"):
        world.cache["status"]["sync"].pop(key)
    world.settle()
    assert world.status["phase"] == "Ready"
    world.change_spec(models=models(DIGEST))
    world.settle()
    assert world.status["complete"] is False
    world.sync_well(complete(digest=DIGEST, manifest=world.digest))
    assert world.status["phase"] == "Ready"


def test_a_claim_without_its_volume_has_no_digest() -> None:
    world = proven("")
    world.set_claim("Lost")
    world.settle()
    assert "digest" not in world.status["models"][0]
    assert "digest" not in world.status["summary"]
