"""MultiTalk in native PyTorch: `load_engine` reads the official checkpoints and returns a `VideoEngine`."""

from inference.engine.engine import MultiTalkEngine, load_engine
from inference.engine.errors import CheckpointError, EngineError

__all__ = ["CheckpointError", "EngineError", "MultiTalkEngine", "load_engine"]
