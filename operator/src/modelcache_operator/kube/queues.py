"""Jobs of users that wait in a queue of Kueue's: telling Kueue that their cache is complete."""

from __future__ import annotations

import logging

from init_sync.shell.logs import fields
from modelcache_operator.core.observed import Cache, Job
from modelcache_operator.core.queues import admission_patch
from modelcache_operator.kube import api as kube
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import Missing, Refused
from modelcache_operator.kube.mirror import Mirror
from modelcache_operator.kube.notices import Notices

log = logging.getLogger(__name__)


class Queues:
    """The right to patch Jobs is given with the chart's ``operator.kueue.enabled``; without it, the Job is told so."""

    def __init__(self, api: Api, mirror: Mirror, notices: Notices) -> None:
        self._api = api
        self._mirror = mirror
        self._notices = notices

    async def admit(self, cache: Cache, jobs: tuple[Job, ...]) -> bool:
        """Returns whether the API allowed all of it.

        Raises:
            Conflict: when somebody else changed a Job meanwhile.
        """
        return all([await self._admit(cache, job) for job in jobs])

    async def _admit(self, cache: Cache, job: Job) -> bool:
        patch = admission_patch(job)
        try:
            raw = await self._api.patch(kube.JOBS, job.namespace, job.name, patch, kind=kube.JSON_PATCH)
        except Missing:
            return True
        except Refused as error:
            message = (
                f"the operator cannot tell Kueue that ModelCache {cache.name} is complete: {error}. Allow it with "
            )
            message += "the chart value operator.kueue.enabled"
            await self._notices.once(job, "Warning", "AdmissionNotUngated", message, str(error))
            return False
        self._mirror.upsert_job(raw)
        message = f"ModelCache {cache.name} is complete: Kueue need not wait for it any more"
        await self._notices.once(job, "Normal", "AdmissionUngated", message)
        log.info("job ungated", extra=fields(namespace=cache.namespace, cache=cache.name, job=job.name))
        return True
