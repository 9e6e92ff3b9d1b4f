"""Filling a module from a store, one tensor at a time.

The module is built without memory (on the meta device). Names and shapes are compared first, all of them, so that a
wrong checkpoint costs nothing; then the tensors are read in the order on disk by a few threads, changed if a LoRA asks
for it and brought into the wanted type where they will live. What goes to a GPU passes the host in pieces (`staging`);
of what stays on the host, at most `READ_AHEAD` tensors are held besides.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from inference.engine.checkpoint.staging import Staging, Upload
from inference.engine.checkpoint.store import Shape, TensorStore
from inference.engine.errors import CheckpointError

log = logging.getLogger(__name__)

READ_AHEAD = 4
NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Source:
    """Where a parameter comes from: a tensor of the checkpoint, or one of `parts` equal runs of its rows."""

    name: str
    part: int = 0
    parts: int = 1
    drop_ones: bool = False
    """The checkpoint keeps leading dimensions of size one that the module does not have."""

    def stored_shape(self, shape: Shape) -> Shape:
        """Shape that the checkpoint's tensor must have, leading ones left out."""
        return (shape[0] * self.parts, *shape[1:]) if self.parts > 1 else shape

    def cut(self, tensor: Tensor, shape: Shape) -> Tensor:
        """Take this parameter's share of the checkpoint's tensor."""
        return tensor.reshape(self.stored_shape(shape)).chunk(self.parts)[self.part].reshape(shape)


@dataclass(frozen=True, slots=True)
class Home:
    """Where a parameter lives and in which type."""

    device: torch.device
    dtype: torch.dtype
    part: Callable[[Tensor], Tensor] | None = None
    """What of it is kept there; None: all."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the loading of one component took."""

    component: str
    tensors: int
    bytes_read: int
    seconds: float

    @property
    def gigabytes_per_second(self) -> float:
        """Rate over the bytes on the volume."""
        return self.bytes_read / 1e9 / self.seconds if self.seconds > 0 else 0.0


NameMap = Callable[[str], Source]
Adjust = Callable[[str, Tensor], Tensor]
OnBytes = Callable[[int, int], None]


def compare(
    component: str,
    wanted: Mapping[str, Shape],
    store: TensorStore,
    sources: Mapping[str, Source],
    ignored: Callable[[str], bool],
) -> None:
    """Refuse a checkpoint that lacks a tensor, has one too many, or has one of another shape; all are named."""
    problems: list[str] = []
    needed = {source.name for source in sources.values()}
    problems += naming("missing", sorted(needed - store.shapes.keys()))
    problems += naming("unexpected", sorted(name for name in store.shapes.keys() - needed if not ignored(name)))
    misshaped = []
    for target, source in sources.items():
        found = store.shapes.get(source.name)
        if found is None:
            continue
        expected = source.stored_shape(wanted[target])
        if (_without_leading_ones(found, len(expected)) if source.drop_ones else found) != expected:
            misshaped.append(f"{source.name} is {list(found)} instead of {list(expected)}")
    problems += naming("mis-shaped", sorted(set(misshaped)))
    if problems:
        files = sorted({store.origin(name) for name in store.shapes})
        raise CheckpointError(f"loading {component} from {', '.join(files)}: " + "; ".join(problems))


def fill(
    component: str,
    module: nn.Module,
    store: TensorStore,
    *,
    name_map: NameMap = Source,
    ignored: Callable[[str], bool] = lambda _: False,
    home: Callable[[str], Home],
    adjust: Adjust | None = None,
    on_bytes: OnBytes | None = None,
) -> LoadReport:
    """Give every parameter of `module` its values; `home` maps each name to its device and type."""
    started = time.monotonic()
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    sources = {target: name_map(target) for target in shapes}
    compare(component, shapes, store, sources, ignored)
    targets: dict[str, list[str]] = {}
    for target, source in sources.items():
        targets.setdefault(source.name, []).append(target)
    order = sorted(targets, key=store.position)
    total = sum(store.size_bytes(name) for name in order)
    done = 0
    for name, moved in _read_ahead(store, order, lambda name: home(targets[name][0]).device):
        # Casting and merging happen on the device: the bus carries the stored type, the host holds no second copy.
        adjusted = adjust(name, moved) if adjust else moved
        for target in targets[name]:
            _place(module, target, sources[target].cut(adjusted, shapes[target]), home(target))
        done += store.size_bytes(name)
        if on_bytes:
            on_bytes(done, total)
    report = LoadReport(component, len(order), total, time.monotonic() - started)
    rate = round(report.gigabytes_per_second, 2)
    read = {"tensors": report.tensors, "bytes": total, "seconds": round(report.seconds, 2), "gb_per_second": rate}
    log.info("component loaded", extra={"fields": {"component": component, **read}})
    return report


def _read_ahead(
    store: TensorStore, order: Sequence[str], device_of: Callable[[str], torch.device]
) -> Iterator[tuple[str, Tensor]]:
    staging = {device: Staging(device) for device in {*map(device_of, order)} if device.type == "cuda"}

    def read(name: str) -> Upload:
        there = staging.get(device_of(name))
        return there.upload(store, name) if there else Upload(store.read(name), None)

    waiting = iter(order)
    running: deque[tuple[str, Future[Upload]]] = deque()
    with ThreadPoolExecutor(READ_AHEAD, thread_name_prefix="load") as pool:
        for name in waiting:
            running.append((name, pool.submit(read, name)))
            if len(running) >= READ_AHEAD:
                ready, future = running.popleft()
                yield ready, future.result().use()
                del future
        while running:
            ready, future = running.popleft()
            yield ready, future.result().use()
    for device in staging:
        torch.cuda.synchronize(device)  # what is reported as loaded has arrived


def _place(module: nn.Module, target: str, tensor: Tensor, home: Home) -> None:
    placed = tensor.to(home.device, home.dtype)
    if home.part:
        placed = home.part(placed)
    if placed.untyped_storage().nbytes() != placed.nbytes:  # a view would keep the whole tensor alive
        placed = placed.clone()
    owner, _, leaf = target.rpartition(".")
    setattr(module.get_submodule(owner), leaf, nn.Parameter(placed, requires_grad=False))


def _without_leading_ones(shape: Shape, rank: int) -> Shape:
    while len(shape) > rank and shape[0] == 1:
        shape = shape[1:]
    return shape


def naming(kind: str, names: Sequence[str]) -> list[str]:
    """No text for no names; else one with their number and the first few."""
    if not names:
        return []
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return [f"{len(names)} {kind}: {', '.join(names[:NAMES_SHOWN])}{more}"]
