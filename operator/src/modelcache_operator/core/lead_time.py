"""Lead time: whether a running sync will end so soon that pods may be given their nodes already.

The time left is estimated from what the sync's container says over HTTP, and pessimistically: the bytes that are
missing, at the lowest of the rates over two windows. Only downloaded bytes count; files that were found on the volume
say nothing about the hub. There is no estimate

- before ``ENOUGH_S`` of one run were seen, so that a new pod of the Job begins again;
- while a model's size is unknown, or the newest sample is older than ``STALE_S``;
- in a resync, which reads every byte of the volume again.

Gates are removed once every estimate of ``HOLD_S`` was below ``spec.gate.leadTime``. A sync that stalls gives no new
ones. The operator keeps the samples in memory; after a restart it observes again.
"""

from __future__ import annotations

from dataclasses import replace

from modelcache_operator.core.gate import NONE, Cause, Removal, waits_by_itself
from modelcache_operator.core.nodes import HOSTNAME
from modelcache_operator.core.observed import Job, Progress, Sample, Snapshot
from modelcache_operator.core.observed_pods import Observation, Pod
from modelcache_operator.core.owned_objects import OwnedObjects, running_pods

ENOUGH_S = 30.0
WINDOWS_S = (15.0, 60.0)
HOLD_S = 10.0
STALE_S = 10.0
KEPT_S = max(WINDOWS_S) + HOLD_S + STALE_S
APART_S = 1.0
"""Samples are this far apart at least, whatever the interval of the progress is."""


def with_samples(progress: Progress, before: Progress | None) -> Progress:
    """The progress with the samples before it, as far as they are of the same download."""
    said = progress.observation
    sample = Sample(progress.at, said.bytes_total, said.bytes_present, said.bytes_fetched)
    samples = before.samples if before else ()
    if samples and (samples[-1].total != sample.total or samples[-1].fetched > sample.fetched):
        samples = ()
    if len(samples) > 1 and sample.at - samples[-2].at < APART_S:
        samples = samples[:-1]
    kept = tuple(each for each in samples if each.at >= sample.at - KEPT_S)
    return replace(progress, samples=(*kept, sample))


def time_left_s(samples: tuple[Sample, ...]) -> float | None:
    """At the last of them; None where it cannot be estimated."""
    if not samples or samples[-1].at - samples[0].at < ENOUGH_S:
        return None
    rates = [_rate(samples, window_s) for window_s in WINDOWS_S]
    last = samples[-1]
    return max(0, last.total - last.present) / min(rates) if min(rates) > 0 else None


def _rate(samples: tuple[Sample, ...], window_s: float) -> float:
    """Bytes that were downloaded, and are on the volume, each second."""
    last = samples[-1]
    first = next((each for each in reversed(samples) if each.at <= last.at - window_s), samples[0])
    gained = min(last.fetched - first.fetched, last.present - first.present)
    return gained / (last.at - first.at)


def is_below(samples: tuple[Sample, ...], lead_time_s: float) -> bool:
    """Whether the time left was below the lead time for long enough."""
    for count in range(len(samples), 0, -1):
        left = time_left_s(samples[:count])
        if left is None or left >= lead_time_s:
            return False
        if samples[-1].at - samples[count - 1].at >= HOLD_S:
            return True
    return False


def early_removal(snapshot: Snapshot, objects: OwnedObjects, gated: tuple[Pod, ...], now: float) -> Removal:
    """Of the pods that wait, those that may start though the sync has not ended."""
    lead_time_s, job = snapshot.cache.lead_time_s, objects.latest
    running = running_pods(objects, jobs_enabled=True)
    if not lead_time_s or not gated or job is None or len(running) != 1:
        return NONE
    progress = snapshot.progress.get(running[0].uid)
    if progress is None or now - progress.at > STALE_S or not _says_enough(progress.observation, snapshot, job):
        return NONE
    pods = tuple(pod for pod in gated if waits_by_itself(pod, snapshot) and can_mount(pod, running[0], snapshot))
    if not pods or not is_below(progress.samples, lead_time_s):
        return NONE
    return Removal(pods, Cause.LEAD_TIME, time_left_s(progress.samples) or 0.0)


def _says_enough(said: Observation, snapshot: Snapshot, job: Job) -> bool:
    """It is about this content, and the size of each model is known."""
    cache = snapshot.cache
    listed = {model.name for model in said.models if model.bytes_total}
    return said.manifest == cache.digest and not job.resync and listed.issuperset(cache.models)


def can_mount(pod: Pod, syncing: Pod, snapshot: Snapshot) -> bool:
    """Whether a pod can mount the volume while the sync does.

    One that a single node can mount is mounted where the sync runs: a pod that selects this very node can, any other
    may get a node on which it would wait for the volume.
    """
    claim = snapshot.claim
    if claim is None or not claim.bound or "ReadWriteOncePod" in claim.access_modes:
        return False
    return "ReadWriteMany" in claim.access_modes or (
        syncing.node != "" and (HOSTNAME, syncing.node) in pod.node_affinity.selector
    )
