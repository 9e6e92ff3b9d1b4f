"""`make images`: builds the three images with docker, podman or buildah, and says how big they are.

    IMAGE_PREFIX  before the names, for example registry.example.com/team (default: none)
    TAG           default: the version in VERSION
    PLATFORM      such as linux/arm64 (default: the builder's own)
    BASE          another base image, such as your own mirror's (default: the one of the Dockerfiles, by digest)
    BUILDER       the program and its global options (default: the first of docker, podman, buildah that works)
    BUILD_ARGS    further options of its `build`, such as "--build-arg TORCH_VARIANT=cpu" or "--no-cache"

Proxies and package indices reach the build as the builder does it for any image: its own environment, or BUILD_ARGS.
With --e2e it also builds modelcache/e2e, which only `make e2e` uses. It does not push.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
DISK_USAGE = ("du", "-sxk", "--exclude=/proc", "--exclude=/sys", "--exclude=/dev", "/")
ENTRY = ("--entrypoint", DISK_USAGE[0])


class CannotBuild(Exception):
    """Told to the person at the terminal, without a traceback."""


@dataclass(frozen=True, slots=True)
class Image:
    """``FOLDER/Dockerfile`` becomes modelcache/NAME."""

    folder: str
    name: str
    limit_mib: int | None = None
    """Of what it may add to its base; init-sync is pulled on every node before anything else can start."""


IMAGES = (
    Image("init_sync", "init-sync", limit_mib=120),
    Image("operator", "operator"),
    Image("inference", "inference"),
)
E2E = Image("tests/e2e", "e2e")


@dataclass(frozen=True, slots=True)
class Order:
    """What the environment asks for."""

    builder: tuple[str, ...]
    prefix: str
    tag: str
    base: str
    build_args: tuple[str, ...]

    def reference(self, image: Image) -> str:
        return f"{self.prefix}modelcache/{image.name}:{self.tag}"

    def build_command(self, image: Image, version: str, revision: str) -> list[str]:
        return [
            *(*self.builder, "build", "--file", f"{image.folder}/Dockerfile", "--tag", self.reference(image)),
            *self._arguments(image, version, revision),
            *(*self.build_args, "."),
        ]

    def _arguments(self, image: Image, version: str, revision: str) -> list[str]:
        base = ["--build-arg", f"BASE={self.base}"]
        if image is E2E:
            return [*base, "--build-arg", f"INFERENCE={self.reference(IMAGES[-1])}"]
        return [*base, "--build-arg", f"VERSION={version}", "--build-arg", f"REVISION={revision}"]


def read_order(environment: Mapping[str, str], version: str) -> Order:
    platform = environment.get("PLATFORM", "")
    return Order(
        builder=tuple(shlex.split(environment.get("BUILDER", ""))) or find_builder(),
        prefix=read_prefix(environment),
        tag=environment.get("TAG") or version,
        base=environment.get("BASE") or base_image(),
        build_args=(*(("--platform", platform) if platform else ()), *shlex.split(environment.get("BUILD_ARGS", ""))),
    )


def read_prefix(environment: Mapping[str, str]) -> str:
    """In lower case, as references of images are; the name of a GitHub owner may not be."""
    prefix = environment.get("IMAGE_PREFIX", "").rstrip("/").lower()
    return f"{prefix}/" if prefix else ""


def find_builder() -> tuple[str, ...]:
    """A client without its daemon is no builder, so each is asked for something that only a working one can tell."""
    for program, question in (("docker", "info"), ("podman", "info"), ("buildah", "images")):
        try:
            subprocess.run([program, question], check=True, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            continue
        return (program,)
    raise CannotBuild("no working docker, podman or buildah was found; install one, or name it in BUILDER")


def unpacked_bytes(order: Order, reference: str) -> int:
    """What a container sees, as it lies on a disk. Counted inside, for each builder reports sizes in its own way."""
    if Path(order.builder[0]).name == "buildah":
        container = _output([*order.builder, "from", "--pull-never", reference])
        try:
            text = _output([*order.builder, "run", "--user", "0", container, "--", *DISK_USAGE])
        finally:
            _output([*order.builder, "rm", container])
    else:
        text = _output([*order.builder, "run", "--rm", "--user", "0", *ENTRY, reference, *DISK_USAGE[1:]])
    return int(text.split()[0]) * 1024


def base_image() -> str:
    """The same in every Dockerfile."""
    lines = (ROOT / IMAGES[0].folder / "Dockerfile").read_text().splitlines()
    return next(line.removeprefix("ARG BASE=") for line in lines if line.startswith("ARG BASE="))


def build(order: Order, images: Sequence[Image], version: str) -> None:
    revision = _output(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], default="unknown")
    for image in images:
        print(f"building {order.reference(image)} with {order.builder[0]}", flush=True)
        if subprocess.run(order.build_command(image, version, revision), cwd=ROOT, check=False).returncode:
            raise CannotBuild(f"building {order.reference(image)} failed; the builder's own words are above")


def report_sizes(order: Order) -> None:
    """Raises CannotBuild when an image has grown over its limit."""
    print(f"{'image':<48} {'MiB':>7} {'beyond its base':>16}")
    base = unpacked_bytes(order, order.base) / MIB
    for image in IMAGES:
        size = unpacked_bytes(order, order.reference(image)) / MIB
        added = size - base
        print(f"{order.reference(image):<48} {size:>7.0f} {added:>16.0f}")
        if image.limit_mib is not None and added > image.limit_mib:
            raise CannotBuild(f"{image.name} adds {added:.0f} MiB to its base; {image.limit_mib} MiB are its limit")


def _output(command: list[str], default: str | None = None) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        if default is not None:
            return default
        raise CannotBuild(f"{shlex.join(command)}: {getattr(error, 'stderr', None) or error}") from error


def main(arguments: Sequence[str]) -> int:
    version = (ROOT / "VERSION").read_text().strip()
    try:
        order = read_order(os.environ, version)
        build(order, (*IMAGES, E2E) if "--e2e" in arguments else IMAGES, version)
        report_sizes(order)
    except CannotBuild as error:
        print(f"images: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
