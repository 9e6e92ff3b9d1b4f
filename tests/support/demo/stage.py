"""What the demo stands on: a folder, a hub, a Kubernetes API, a runner with one GPU; all gone at its end."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from support.checkpoint import tiny_checkpoint
from support.demo.fitness import Unfit, check_ports
from support.demo.screen import Screen, table_text
from support.demo.spectator import NAMESPACE, Spectator
from support.helm import Helm, Release
from support.hub import Fault, LocalHub
from support.hub.models import BASE, build_minilm, build_multitalk, minilm_folder
from support.kubeapi import LocalApi
from support.kubeapi.client import Client
from support.runner import Image, Runner, python_image
from support.tools import helm, kubectl, why_no_helm

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]
RATE = 1_000_000
"""Bytes a second that the hub gives to each connection, so that there is something to watch."""
TINY_RATE = 100_000
"""The same for MultiTalk's base model, which is small."""
LOG_LINES = 15
IMAGES: dict[str, Image] = {
    "modelcache/init-sync": python_image("init_sync"),
    "modelcache/operator": python_image("modelcache_operator"),
    "modelcache/inference": python_image("inference.server", OMP_NUM_THREADS="1"),
}


class Stage:
    """A context manager; ``folder`` and every process live as long as it."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._kubectl = kubectl() or shutil.which("kubectl")
        self._stack = contextlib.ExitStack()
        self.folder: Path
        self.hub: LocalHub
        self.client: Client
        self.runner: Runner
        self.spectator: Spectator
        self.kubeconfig: Path
        self._helm: Helm

    def __enter__(self) -> Self:
        check_ports()
        with self._stack:
            folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="modelcache-demo-"))
            self.folder = Path(folder)
            self._helm = Helm(_required_helm(), self.folder / "helm")
            self.hub = self._stack.enter_context(LocalHub(self.folder / "hub", rate_per_connection=RATE))
            self._start_cluster()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start_cluster(self) -> None:
        api = self._stack.enter_context(LocalApi())
        self.kubeconfig = api.kubeconfig(self.folder)
        self.client = Client(self.kubeconfig)
        self._stack.callback(self.client.close)
        env = {"MODELCACHE_KUBECONFIG": str(self.kubeconfig)}
        self.runner = Runner(self.kubeconfig, self.folder / "node", IMAGES, {"nvidia.com/gpu": 1}, env=env)
        self._stack.enter_context(self.runner)
        api.logs = self.runner.log
        self.spectator = Spectator(self.kubeconfig, self.screen)
        self._stack.callback(self.spectator.stop)

    @property
    def has_minilm(self) -> bool:
        return minilm_folder() is not None

    def fill_hub(self) -> None:
        build_minilm(self.folder / "hub")
        build_multitalk(self.folder / "hub", tiny_checkpoint())
        self.hub.add_fault(Fault("slow", repo=BASE, bytes_per_second=TINY_RATE))

    def volume(self, claim: str) -> Path:
        return self.folder / "node/claims" / NAMESPACE / claim

    def install(self, release: str, values: Json) -> None:
        """The chart with its own values but for these, as Helm renders it."""
        render = f"helm template {release} charts/modelcache --include-crds --skip-tests --values {release}.yaml"
        self.screen.command(f"{render} | kubectl apply -f -")
        self.screen.block(yaml.safe_dump(values, sort_keys=False))
        for each in self._helm.render(Release(values, release, NAMESPACE)):
            if "helm.sh/hook" not in (each["metadata"].get("annotations") or {}):
                self.client.apply(each)

    def show(self, resource: str, labels: str = "") -> None:
        """As kubectl shows it; where there is none, from the very answer that it would show."""
        selector = ["-l", labels] if labels else []
        self.screen.command(shlex.join(["kubectl", "get", resource, *selector]))
        if not self._kubectl:
            self.screen.plain(table_text(self.client.table(resource, NAMESPACE, labels)))
            return
        where = [f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.folder}/kubectl"]
        command = [self._kubectl, "get", resource, *selector, *where]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        self.screen.plain(done.stdout)

    def last_words(self) -> str:
        """The end of each container's log: for a failure that the acts cannot explain."""
        texts = []
        for path in sorted((self.folder / "node/pods").glob("*/*/*.log")):
            lines = path.read_text(errors="replace").splitlines()[-LOG_LINES:]
            texts.append("\n".join([f"-- {path.parent.name}, run {path.stem}", *lines]))
        return "\n".join(texts)


def _required_helm() -> Path:
    found = helm()
    if found is None:
        raise Unfit(f"installing the chart: {why_no_helm()}")
    return found
