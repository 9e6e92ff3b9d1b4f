"""The decision: from one snapshot of a cache to the status it should have and the actions to take.

``reconcile`` is pure and level-triggered: it looks at what is, never at what happened, so that it may be called at any
time, again and again, and after any outage, with the same result. The rules, by module:

- ``volume``    is there a usable claim, must it be made, does another cache want the same place
- ``evidence``  what proves this content complete on this claim, what speaks against it
- ``attempts``  is a sync Job to be made or deleted, and when is the next one due
- ``verdict``   phase, reason and message
- ``figures``   bytes and models, from the newest report
- ``gates``     pods to let go, only while the phase is Ready
- ``totals``    sums for the metrics
"""

from __future__ import annotations

from dataclasses import dataclass

from modelcache_operator.core.attempts import JobOrder, plan_jobs
from modelcache_operator.core.conditions import conditions
from modelcache_operator.core.evidence import sort_parties, update_record
from modelcache_operator.core.facts import PodFacts, Snapshot
from modelcache_operator.core.figures import take_figures
from modelcache_operator.core.gates import count_released, newly_released, waiting_pods
from modelcache_operator.core.status import Phase, Status
from modelcache_operator.core.totals import count_runs
from modelcache_operator.core.verdict import Situation, Verdict, judge
from modelcache_operator.core.volume import conflict, is_made_for, judge_volume, wants_owner

WARNINGS = (Phase.DEGRADED, Phase.FAILED)


@dataclass(frozen=True, slots=True)
class Notice:
    """An Event to post about the cache."""

    type: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, in this order, and the status to write once all but the gates is done."""

    status: Status
    write_config: bool = False
    create_claim: bool = False
    own_claim: bool | None = None
    """True: tie the claim's life to the cache's; False: untie it; None: it is as it should be."""
    delete_jobs: tuple[str, ...] = ()
    create_job: JobOrder | None = None
    notices: tuple[Notice, ...] = ()
    released: tuple[PodFacts, ...] = ()
    """Pods let go that this status is the first to count."""
    open_gates: tuple[PodFacts, ...] = ()
    wake_at: float | None = None


def reconcile(snapshot: Snapshot, now: float, act: bool = True) -> Decision:
    """``act=False``: only report, because the API refused to make what was asked for."""
    cache = snapshot.cache
    volume = judge_volume(cache.volume, snapshot.claim)
    problem = cache.problem or snapshot.forbidden or conflict(snapshot)
    parties = sort_parties(snapshot)
    record = update_record(snapshot, parties)
    creating = cache.volume.create and snapshot.claim is None
    usable = act and not problem and volume.usable
    plan = plan_jobs(snapshot, parties, record, usable, now)
    situation = Situation(snapshot, parties, volume, plan, problem)
    verdict = judge(situation)
    status = _status(situation, verdict, now)
    decision = Decision(
        status=status,
        write_config=not cache.problem and not cache.deleting and snapshot.config_digest != cache.digest,
        create_claim=creating and not problem and not cache.deleting,
        own_claim=_owner_change(snapshot),
        delete_jobs=plan.delete,
        create_job=plan.create,
        notices=_notices(cache.status, verdict),
        released=newly_released(cache.status.gate, snapshot.pods),
        open_gates=waiting_pods(snapshot.pods) if verdict.phase is Phase.READY and not cache.deleting else (),
        wake_at=plan.wake_at,
    )
    return decision if act else Decision(status, notices=decision.notices, released=decision.released)


def _status(situation: Situation, verdict: Verdict, now: float) -> Status:
    snapshot = situation.snapshot
    cache = snapshot.cache
    status = Status(
        observed_generation=cache.generation,
        phase=verdict.phase,
        message=verdict.message,
        claim=cache.volume.claim,
        conditions=conditions(situation, verdict, now),
        sync=situation.record,
        gate=count_released(cache.status.gate, snapshot.pods),
        totals=count_runs(cache.status.totals, snapshot.pods),
    )
    return take_figures(status, snapshot, situation.parties, situation.volume.bound)


def _owner_change(snapshot: Snapshot) -> bool | None:
    """Only a claim that the operator made for this very cache is ever touched."""
    claim, cache = snapshot.claim, snapshot.cache
    if claim is None or not is_made_for(claim, cache) or claim.deleting or cache.deleting or cache.problem:
        return None
    wanted, owned = wants_owner(snapshot), cache.uid in claim.owner_uids
    return None if wanted == owned else wanted


def _notices(before: Status, verdict: Verdict) -> tuple[Notice, ...]:
    """One Event for each transition. A volume that is being made is not worth one."""
    if before.phase is verdict.phase:
        return ()
    kind = "Warning" if verdict.phase in WARNINGS else "Normal"
    return (Notice(kind, str(verdict.phase), f"{verdict.reason}: {verdict.message}"),)
