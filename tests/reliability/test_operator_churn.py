"""Some seconds of ``make reliability-operator``, and whether its judges would notice."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from reliability.ledger import NOTICED_S, OPENED, SLACK_S, Ledger, PodLife
from reliability.operator_churn import Churn, figures, markdown, wrongs
from reliability.town import town
from reliability.vitals import Sample, trends
from support.clock import Clock
from support.cluster import running

Json = dict[str, Any]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_operators_under_churn_open_every_gate_in_time_and_none_too_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    with (
        running(tmp_path) as api,
        town(api, "steady", tmp_path, 1) as steady,
        town(api, "rough", tmp_path, 2) as rough,
    ):
        churn = Churn(steady, rough, 1)
        for seconds in (20, 50, 80, 110):  # a busy machine gets to the first gate late
            churn.run(seconds, quiet_every_s=10)
            if all(each.life.ledger.waits_s for each in churn.towns):
                break
    assert wrongs(churn) == []
    for each in churn.towns:
        assert each.life.ledger.waits_s, "no gate was removed: the churn did nothing"
        assert all(each.copies.ledger.judged.values()), "nothing was judged of copies"
    assert rough.tally["operators killed"] + rough.tally["operators told to end"]
    assert "Nothing went wrong." in markdown(figures(churn, "API"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    """A cache of content 1 that was never proven, and a pod that waits for it."""
    made = Ledger(clock)
    made.claim_created("models", "c1", clock.now_s)
    made.cache_created(cache(), clock.now_s)
    made.pods["serve"] = PodLife("serve", "cache", clock.now_s)
    return made


def cache(content: int = 1, **status: Any) -> Json:
    """Each of its generations has a content of its own."""
    spec = {"models": [{"repo": f"owner/v{content}"}], "volume": {"claimName": "models"}}
    return {"metadata": {"name": "cache", "uid": "u1", "generation": content}, "spec": spec, "status": status}


def opened(ledger: Ledger, at: float) -> list[str]:
    """What the ledger says when the pod is ungated."""
    stamp = datetime.fromtimestamp(at, UTC).isoformat()
    pod = {"metadata": {"name": "serve", "annotations": {OPENED: stamp}}, "spec": {}}
    ledger.see("pods", {"type": "MODIFIED", "object": pod})
    return ledger.violations


def called_complete(ledger: Ledger, content: int, claim: str = "c1") -> list[str]:
    found = cache(content, complete=True, observedGeneration=content, sync={"claimUid": claim})
    ledger.see("modelcaches", {"type": "MODIFIED", "object": found})
    return ledger.violations


class TestLedger:
    def test_a_gate_that_opens_after_the_proof_is_right(self, ledger: Ledger, clock: Clock) -> None:
        ledger.proven("u1", 1, "c1")
        assert opened(ledger, clock.now_s + 3) == []
        assert ledger.waits_s == pytest.approx([3.0])

    def test_one_that_opens_without_a_proof_is_wrong(self, ledger: Ledger, clock: Clock) -> None:
        assert "although cache was not proven" in opened(ledger, clock.now_s)[0]

    def test_a_proof_of_an_older_content_is_none(self, ledger: Ledger, clock: Clock) -> None:
        ledger.proven("u1", 1, "c1")
        clock.now_s += 100
        ledger.cache_changed(cache(2), clock.now_s)
        assert opened(ledger, clock.now_s + SLACK_S + 1)

    def test_a_change_right_before_the_patch_cannot_be_helped(self, ledger: Ledger, clock: Clock) -> None:
        ledger.proven("u1", 1, "c1")
        clock.now_s += 100
        ledger.cache_changed(cache(2), clock.now_s)
        assert opened(ledger, clock.now_s + SLACK_S / 2) == []

    def test_a_cache_of_the_same_name_must_be_proven_itself(self, ledger: Ledger, clock: Clock) -> None:
        ledger.proven("u1", 1, "c1")
        ledger.cache_deleted("u1")
        clock.now_s += 100
        successor = cache()
        successor["metadata"]["uid"] = "u2"
        ledger.cache_created(successor, clock.now_s)
        assert opened(ledger, clock.now_s + 1)

    def test_damage_closes_the_gate_until_the_next_proof(self, ledger: Ledger, clock: Clock) -> None:
        ledger.proven("u1", 1, "c1")
        ledger.damaged("cache")
        clock.now_s += NOTICED_S + 10
        ledger.pods["late"] = PodLife("late", "cache", clock.now_s)
        assert opened(ledger, clock.now_s)

    def test_after_the_repair_it_opens(self, ledger: Ledger, clock: Clock) -> None:
        ledger.proven("u1", 1, "c1")
        ledger.damaged("cache")
        clock.now_s += NOTICED_S + 10
        ledger.proven("u1", 1, "c1")
        assert opened(ledger, clock.now_s + 1) == []

    def test_a_status_that_claims_what_was_never_proven_is_wrong(self, ledger: Ledger) -> None:
        ledger.proven("u1", 1, "c1")
        assert called_complete(ledger, 1) == []
        assert "never proven" in called_complete(ledger, 2)[0]

    def test_an_operational_change_takes_back_no_proof(self, ledger: Ledger, clock: Clock) -> None:
        ledger.proven("u1", 1, "c1")
        changed = cache()
        changed["metadata"]["generation"] = 2
        ledger.cache_changed(changed, clock.now_s)
        clock.now_s += 100
        assert opened(ledger, clock.now_s) == []

    def test_a_claim_that_was_created_again_must_be_proven_itself(self, ledger: Ledger, clock: Clock) -> None:
        ledger.proven("u1", 1, "c1")
        ledger.claim_deleted("models", "c1")
        clock.now_s += 100
        ledger.claim_created("models", "c2", clock.now_s)
        assert "although cache was not proven" in opened(ledger, clock.now_s + SLACK_S + 1)[0]

    def test_a_status_that_speaks_of_a_claim_that_is_long_gone_is_wrong(self, ledger: Ledger, clock: Clock) -> None:
        ledger.proven("u1", 1, "c1")
        ledger.claim_deleted("models", "c1")
        assert called_complete(ledger, 1) == []
        clock.now_s += NOTICED_S + 1
        assert "of a claim that is gone" in called_complete(ledger, 1)[0]

    def test_a_status_that_claims_a_proof_on_another_claim_is_wrong(self, ledger: Ledger) -> None:
        ledger.proven("u1", 1, "c1")
        assert "never proven" in called_complete(ledger, 1, "c2")[0]


def samples(memory_per_s: float) -> list[Sample]:
    return [Sample(at, 60 + memory_per_s * at, 8, 20, at / 10, 0, at, 30) for at in map(float, range(0, 3600, 60))]


def test_a_leak_shows_in_the_trend() -> None:
    assert trends(samples(0.01))["memory_mib"].per_hour == pytest.approx(36)
    assert trends(samples(0.0))["memory_mib"].per_hour == pytest.approx(0)
    assert trends(samples(0.01)[:5]) == {}
