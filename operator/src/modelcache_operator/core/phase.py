"""The phase of a cache: the first rule that applies decides it. The lists at the end are complete, in order.

Pending   nothing syncs yet: no volume, no pod, or a pod that cannot start
Syncing   a sync was started for this claim and content and has not ended; stays through retries of its pods
Ready     the content was proven complete on this claim, the claim is bound, and nothing speaks against it
Degraded  it was, and something does: damage, or the volume is gone; stays until it is repaired or replaced
Failed    the manifest is wrong, or a Job failed permanently; stays until a later Job fetches something or succeeds

A rule is a function from what was observed to a decision, or to None where it does not apply. It may assume that no
rule before it did.
"""

from __future__ import annotations

from collections.abc import Callable

from init_sync.core.errors import NeedsChange
from modelcache_operator.core import messages
from modelcache_operator.core.copy_status import (
    copies_are_complete,
    copies_are_hindered,
    copies_can_be_used,
    no_copy_is_complete,
)
from modelcache_operator.core.gate import gated_pods
from modelcache_operator.core.observed_pods import Pod, RunState
from modelcache_operator.core.owned_objects import running_pods
from modelcache_operator.core.phase_inputs import (
    PhaseDecision,
    PhaseInputs,
    damage,
    failure,
    in_use,
    is_fetching,
    last_failure,
    next_attempt,
    obstacle,
    users_pods,
)
from modelcache_operator.core.proof import is_proven
from modelcache_operator.core.status import Phase

Rule = Callable[[PhaseInputs], PhaseDecision | None]


def decide_phase(inputs: PhaseInputs) -> PhaseDecision:
    rules = (*RULES, *(RULES_WITH_JOBS if inputs.snapshot.cache.job.enabled else RULES_WITHOUT_JOBS))
    return next(decided for rule in rules if (decided := rule(inputs)))


def manifest_is_refused(inputs: PhaseInputs) -> PhaseDecision | None:
    return PhaseDecision(Phase.FAILED, "InvalidSpec", inputs.problem, stalled=True) if inputs.problem else None


def proven_volume_is_gone(inputs: PhaseInputs) -> PhaseDecision | None:
    volume = inputs.volume
    if not inputs.record.proven_at or volume.bound:
        return None
    return PhaseDecision(Phase.DEGRADED, volume.reason, volume.message, volume.stalled)


def object_is_refused(inputs: PhaseInputs) -> PhaseDecision | None:
    refusals = inputs.snapshot.refusals
    if not refusals.object or copies_can_be_used(inputs):
        return None
    return PhaseDecision(Phase.FAILED, refusals.reason, refusals.object, stalled=True)


def claim_is_unusable(inputs: PhaseInputs) -> PhaseDecision | None:
    volume = inputs.volume
    return None if volume.usable else PhaseDecision(Phase.PENDING, volume.reason, volume.message, volume.stalled)


def resync_runs(inputs: PhaseInputs) -> PhaseDecision | None:
    request = inputs.plan.create or inputs.job
    if not (request and request.resync):
        return None
    doing = "every byte is verified again, as the resync annotation asks; pods that start now wait"
    if found := obstacle(inputs):
        return PhaseDecision(Phase.SYNCING, found.reason, f"{doing}. {found.text}")
    return PhaseDecision(Phase.SYNCING, "Resyncing", doing)


def content_is_complete(inputs: PhaseInputs) -> PhaseDecision | None:
    if not is_proven(inputs.record):
        return None
    count, refusals = len(inputs.snapshot.cache.models), inputs.snapshot.refusals
    complete = "the model is complete" if count == 1 else f"all {count} models are complete"
    message = ". ".join(filter(None, (complete, refusals.gate, refusals.owner)))
    return PhaseDecision(Phase.READY, "AllModelsVerified", message)


def content_is_damaged(inputs: PhaseInputs) -> PhaseDecision | None:
    if not inputs.record.proven_at:
        return None
    found = damage(inputs)
    text = found.text + in_use(inputs) + next_attempt(inputs)
    return PhaseDecision(Phase.DEGRADED, found.reason, text, found.stalled)


def last_job_failed(inputs: PhaseInputs) -> PhaseDecision | None:
    if not inputs.record.failures or inputs.was_syncing or is_fetching(inputs):
        return None
    found = failure(inputs)
    return PhaseDecision(Phase.FAILED, found.reason, found.text + next_attempt(inputs), found.stalled)


def sync_has_started(inputs: PhaseInputs) -> PhaseDecision | None:
    pod, pods = inputs.pod, inputs.objects.job_pods
    started = pod is not None and (pod.state is RunState.RUNNING or any(each.runs for each in pods))
    return _syncing(inputs, pod, pods) if started or inputs.was_syncing else None


def job_pod_is_hindered(inputs: PhaseInputs) -> PhaseDecision | None:
    found = obstacle(inputs)
    return PhaseDecision(Phase.PENDING, found.reason, found.text) if found else None


def job_pod_is_starting(inputs: PhaseInputs) -> PhaseDecision:
    if not inputs.volume.bound and not inputs.pod:
        return PhaseDecision(Phase.PENDING, inputs.volume.reason, inputs.volume.message)
    waiting = (
        messages.starting(inputs.pod, inputs.snapshot.cache) if inputs.pod else messages.no_pod_yet(inputs.record.job)
    )
    return PhaseDecision(Phase.PENDING, "PodStarting", waiting)


def users_pod_syncs(inputs: PhaseInputs) -> PhaseDecision | None:
    pods = users_pods(inputs)
    running = running_pods(inputs.objects, jobs_enabled=False)
    failed = last_failure(pods)
    if running or (failed and failed[0].exit_code != NeedsChange.exit_code):
        return _syncing(inputs, running[0] if running else None, pods)
    return None


def users_pod_failed(inputs: PhaseInputs) -> PhaseDecision | None:
    failed = last_failure(users_pods(inputs))
    if failed is None:
        return None
    found = messages.run_failure(*failed, inputs.snapshot.cache)
    return PhaseDecision(Phase.FAILED, found.reason, found.text, stalled=True)


def users_pod_names_no_manifest(inputs: PhaseInputs) -> PhaseDecision | None:
    named = next((pod for pod in users_pods(inputs) if pod.runs), None)
    return PhaseDecision(Phase.PENDING, "ManifestUnknown", messages.unknown_manifest(named)) if named else None


def users_pod_is_hindered(inputs: PhaseInputs) -> PhaseDecision | None:
    found = next(filter(None, (messages.trouble(pod) for pod in users_pods(inputs))), None)
    return PhaseDecision(Phase.PENDING, found.reason, found.text) if found else None


def users_pods_cannot_sync(inputs: PhaseInputs) -> PhaseDecision | None:
    """None of those that are there can ever sync, unless one of them may still start to."""
    pods = users_pods(inputs)
    held = gated_pods(pods)
    if any(pod.state is RunState.WAITING and pod not in held for pod in pods):
        return None
    if unmounted := inputs.objects.unmounted:
        message = messages.claim_not_mounted(unmounted, inputs.snapshot.cache.volume.claim)
        return PhaseDecision(Phase.PENDING, "ClaimNotMounted", message)
    return PhaseDecision(Phase.PENDING, "PodsGated", messages.pods_gated(held)) if held else None


def no_pod_has_synced(_inputs: PhaseInputs) -> PhaseDecision:
    message = f"{messages.WITHOUT_JOBS} and no pod has synced this manifest yet"
    return PhaseDecision(Phase.PENDING, "WaitingForPod", message)


RULES: tuple[Rule, ...] = (
    manifest_is_refused,
    proven_volume_is_gone,
    object_is_refused,
    claim_is_unusable,
    copies_are_hindered,
    copies_are_complete,
    resync_runs,
    no_copy_is_complete,
    content_is_complete,
    content_is_damaged,
)
RULES_WITH_JOBS: tuple[Rule, ...] = (
    last_job_failed,
    sync_has_started,
    job_pod_is_hindered,
    job_pod_is_starting,
)
RULES_WITHOUT_JOBS: tuple[Rule, ...] = (
    users_pod_syncs,
    users_pod_failed,
    users_pod_names_no_manifest,
    users_pod_is_hindered,
    users_pods_cannot_sync,
    no_pod_has_synced,
)


def _syncing(inputs: PhaseInputs, pod: Pod | None, pods: tuple[Pod, ...]) -> PhaseDecision:
    """The message says what went wrong last, if anything did, and that it is being retried."""
    found = obstacle(inputs) if inputs.snapshot.cache.job.enabled else pod and messages.trouble(pod)
    if found:
        return PhaseDecision(Phase.SYNCING, found.reason, found.text)
    if failed := last_failure(pods):
        said = messages.run_failure(*failed, inputs.snapshot.cache)
        return PhaseDecision(Phase.SYNCING, said.reason, f"retrying: {said.text}")
    message = f"pod {pod.name} syncs" if pod else f"Job {inputs.record.job} is starting another pod"
    return PhaseDecision(Phase.SYNCING, "Syncing", message)
