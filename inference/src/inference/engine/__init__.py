"""MultiTalk in native PyTorch: `load_engine` reads the official checkpoints and returns a `VideoEngine`."""

from inference.engine.engine import MultiTalkEngine, follow_engine, load_engine
from inference.engine.errors import CheckpointError, EngineError
from inference.engine.group import count_devices, device_name
from inference.engine.loading import open_weights
from inference.engine.sharing import join

__all__ = [
    "CheckpointError",
    "EngineError",
    "MultiTalkEngine",
    "count_devices",
    "device_name",
    "follow_engine",
    "join",
    "load_engine",
    "open_weights",
]
