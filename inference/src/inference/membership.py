"""The place of a process among those that make one video together, as torchrun tells it.

    RANK=1 WORLD_SIZE=4 LOCAL_RANK=1 LOCAL_WORLD_SIZE=4 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500

Rank 0 leads: it serves HTTP and owns the jobs. The others compute their part of its steps. Without these variables a
process is alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PARENT = "MULTITALK_PARENT_PID"


@dataclass(frozen=True, slots=True)
class Membership:
    """Which process this is, how many there are, and where they meet."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    address: str = ""
    port: int = 0
    hosts_store: bool = False
    """Whether the addresses of all are kept in this process; torchrun's agent keeps them otherwise."""
    attempt: str = "0"
    """How often torchrun has restarted the group: what is kept of an earlier attempt does not count."""
    listener: int | None = None
    """Descriptor of a socket that listens on `port` already."""
    parent: int | None = None
    """Process that started this one; None where torchrun did."""

    @property
    def leads(self) -> bool:
        """Whether this process serves HTTP."""
        return self.rank == 0

    def environment(self) -> dict[str, str]:
        """Variables that tell a new process its place."""
        values = {
            "RANK": self.rank, "WORLD_SIZE": self.size, "LOCAL_RANK": self.local_rank, "LOCAL_WORLD_SIZE": self.size,
            "MASTER_ADDR": self.address, "MASTER_PORT": self.port, PARENT: self.parent or "",
        }  # fmt: skip
        return {name: str(value) for name, value in values.items()}


ALONE = Membership()


def membership_of(environment: Mapping[str, str]) -> Membership:
    """Read the variables; raises ValueError with what is wrong."""
    size = _whole(environment, "WORLD_SIZE", 1)
    if size == 1:
        return ALONE
    if _whole(environment, "LOCAL_WORLD_SIZE", size) != size:
        raise ValueError(
            f"LOCAL_WORLD_SIZE is not WORLD_SIZE: all {size} processes must be on one node. Start them with "
            "torchrun --nnodes=1"
        )
    rank = _whole(environment, "RANK")
    return Membership(
        rank,
        size,
        _whole(environment, "LOCAL_RANK", rank),
        environment.get("MASTER_ADDR", "127.0.0.1"),
        _whole(environment, "MASTER_PORT"),
        hosts_store=rank == 0 and environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True",
        attempt=environment.get("TORCHELASTIC_RESTART_COUNT", "0"),
        parent=_whole(environment, PARENT) if environment.get(PARENT) else None,
    )


def _whole(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name) or ("" if default is None else str(default))
    if not text.isdecimal():
        raise ValueError(f"{name}: {text!r} is not a whole number. Start the processes with torchrun, or use --gpus")
    return int(text)
