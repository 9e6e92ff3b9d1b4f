"""``make e2e``: finds a cluster, brings the images there and runs the checks of this folder.

    KUBECONFIG              the cluster, where you may do anything; without it a kind cluster is made, if kind is here
    MODELCACHE_E2E_IMAGES   registry and path where the cluster finds modelcache/{init-sync,operator,inference,e2e}
                            with the tag TAG; nothing is built then
    MODELCACHE_E2E_LOAD     command that brings a local image, its last argument, to every node, such as
                            "kind load docker-image --name NAME" or "minikube image load"
    MODELCACHE_E2E_KUBELET  command that ends or starts the kubelet of a node, by "stop NODE" and "start NODE" after it:
                            a node is lost with it, which is left out otherwise
    MODELCACHE_E2E_KEEP=1   leave the namespace behind, to look at it

The images are built as `make images` does it, with the same variables. Options are handed to pytest.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIND = "modelcache-e2e"


class NoCluster(Exception):
    """Why nothing can be checked here."""


def main(options: list[str]) -> int:
    sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests")]
    from build_images import CannotBuild

    try:
        with cluster() as loader:
            registry, tag = images(loader)
            environment = {**os.environ, "MODELCACHE_E2E_REGISTRY": registry, "MODELCACHE_E2E_TAG": tag}
            command = [sys.executable, "-m", "pytest", "-v", str(ROOT / "tests/e2e"), *options]
            return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    except NoCluster as error:
        print(f"e2e: skipped: {error}")
        return 0
    except CannotBuild as error:
        print(f"e2e: error: {error}", file=sys.stderr)
        return 1


@contextmanager
def cluster() -> Iterator[list[str]]:
    """Makes KUBECONFIG name a cluster that answers; gives the command that loads an image, if one is known."""
    from e2e.kube import program

    for name in ("kubectl", "helm"):
        if program(name) is None:
            raise NoCluster(f"{name} was not found")
    loader = shlex.split(os.environ.get("MODELCACHE_E2E_LOAD", ""))
    if os.environ.get("KUBECONFIG"):
        _check_that_it_answers()
        yield loader or _loader_of_context()
    elif shutil.which("kind"):
        with _kind_cluster():
            yield ["kind", "load", "docker-image", "--name", KIND]
    else:
        raise NoCluster("KUBECONFIG names no cluster, and kind was not found to make one")


def _check_that_it_answers() -> None:
    from e2e.kube import CommandFailed, run

    try:
        run(["kubectl", "get", "--raw", "/readyz", "--request-timeout=15s"], timeout_s=30)
    except (CommandFailed, subprocess.TimeoutExpired) as error:
        raise NoCluster(f"the cluster of KUBECONFIG={os.environ['KUBECONFIG']} does not answer: {error}") from error


def _loader_of_context() -> list[str]:
    from e2e.kube import run

    context = run(["kubectl", "config", "current-context"]).stdout.strip()
    if context.startswith("kind-") and shutil.which("kind"):
        return ["kind", "load", "docker-image", "--name", context.removeprefix("kind-")]
    return []


@contextmanager
def _kind_cluster() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KUBECONFIG"] = f"{folder}/kubeconfig"
        try:
            subprocess.run(["kind", "create", "cluster", "--name", KIND, "--wait", "180s"], check=True)
            yield
        finally:
            subprocess.run(["kind", "delete", "cluster", "--name", KIND], check=False)


def images(loader: list[str]) -> tuple[str, str]:
    """Registry and tag of the images, which are where the cluster finds them when this returns."""
    import build_images

    version = (ROOT / "VERSION").read_text().strip()
    given = os.environ.get("MODELCACHE_E2E_IMAGES", "").rstrip("/")
    if given:
        return given, os.environ.get("TAG") or version
    if not loader:
        raise build_images.CannotBuild(
            "how images get to the nodes of this cluster is not known: set MODELCACHE_E2E_LOAD or MODELCACHE_E2E_IMAGES"
        )
    order = build_images.read_order(os.environ, version)
    everything = (*build_images.IMAGES, build_images.E2E)
    build_images.build(order, everything, version)
    for image in everything:
        subprocess.run([*loader, order.reference(image)], check=True)
    return order.prefix.rstrip("/"), order.tag


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
