"""The device that generates: which one, in which number type, and how much of its memory."""

from __future__ import annotations

import torch

from inference.engine.errors import EngineError

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}


def choose_device(name: str) -> torch.device:
    """Find the device of this name, with its number; raises EngineError where there is none."""
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise EngineError(f"choosing the device: {name!r} is no device. Use cuda, cuda:N or cpu") from e
    if device.type != "cuda":
        return device
    if not torch.cuda.is_available():
        raise EngineError(
            "choosing the device: CUDA is not available here. Use cpu, or check the driver and the pod's GPU"
        )
    # Some of torch's functions take no device without a number.
    return device if device.index is not None else torch.device("cuda", torch.cuda.current_device())


def choose_dtype(name: str | None, device: torch.device) -> torch.dtype:
    """Find the type of this name, by default the one that suits the device."""
    if name is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    if name not in DTYPES:
        raise EngineError(f"choosing the dtype: {name!r} is not one of {', '.join(DTYPES)}")
    return DTYPES[name]


def apply_memory_limit(limit_bytes: int | None, device: torch.device) -> int | None:
    """Bound this process's memory on a GPU, by default to all of it; returns the limit, None for a CPU without one."""
    if limit_bytes is not None and limit_bytes <= 0:
        raise EngineError("choosing the memory limit: it must be above 0 bytes")
    if device.type != "cuda":
        return limit_bytes
    total = torch.cuda.get_device_properties(device).total_memory
    if limit_bytes is None:
        return total
    limit = min(limit_bytes, total)
    torch.cuda.set_per_process_memory_fraction(limit / total, device)
    return limit
