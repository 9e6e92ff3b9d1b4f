"""The processes that make one video together, seen from one of them.

There are two kinds of traffic, each on connections of its own. What the processes compute is exchanged between devices
(NCCL; gloo on the CPU). An exchange that lasts longer than `EXCHANGE_LIMIT` ends the process, so that one that hangs
does not hang the others. What the first process tells the others goes over the host (gloo): waiting for it takes no
device's time, has no limit, and ends when the first process ends, because its connection closes.

What is told is unpickled without running code: only the classes in `told` and what torch allows itself.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor

from inference.engine.dit.parallel import TokenShards
from inference.engine.errors import EngineError
from inference.membership import Membership

MEETING_LIMIT = timedelta(minutes=10)
"""All processes must have started by then; each imports torch and checks the volume."""
EXCHANGE_LIMIT = timedelta(minutes=10)
"""Far above a step, and above what the first step takes to compile."""
WAITING = timedelta(days=365)

_all_gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)  # its name before torch 2.13


class Group:
    """The group, from the place of one process."""

    def __init__(self, place: Membership, device: torch.device, told: Sequence[type] = ()) -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        store = dist.TCPStore(  # type: ignore[attr-defined] # documented, and not in its __all__
            place.address,
            place.port,
            place.size,
            is_master=place.hosts_store,
            timeout=MEETING_LIMIT,
            wait_for_workers=False,
            master_listen_fd=place.listener,
        )
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            store=dist.PrefixStore(f"attempt {place.attempt}", store),  # type: ignore[attr-defined]
            rank=place.rank,
            world_size=place.size,
            timeout=EXCHANGE_LIMIT,
        )
        self.shards = TokenShards(place.rank, place.size)
        # Beside the exchanges of the block that computes: on one connection the two would wait for each other.
        self._weights = dist.new_group(timeout=EXCHANGE_LIMIT)
        # The others wait for a call as long as it takes; the first does not wait for one that does not listen.
        self._calls = dist.new_group(backend="gloo", timeout=EXCHANGE_LIMIT if place.leads else WAITING)
        self._told: list[Any] = list(told)
        for each in (None, self._weights):
            dist.all_reduce(torch.zeros(1, device=device), group=each)  # connects now, not in the first video

    @property
    def leads(self) -> bool:
        """Whether this is the first process."""
        return self.shards.rank == 0

    def tell(self, value: Any) -> None:
        """Send a value to all others; for the first process."""
        packed = io.BytesIO()
        torch.save(value, packed)
        sent = torch.frombuffer(packed.getbuffer(), dtype=torch.uint8)
        dist.broadcast(torch.tensor([sent.numel()]), src=0, group=self._calls)
        dist.broadcast(sent, src=0, group=self._calls)

    def hear(self, device: torch.device | None = None) -> Any:
        """Wait for what the first process tells; tensors arrive on `device`. None: it has ended."""
        size = torch.zeros(1, dtype=torch.long)
        try:
            dist.broadcast(size, src=0, group=self._calls)
            received = torch.empty(int(size), dtype=torch.uint8)
            dist.broadcast(received, src=0, group=self._calls)
        except RuntimeError:
            return None
        with torch.serialization.safe_globals(self._told):
            return torch.load(io.BytesIO(received.numpy().data), map_location=device, weights_only=True)

    def send(self, x: Tensor) -> Tensor:
        """Give all others the first process' values of a tensor that every process has room for."""
        x = x.contiguous()
        dist.broadcast(x, src=0)
        return x

    def gather_weights(self, whole: Tensor, share: Tensor) -> None:
        """Fill `whole` with the shares of all processes, in the order of their ranks."""
        _all_gather(whole, share, group=self._weights)

    def least(self, limit: int | None) -> int | None:
        """Take the smallest of all limits; None is no limit."""
        unlimited = torch.iinfo(torch.long).max
        smallest = torch.tensor([unlimited if limit is None else limit])
        dist.all_reduce(smallest, dist.ReduceOp.MIN, group=self._calls)
        return None if int(smallest) == unlimited else int(smallest)

    def meet(self) -> None:
        """Wait until all have come here."""
        dist.monitored_barrier(self._calls, timeout=WAITING)


def count_devices(wanted: int | Literal["all"], device: str) -> int:
    """Say how many devices are meant; raises EngineError where there are fewer."""
    if not _is_cuda(device):
        return 1 if wanted == "all" else wanted
    visible = torch.cuda.device_count()
    if wanted == "all":
        return max(1, visible)
    if wanted > max(1, visible):
        raise EngineError(
            f"counting devices: --gpus is {wanted}, and {visible} can be seen. Use --gpus {max(1, visible)}, or give "
            "the pod more"
        )
    return wanted


def device_name(device: str, place: Membership) -> str:
    """Name the device of this process."""
    return f"cuda:{place.local_rank}" if place.size > 1 and _is_cuda(device) else device


def _is_cuda(device: str) -> bool:
    return device.partition(":")[0] == "cuda"
