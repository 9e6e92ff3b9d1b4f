"""Whatever is seen, in any combination: phase, conditions, summary and gate say one thing, and nothing is unproven."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from init_sync.core.reasons import Reason
from modelcache_operator.core import names, parse, parse_pods, timestamps
from modelcache_operator.core.gate import Cause
from modelcache_operator.core.observed import NO_REFUSALS, Cache, Claim, Progress, Refusals, Snapshot
from modelcache_operator.core.observed_pods import RunState
from modelcache_operator.core.owned_objects import sort_objects
from modelcache_operator.core.proof import update_record
from modelcache_operator.core.reconcile import Decision, reconcile
from modelcache_operator.core.reports import parse_report
from modelcache_operator.core.status import parse_status, to_json
from modelcache_operator.core.tasks import Task, TaskInputs, abouts
from support.reports import complete, incomplete

Json = dict[str, Any]

OWN, OTHER = "c0ffee00-0000-4000-8000-000000000001", "another-cache"
CLAIMS = ("claim-a", "claim-a", "claim-a", "claim-b")
"""Drawn from; mostly all objects speak of one, or hardly anything would ever be proven."""
VOLUMES = (None, "a" * 32, "b" * 32)
START = 1_790_000_000
NOW = START + 1000
A_CACHE: Json = {"apiVersion": names.API_VERSION, "kind": names.KIND, "controller": True}
TASKS: Json = {"scrub": {}, "updates": {"check": "1h"}}
AUTO: Json = {"claimName": "models", "create": {"size": "auto"}, "prune": True}
SPEC: Json = {
    "models": [{"name": name, "repo": f"owner/{name}", "path": name} for name in ("one", "two")],
    "volume": {"claimName": "models"},
}
DIGEST = parse.parse_cache({"metadata": {"name": "cache", "namespace": "ns", "uid": OWN}, "spec": SPEC}).digest
FOREIGN = f"sha256:{'0' * 64}"

digests = st.sampled_from([DIGEST, DIGEST, DIGEST, FOREIGN])
seconds = st.integers(START, NOW)
stamps = seconds.map(timestamps.stamp)
maybe_stamps = st.none() | stamps
booleans = st.booleans()
mostly = st.sampled_from([True] * 7 + [False])
thorough = settings(max_examples=250)


@st.composite
def reports(draw: st.DrawFn) -> Json:
    extra: Json = {"manifest": draw(digests | st.just("")), "volumeId": draw(st.sampled_from(VOLUMES))}
    if draw(booleans):
        return complete("cache", "one", "two", **extra)
    return incomplete(draw(st.none() | st.sampled_from(Reason)), "why", **extra)


@st.composite
def claims(draw: st.DrawFn) -> Json:
    metadata = {"name": "models", "namespace": "ns", "uid": draw(st.sampled_from(CLAIMS))}
    metadata["creationTimestamp"] = draw(stamps)
    if not draw(mostly):
        metadata["deletionTimestamp"] = draw(stamps)
    phase = draw(st.sampled_from(["Bound", "Bound", "Pending", "Lost"]))
    return {"metadata": metadata, "spec": {}, "status": {"phase": phase}}


@st.composite
def jobs(draw: st.DrawFn, number: int) -> Json:
    metadata = {
        "name": f"cache-sync-{number}",
        "namespace": "ns",
        "uid": f"job-{number}",
        "labels": {
            names.CACHE_LABEL: "cache",
            names.GENERATION_LABEL: str(draw(st.integers(1, 2))),
            names.ATTEMPT_LABEL: str(number),
        },
        "annotations": {
            "modelcache.dev/claim-uid": draw(st.sampled_from((*CLAIMS, ""))),
            names.DIGEST_ANNOTATION: draw(digests),
            **draw(st.sampled_from([{}, {names.RESYNC_ANNOTATION: "1"}])),
        },
        "ownerReferences": [{**A_CACHE, "uid": draw(st.sampled_from([OWN, OWN, OWN, OTHER]))}],
        "creationTimestamp": draw(stamps),
    }
    outcome = draw(st.sampled_from(["", "Complete", "Failed"]))
    conditions = [{"type": outcome, "status": "True", "lastTransitionTime": draw(stamps)}] if outcome else []
    return {"metadata": metadata, "status": {"conditions": conditions, "active": draw(st.integers(0, 2))}}


@st.composite
def tasks(draw: st.DrawFn, cache: Cache, claim: Claim | None, number: int) -> tuple[Json, Json]:
    """A Job that is no sync, mostly about what it should be about, and its pod."""
    snapshot = Snapshot(cache=cache, claim=claim)
    objects = sort_objects(snapshot)
    record = update_record(snapshot, objects)
    known = abouts(TaskInputs(snapshot, objects, record, None, float(NOW)))
    task = draw(st.sampled_from(Task))
    about = known.get(task, "") if draw(mostly) else "another"
    name = f"cache-{task.command}-{number}"
    labels = {names.CACHE_LABEL: "cache", names.ATTEMPT_LABEL: str(number), names.TASK_LABEL: task.command}
    owner = [{**A_CACHE, "uid": OWN if draw(mostly) else OTHER}]
    metadata: Json = {"name": name, "namespace": "ns", "uid": name, "labels": labels}
    metadata |= {"creationTimestamp": draw(stamps)}
    metadata |= {"annotations": {names.ABOUT_ANNOTATION: about}, "ownerReferences": owner}
    outcome = draw(st.sampled_from(["", "Complete", "Failed"]))
    conditions = [{"type": outcome, "status": "True", "lastTransitionTime": draw(stamps)}] if outcome else []
    pod = draw(pods(number))
    said: Json = {"bytesTotal": draw(st.integers(0, 1 << 40)), "bytesToFetch": 1, "bytesFreed": 2}
    said["models"] = [{"name": each, "commit": draw(st.sampled_from(["a" * 40, "b" * 40]))} for each in ("one", "two")]
    pod["metadata"] |= {"name": f"{name}-p", "uid": f"{name}-p", "labels": labels}
    pod["metadata"]["ownerReferences"] = [{"uid": name, "controller": True}]
    for state in pod["status"].get("containerStatuses", ()):
        if draw(booleans) and "terminated" in state["state"]:
            state["state"]["terminated"]["message"] = json.dumps(said)
    return {"metadata": metadata, "status": {"conditions": conditions, "active": draw(st.integers(0, 1))}}, pod


@st.composite
def pods(draw: st.DrawFn, number: int) -> Json:
    owner = draw(st.sampled_from(["", "job-1", "job-2", "a-replica-set"]))
    metadata: Json = {"name": f"pod-{number}", "namespace": "ns", "uid": f"pod-{number}"}
    metadata |= {"labels": {names.CACHE_LABEL: "cache"}, "creationTimestamp": draw(stamps)}
    metadata["ownerReferences"] = [{"uid": owner, "controller": True}] if owner else []
    if draw(st.integers(0, 5)) == 0:
        metadata["deletionTimestamp"] = draw(stamps)
    container = {"name": names.SYNC_CONTAINER, "args": []}
    spec: Json = {"containers" if owner.startswith("job") else "initContainers": [container]}
    spec["volumes"] = [{"persistentVolumeClaim": {"claimName": draw(st.sampled_from(["models", "models", "other"]))}}]
    if draw(booleans):
        spec["schedulingGates"] = [{"name": names.GATE}]
    started = draw(seconds)
    running = {"running": {"startedAt": timestamps.stamp(started)}}
    ended = {
        "terminated": {
            "exitCode": draw(st.sampled_from([0, 0, 1, 2, 137])),
            "startedAt": timestamps.stamp(started),
            "finishedAt": timestamps.stamp(draw(st.integers(started, NOW))),
            "message": draw(st.just("") | reports().map(json.dumps)),
        }
    }
    state = draw(st.sampled_from([running, ended, {"waiting": {"reason": "PodInitializing"}}]))
    key = "containerStatuses" if "containers" in spec else "initContainerStatuses"
    status: Json = {key: [{"name": names.SYNC_CONTAINER, "state": state}]}
    if draw(booleans):
        status.setdefault("containerStatuses", []).append({"name": "proxy", "state": {"running": {}}})
    return {"metadata": metadata, "spec": spec, "status": status}


@st.composite
def statuses(draw: st.DrawFn) -> Json:
    """As an operator may have left it, before anything else changed."""
    sync = {
        "generation": 1,
        "claimUid": draw(st.sampled_from((*CLAIMS, None))),
        "manifest": draw(digests),
        "volumeId": draw(st.sampled_from(VOLUMES)),
        "attempt": draw(st.integers(0, 2)),
        "settledAttempt": draw(st.integers(0, 2)),
        "failures": draw(st.integers(0, 2)),
        "job": draw(st.sampled_from(["", "cache-sync-1", "cache-sync-2"])),
        "resync": draw(st.sampled_from(["", "1"])),
        "finishedAt": draw(maybe_stamps),
        "provenAt": draw(stamps) if draw(mostly) else None,
        "brokenAt": None if draw(mostly) else draw(stamps),
    }
    phase = draw(st.sampled_from(["Pending", "Syncing", "Ready", "Degraded", "Failed"]))
    condition = {"type": "Complete", "status": str(phase == "Ready"), "reason": "R", "message": "m"}
    return {
        "observedGeneration": draw(st.integers(1, 2)),
        "phase": phase,
        "conditions": [condition | {"observedGeneration": 1, "lastTransitionTime": draw(stamps)}],
        "sync": sync,
        "bytesTotal": 200,
        "bytesPresent": draw(st.integers(0, 200)),
        "models": [
            {"name": name, "complete": draw(booleans), "filesTotal": 2, "bytesTotal": 100, "bytesPresent": 100}
            for name in ("one", "two")
        ],
        "reportedAt": draw(maybe_stamps),
    }


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    metadata: Json = {"name": "cache", "namespace": "ns", "uid": OWN, "generation": draw(st.integers(1, 2))}
    metadata["annotations"] = {} if draw(mostly) else {names.RESYNC_ANNOTATION: "1"}
    if not draw(mostly):
        metadata["deletionTimestamp"] = draw(stamps)
    spec = {**SPEC, "sync": {"job": {"enabled": draw(st.sampled_from([True, True, False]))}}}
    if not draw(mostly):
        spec["sync"] = {"job": {"backoffLimit": -1}}  # what decides the content is valid, the rest is not
    if spec["sync"] == {"job": {"enabled": True}} and draw(booleans):
        spec |= TASKS | {"volume": draw(st.sampled_from([AUTO, {"claimName": "models", "prune": True}]))}
    raw = {"metadata": metadata, "spec": spec, "status": draw(statuses()) if draw(mostly) else {}}
    claim = draw(claims()) if draw(mostly) else None
    parsed = parse.parse_claim(claim) if claim else None
    count = draw(st.integers(0, 2)) if "scrub" in spec or not draw(mostly) else 0
    made = [draw(tasks(parse.parse_cache(raw), parsed, number)) for number in range(1, count + 1)]
    raws = [draw(pods(number)) for number in range(draw(st.integers(0, 3)))]
    seen = [parse_pods.parse_pod(each) for each in (*raws, *(pod for _, pod in made))]
    told = [(pod.uid, parse_report(json.dumps(draw(reports())))) for pod in seen if draw(booleans)]
    return Snapshot(
        cache=parse.parse_cache(raw),
        pods=tuple(seen),
        jobs=(
            *(parse.parse_job(draw(jobs(number))) for number in range(1, draw(st.integers(1, 3)))),
            *(parse.parse_job(job) for job, _ in made),
        ),
        claim=parsed,
        progress={uid: Progress(uid, draw(seconds), said) for uid, said in told if said},
        refusals=NO_REFUSALS if draw(mostly) else Refusals("Refused", "exceeded quota"),
    )


def decided(snapshot: Snapshot) -> tuple[Decision, Json, dict[str, Json]]:
    decision = reconcile(snapshot, float(NOW))
    status = json.loads(json.dumps(to_json(decision.status)))
    return decision, status, {each["type"]: each for each in status["conditions"]}


@thorough
@given(snapshots())
def test_phase_conditions_and_gate_say_the_same(snapshot: Snapshot) -> None:
    decision, status, conditions = decided(snapshot)
    ready = status["phase"] == "Ready"
    assert (conditions["Complete"]["status"] == "True") is ready
    assert status["complete"] is ready
    assert conditions["Complete"]["message"] == status["message"] != ""
    assert {each["observedGeneration"] for each in conditions.values()} == {snapshot.cache.generation}
    assert status["observedGeneration"] == snapshot.cache.generation
    claim = snapshot.claim
    bound = claim is not None and claim.phase == "Bound" and not claim.deleting
    usable = conditions["VolumeReady"]["status"] == "True"
    assert not usable or bound
    if ready:
        assert usable
        assert not snapshot.refusals.object
    removal = decision.remove_gates
    assert ready or all(pod.verifies for pod in removal.pods), "else it would serve what is not complete"
    assert ready or not removal.pods or removal.cause is not Cause.COMPLETE
    assert ready or not decision.admit_jobs


@thorough
@given(snapshots())
def test_the_summary_agrees_with_the_phase(snapshot: Snapshot) -> None:
    _, status, conditions = decided(snapshot)
    phase, summary = status["phase"], status["summary"]
    models = status.get("models", [])
    done = sum(model["complete"] for model in models)
    assert summary["models"] == f"{done}/{len(models)}"
    assert (summary.get("progress") == "100%") is (phase == "Ready")
    if phase == "Ready":
        assert done == len(status["models"]) == 2
        assert status["bytesPresent"] == status["bytesTotal"]
        assert all(not model.get("reason") for model in status["models"])
    elif phase != "Syncing":
        assert done < 2 or not status["models"]
    if conditions["VolumeReady"]["status"] != "True":
        assert (done, status["bytesPresent"]) == (0, 0)


@thorough
@given(snapshots())
def test_what_is_called_complete_was_proven_of_this_claim_and_this_content(snapshot: Snapshot) -> None:
    _, status, _ = decided(snapshot)
    if status["phase"] != "Ready":
        return
    claim, stored = snapshot.claim, snapshot.cache.status.sync
    assert claim is not None
    about = (claim.uid, DIGEST)
    assert (status["sync"]["claimUid"], status["sync"]["manifest"]) == about
    was_proven = bool(stored.proven_at) and (stored.claim_uid, stored.manifest) == about
    by_job = any(
        job.owner_uid == OWN and not job.task and (job.claim_uid, job.manifest) == about and job.outcome == "Complete"
        for job in snapshot.jobs
    )
    by_pod = not snapshot.cache.job.enabled and any(
        run.exit_code == 0 and run.observation and run.observation.manifest == DIGEST
        for pod in snapshot.pods
        if "models" in pod.claims and not pod.deleting
        for run in pod.runs
    )
    assert was_proven or by_job or by_pod or _beside_a_sidecar(snapshot)


def _beside_a_sidecar(snapshot: Snapshot) -> bool:
    """The sync of a Job has ended in the only pod that the Job counts, and another container keeps that pod."""
    for job in snapshot.jobs:
        left = [pod for pod in snapshot.pods if pod.owner_uid == job.uid]
        left = [pod for pod in left if pod.state is not RunState.FINISHED or pod.running_neighbours]
        if (
            job.owner_uid == OWN
            and not job.task
            and not job.outcome
            and job.active == 1
            and len(left) == 1
            and left[0].running_neighbours
        ):
            report = left[0].runs[-1].observation if left[0].runs else None
            if report and report.complete and report.manifest == DIGEST and left[0].runs[-1].exit_code == 0:
                return True
    return False


@thorough
@given(snapshots())
def test_jobs_are_made_only_for_the_claim_that_is_there_and_only_while_something_is_unproven(
    snapshot: Snapshot,
) -> None:
    decision, status, _ = decided(snapshot)
    ours = {job.name for job in snapshot.jobs if job.owner_uid == OWN}
    assert set(decision.delete_jobs) <= ours
    order = decision.create_job
    if order is None:
        return
    assert status["phase"] != "Ready"
    assert snapshot.claim is not None
    assert not snapshot.claim.deleting
    assert order.claim_uid == snapshot.claim.uid
    assert order.name not in ours


@thorough
@given(snapshots())
def test_a_task_is_alone_and_is_in_no_syncs_way(snapshot: Snapshot) -> None:
    decision, status, _ = decided(snapshot)
    request = decision.tasks.create
    ours = {job.name: job for job in snapshot.jobs if job.owner_uid == OWN and job.task}
    left = [name for name, job in ours.items() if not job.outcome and name not in decision.delete_jobs]
    syncing = decision.create_job or any(
        job.owner_uid == OWN and not job.task and not job.outcome and job.name not in decision.delete_jobs
        for job in sort_objects(snapshot).jobs
    )
    assert len(left) <= 1 or not decision.acts or snapshot.cache.problem or snapshot.cache.deleting or _alike(snapshot)
    if request is None:
        return
    assert decision.acts
    assert not syncing
    assert not left
    assert request.name not in ours
    assert request.task is Task.SIZE or status["phase"] == "Ready"
    assert not snapshot.cache.deleting
    if request.task.mounts:
        assert snapshot.claim is not None
        assert not snapshot.claim.deleting


def _alike(snapshot: Snapshot) -> bool:
    """Several Jobs of one task, which the operator never makes."""
    abouts = [job.about for job in snapshot.jobs if job.task]
    return len(set(abouts)) < len(abouts)


@thorough
@given(snapshots())
def test_what_is_written_is_what_is_read_back(snapshot: Snapshot) -> None:
    decision, status, _ = decided(snapshot)
    assert parse_status(status).sync == decision.status.sync
    for part in ("size", "scrub", "updates", "prune"):
        assert getattr(parse_status(status), part) == getattr(decision.status, part)
    assert parse_status(status).models == decision.status.models
