"""Checks of the manifest's parts that only the operator acts on: volume, auth and the sync Job.

They are checked here too, so that a manifest that works by hand is not refused by the cluster afterwards. What lies
inside Kubernetes' own types (tolerations, affinity, resources) is left to the API server.
"""

from __future__ import annotations

from init_sync.core.fields import Section, shown

OBJECT_NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
OBJECT_NAME_ALLOWED = "use lower-case letters, digits, '-' and '.'"
QUANTITY = r"[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|Pi|Ei|k|M|G|T|P|E)?"
ACCESS_MODES = ("ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod")
DELETION_POLICIES = ("Retain", "Delete")
PULL_POLICIES = ("Always", "IfNotPresent", "Never")


def check_deployment_fields(spec: Section) -> None:
    """Report problems in ``spec.volume``, ``spec.auth`` and ``spec.sync``."""
    if volume := spec.section("volume"):
        _check_volume(volume)
    if auth := spec.section("auth"):
        auth.text("secretName", pattern=OBJECT_NAME, allowed=OBJECT_NAME_ALLOWED)
        auth.text("key", default="token", pattern=r"[-._a-zA-Z0-9]+", allowed="use letters, digits, '-', '_' and '.'")
        auth.close()
    if sync := spec.section("sync"):
        if job := sync.section("job"):
            _check_job(job)
        sync.close()


def _check_volume(volume: Section) -> None:
    volume.optional_text("claimName", pattern=OBJECT_NAME, allowed=OBJECT_NAME_ALLOWED)
    _one_of(volume, "deletionPolicy", DELETION_POLICIES)
    if create := volume.section("create"):
        create.text("size", pattern=QUANTITY, allowed="use a Kubernetes quantity such as '110Gi'", max_length=32)
        create.optional_text("storageClassName", pattern=OBJECT_NAME, allowed=OBJECT_NAME_ALLOWED)
        for path, mode in create.texts("accessModes", minimum=1, maximum=3) or []:
            if mode not in ACCESS_MODES:
                create.problems.add(path, f"{shown(mode)} is not valid; use one of {', '.join(ACCESS_MODES)}")
        create.close()
    volume.close()


def _check_job(job: Section) -> None:
    job.flag("enabled", default=True)
    job.optional_text("image", max_length=512)
    _one_of(job, "imagePullPolicy", PULL_POLICIES)
    job.optional_text("priorityClassName", pattern=OBJECT_NAME, allowed=OBJECT_NAME_ALLOWED)
    job.optional_text("serviceAccountName", pattern=OBJECT_NAME, allowed=OBJECT_NAME_ALLOWED)
    for key in ("nodeSelector", "labels", "annotations"):
        job.mapping(key, of_strings=True)
    for key in ("affinity", "resources", "podSecurityContext"):
        job.mapping(key)
    for key in ("tolerations", "topologySpreadConstraints"):
        job.mappings(key)
    for key in ("imagePullSecrets", "env"):
        job.named_mappings(key)
    job.number("backoffLimit", minimum=0)
    job.number("activeDeadlineSeconds", minimum=1)
    job.number("ttlSecondsAfterFinished", minimum=0)
    job.close()


def _one_of(section: Section, key: str, values: tuple[str, ...]) -> None:
    if section.has(key) and section.text(key) not in ("", *values):
        section.problem(key, f"{shown(section.raw(key))} is not valid; use one of {', '.join(values)}")
