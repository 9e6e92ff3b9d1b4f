"""What the probes of one running container lead to: started, ready, or ended to be restarted."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from support.runner import probes
from support.runner.probes import Prober
from support.runner.process import ContainerProcess
from support.runner.statuses import ContainerStatus

Json = dict[str, Any]
GRACE_S = 30.0
"""Of a container that failed a probe."""


class Speaker(Protocol):
    """Whose status it is."""

    status: ContainerStatus

    def say(self, **changes: Any) -> None: ...


class Health:
    """For one run of a container."""

    def __init__(self, spec: Json, prober: Prober, speaker: Speaker) -> None:
        self._spec = spec
        self._prober = prober
        self._speaker = speaker

    async def watch(self, process: ContainerProcess) -> None:
        """Until it is cancelled, or the container is ended."""
        startup = self._spec.get("startupProbe")
        if startup and not await probes.passes(startup, self._prober):
            await process.end(_grace_s(startup))
            return
        self._speaker.say(started=True)
        await asyncio.gather(self._watch_readiness(), self._watch_liveness(process))

    async def _watch_readiness(self) -> None:
        probe = self._spec.get("readinessProbe")
        if not probe:
            self._speaker.say(ready=True)
            return
        await asyncio.sleep(float(probe.get("initialDelaySeconds", 0)))
        while True:
            ready = self._speaker.status.ready
            await probes.until(probe, self._prober, not ready)
            self._speaker.say(ready=not ready)
            await asyncio.sleep(float(probe.get("periodSeconds", 10)))

    async def _watch_liveness(self, process: ContainerProcess) -> None:
        if probe := self._spec.get("livenessProbe"):
            await asyncio.sleep(float(probe.get("initialDelaySeconds", 0)))
            await probes.until(probe, self._prober, False)
            await process.end(_grace_s(probe))


def _grace_s(probe: Json) -> float:
    return float(probe.get("terminationGracePeriodSeconds", GRACE_S))
