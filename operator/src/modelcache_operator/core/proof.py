"""What proves that a content is on a claim, and what speaks against it.

A proof belongs to one claim (its uid), one volume (the id on it) and one content (the digest of the manifest text). All
three can be exchanged under their names, so each is compared, and a record that is about another claim or content is
not used: the sequence of Jobs starts again, which costs milliseconds where the files are there.

- A sync Job of this object that was made for this claim and content and that the Job controller calls Complete is a
  proof: its container ended with exit code 0, which init-sync gives only for a volume that it verified. It is none if
  every successful run that can be seen names another manifest: the pod had mounted an older or a foreign ConfigMap.
- A Job that failed permanently proves the opposite, whatever its pods say. Owner references and labels are free text
  for everybody who may create pods, so a pod that names the Job need not be the Job's: its report is good for a message
  and for figures, and neither turns a failure into a success nor a success into a failure. A resync that only failed
  to reach the hub costs one more Job for this, which verifies the volume without the hub.
- A pod of the user's can say anything. That the volume is damaged, or another one than was proven, is believed (a sync
  Job will tell). That it is complete is believed only where sync Jobs are disabled, and only with the digest of this
  very manifest.
- An anchor (``models[].digest``) that demands the digest which was proven takes nothing from the proof: the digests are
  those that the proving run reported. Any other change of an anchor is another content, which a Job has to prove.
- What is later counts. Pods that are being deleted, or that do not mount the claim, are not asked, nor is what a pod
  did before the claim was created.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from init_sync.core.report import ModelReport
from modelcache_operator.core import timestamps
from modelcache_operator.core.damage import damage_reports
from modelcache_operator.core.observed import Claim, Job, Snapshot
from modelcache_operator.core.observed_pods import Run
from modelcache_operator.core.owned_objects import OwnedObjects, names_no_other, sort_objects
from modelcache_operator.core.status import Status, SyncRecord


def current_record(snapshot: Snapshot) -> SyncRecord:
    """The stored record if it is about the present claim and content, else a new one."""
    cache, stored = snapshot.cache, snapshot.cache.status.sync
    if _is_what_is_demanded(stored, snapshot):
        return replace(stored, manifest=cache.digest)
    copied = bool(stored.copies) == (cache.volume.per_node is not None)
    if not stored.is_about(snapshot.claim_uid, cache.digest) or (stored.proven_at and not copied):
        return SyncRecord(
            claim_uid=snapshot.claim_uid,
            manifest=cache.digest,
            content=cache.content,
            attempt=stored.attempt,
            settled_attempt=stored.attempt,
            resync=stored.resync,
        )
    if not stored.content:
        stored = replace(stored, content=cache.content)  # an older operator wrote it
    if cache.status.observed_generation != cache.generation:
        return replace(stored, failures=0, finished_at="")  # what was changed may be the cure: no waiting
    return stored


def _is_what_is_demanded(stored: SyncRecord, snapshot: Snapshot) -> bool:
    """Whether only anchors changed, and those that there are now demand the digests that were proven."""
    cache = snapshot.cache
    if (stored.claim_uid, stored.content) != (snapshot.claim_uid, cache.content) or stored.manifest == cache.digest:
        return False
    return is_proven(stored) and all(stored.digests.get(model) == each for model, each in cache.anchors.items())


def continues(before: SyncRecord, record: SyncRecord) -> bool:
    """Whether a record is about what the one before was about, so that its figures hold."""
    if before.is_about(record.claim_uid, record.manifest):
        return True
    same = (before.claim_uid, before.content, before.proven_at) == (record.claim_uid, record.content, record.proven_at)
    return same and bool(record.proven_at)


def update_record(snapshot: Snapshot, objects: OwnedObjects) -> SyncRecord:
    """The record, brought up to date with what can be seen now."""
    record = current_record(snapshot)
    latest = objects.latest
    if latest and latest.attempt >= record.attempt:
        record = replace(record, attempt=latest.attempt, job=latest.name)
        if latest.outcome and latest.attempt > record.settled_attempt:
            record = record_outcome(record, latest, objects)
    return _record_workloads(record, snapshot, objects)


def job_pods_stale(snapshot: Snapshot) -> bool:
    """Whether a Job has ended and what its pod said of it has not been seen: two watches keep no order.

    Of copies there may be a thousand Jobs; ``copies`` waits for the watch.
    """
    if snapshot.cache.volume.per_node:
        return False
    objects, settled = sort_objects(snapshot), current_record(snapshot).settled_attempt
    latest = objects.latest
    if latest is None or not latest.outcome or latest.attempt <= settled:
        return False
    if latest.kept_by:
        return True  # the pods are counted, so all must be known
    if latest.outcome == "Complete":
        return not _runs_that_fit(objects, snapshot.cache.digest)
    return not any(pod.runs for pod in objects.job_pods)


def record_outcome(record: SyncRecord, job: Job, objects: OwnedObjects) -> SyncRecord:
    """Take the end of a Job into account, once."""
    finished = timestamps.stamp(job.finished_at or job.created_at)
    record = replace(record, settled_attempt=job.attempt, finished_at=finished, resync=job.resync or record.resync)
    fitting = _runs_that_fit(objects, record.manifest)
    if job.outcome == "Complete" and (fitting or not _successes(objects)):
        proven = replace(record, failures=0, proven_at=finished, volume_id=_volume_of(fitting), next_attempt_at="")
        return replace(
            proven,
            digests=_agreed(fitting, record.manifest, lambda model: model.digest),
            commits=_agreed(fitting, record.manifest, lambda model: model.commit),
        )
    return replace(record, failures=record.failures + 1, broken_at=finished)


def _successes(objects: OwnedObjects) -> list[Run]:
    return [run for pod in objects.job_pods for run in pod.runs if run.exit_code == 0]


def _runs_that_fit(objects: OwnedObjects, digest: str) -> list[Run]:
    """Successful runs that may have completed the newest Job; a forged one beside them changes nothing."""
    return [run for run in _successes(objects) if names_no_other(run, digest)]


def _volume_of(runs: list[Run]) -> str:
    """Unknown if they disagree: one of them is forged."""
    ids = {run.observation.volume_id for run in runs if run.observation and run.observation.volume_id}
    return ids.pop() if len(ids) == 1 else ""


def _agreed(runs: Iterable[Run], manifest: str, said: Callable[[ModelReport], str | None]) -> dict[str, str]:
    """By model, as far as all runs that name this manifest agree."""
    found: dict[str, set[str]] = {}
    for run in runs:
        if run.observation and run.observation.manifest == manifest:
            for model in run.observation.models:
                found.setdefault(model.name, set()).add(said(model) or "")
    return {name: next(iter(each)) for name, each in found.items() if len(each) == 1 and "" not in each}


def _record_workloads(record: SyncRecord, snapshot: Snapshot, objects: OwnedObjects) -> SyncRecord:
    since = timestamps.parse(record.proven_at) or 0.0
    damaged = [each.at for each in damage_reports(snapshot, objects, record.volume_id) if each.at > since]
    if damaged and record.proven_at:
        record = replace(record, broken_at=max(record.broken_at, timestamps.stamp(max(damaged))))
    newest = max(_complete_runs(record, objects), key=lambda run: run.finished_at, default=None)
    if snapshot.cache.job.enabled or newest is None or newest.finished_at <= since:
        return record
    if timestamps.stamp(newest.finished_at) < record.broken_at:
        return record
    volume_id = newest.observation.volume_id if newest.observation else ""
    digests = _agreed([newest], record.manifest, lambda model: model.digest)
    return replace(record, proven_at=timestamps.stamp(newest.finished_at), volume_id=volume_id, digests=digests)


def _complete_runs(record: SyncRecord, objects: OwnedObjects) -> Iterator[Run]:
    """Runs in pods of the user's that found this content complete: the proof where there are no Jobs."""
    for run in (run for pod in objects.workloads for run in pod.runs):
        report = run.observation
        if run.exit_code == 0 and report and report.complete and report.manifest == record.manifest:
            yield run


def is_new_proof(before: Status, after: Status) -> bool:
    """Whether ``after`` is complete by a proof that ``before`` did not have.

    ``before`` may be complete by an earlier proof, of other content: an operator that was killed after it made the Job
    of a changed manifest has not written since.
    """
    return after.complete and not (before.complete and before.sync.proven_at == after.sync.proven_at)


def is_proven(record: SyncRecord) -> bool:
    """Complete as far as is known. Equal timestamps count for the proof: a sync ends by verifying."""
    return bool(record.proven_at) and record.proven_at >= record.broken_at


def is_proven_on(record: SyncRecord, claim: Claim | None) -> bool:
    """Complete on this claim: it is the one that the record is about, and has its volume."""
    return claim is not None and claim.bound and claim.uid == record.claim_uid and is_proven(record)
