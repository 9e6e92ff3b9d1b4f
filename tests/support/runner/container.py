"""One container of a pod over all its runs: started, probed, restarted after a growing pause, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support.runner.environment import Find, Missing, PodFields, expand, variables
from support.runner.health import Health
from support.runner.images import Image
from support.runner.probes import Prober, refuse_unknown
from support.runner.process import Command, ContainerProcess
from support.runner.statuses import ContainerStatus, Ended, now, waiting
from support.runner.volumes import container_paths

Json = dict[str, Any]
RETRY_S = 0.2
"""How often something missing is looked for again."""


@dataclass(frozen=True, slots=True)
class Pauses:
    """Between restarts of one container."""

    first_s: float = 10.0
    longest_s: float = 300.0

    def before(self, restart: int) -> float:
        """The first restart comes at once."""
        return min(self.first_s * 2.0 ** (restart - 2), self.longest_s) if restart > 1 else 0.0


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, for whoever wants to know it better than a status tells."""

    namespace: str
    pod: str
    container: str
    log: Path
    began: float
    """On the clock of ``time.monotonic``."""
    seconds: float
    ended: Ended

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a pod gives to its containers."""

    fields: PodFields
    find: Find
    mounted: dict[str, Path]
    folder: Path
    node_env: dict[str, str]
    """What this machine adds: the way to the API."""
    pauses: Pauses
    ending: asyncio.Event
    changed: Callable[[], None]
    """Called after each change of a status."""
    record: Callable[[RunRecord], None]


class Container:
    """``status`` always is what the kubelet would say now."""

    def __init__(self, spec: Json, image: Image | None, surroundings: Surroundings) -> None:
        refuse_unknown(spec)
        self._spec = spec
        self._image = image
        self._around = surroundings
        self._own = surroundings.folder / str(spec["name"])
        self._paths = container_paths(spec, surroundings.mounted, self._own)
        self._process: ContainerProcess | None = None
        self._env: dict[str, str] = {}
        self.status = ContainerStatus(spec["name"], spec["image"])

    def say(self, **changes: Any) -> None:
        status = replace(self.status, **changes)
        if status != self.status:
            self.status = status
            self._around.changed()

    async def run_until(self, done: Callable[[int], bool]) -> int | None:
        """Run and restart until ``done`` accepts an exit code; None when the pod ends before."""
        while not self._around.ending.is_set():
            command = await self._command()
            if command is None:
                return None
            code = await self._run_once(command)
            if done(code) or self._around.ending.is_set():
                return code
            await self._pause()
        return None

    async def before_stop(self, limit_s: float) -> None:
        """The preStop hook, if it runs at all."""
        hook = (self._spec.get("lifecycle") or {}).get("preStop")
        if not hook or not self._process:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                if "sleep" in hook:
                    await asyncio.sleep(float(hook["sleep"]["seconds"]))
                else:
                    await self._prober().ask({**hook, "timeoutSeconds": limit_s})

    async def end(self, grace_s: float) -> None:
        if self._process:
            await self._process.end(grace_s)

    async def _command(self) -> Command | None:
        """What to run, once everything that it refers to is there."""
        while not self._around.ending.is_set():
            if self._image is None:
                self.say(state=waiting("ImagePullBackOff", f'Back-off pulling image "{self._spec["image"]}"'))
            else:
                try:
                    return self._compose(self._image)
                except Missing as error:
                    self.say(state=waiting("CreateContainerConfigError", str(error)))
            await self._ending_within(RETRY_S)
        return None

    def _compose(self, image: Image) -> Command:
        around, spec = self._around, self._spec
        own = variables(spec, around.fields, around.find)
        given = [
            self._paths.map(each) for each in expand([*(spec.get("command") or ()), *(spec.get("args") or ())], own)
        ]
        program = () if spec.get("command") else image.entrypoint  # a path of this machine, wherever it lies
        self._env = {
            **{key: os.environ[key] for key in ("PATH", "LANG", "OMP_NUM_THREADS") if key in os.environ},
            "HOME": str(self._own),
            "HOSTNAME": around.fields.pod["metadata"]["name"],
            "PYTHONUNBUFFERED": "1",
            "SANDBOX_ADDRESS": around.fields.address,
            "SANDBOX_TERMINATION_LOG": str(self._own / "message"),
            "TMPDIR": self._paths.map("/tmp"),
            **around.node_env,
            **image.env,
            **{key: self._paths.map(value) for key, value in own.items()},
        }
        log = self._own / f"{self.status.restarts}.log"
        return Command([*program, *given], self._env, self._own, self._own / "message", log)

    async def _run_once(self, command: Command) -> int:
        began, metadata = time.monotonic(), self._around.fields.pod["metadata"]
        try:
            ended = await self._run(command)
        except OSError as error:
            ended = Ended(128, f"failed to create containerd task: {error}", now(), now(), "StartError")
        took = time.monotonic() - began
        self._around.record(
            RunRecord(metadata["namespace"], metadata["name"], self.status.name, command.log, began, took, ended)
        )
        self.say(state={"terminated": ended.json()}, ready=False, started=False)
        return ended.exit_code

    async def _run(self, command: Command) -> Ended:
        self._process = process = await ContainerProcess.start(command)
        if self._around.ending.is_set():  # since the pod was asked to end, which did not see this process
            process.signal(signal.SIGKILL)
        self.say(state={"running": {"startedAt": now()}}, started="startupProbe" not in self._spec)
        watching = asyncio.create_task(Health(self._spec, self._prober(), self).watch(process))
        try:
            return await process.wait()
        finally:
            watching.cancel()
            self._process = None

    async def _pause(self) -> None:
        """Back off, and be restarted."""
        ended, restart = self.status.state, self.status.restarts + 1
        if pause_s := self._around.pauses.before(restart):
            message = f"back-off {pause_s:g}s restarting failed container={self.status.name}"
            self.say(state=waiting("CrashLoopBackOff", message), last=ended)
            await self._ending_within(pause_s)
        if not self._around.ending.is_set():
            self.say(restarts=restart, last=ended)

    async def _ending_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._around.ending.wait()

    def _prober(self) -> Prober:
        ports = {each["name"]: int(each["containerPort"]) for each in self._spec.get("ports", ()) if "name" in each}
        return Prober(self._around.fields.address, ports, self._execute)

    async def _execute(self, command: list[str]) -> bool:
        """For probes and hooks; ended when it is cancelled."""
        process = await asyncio.create_subprocess_exec(
            *[self._paths.map(each) for each in command],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=self._own,
            env=self._env,
        )
        try:
            return await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
