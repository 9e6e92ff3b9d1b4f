"""MultiTalk in native PyTorch: `load_engine` reads the official checkpoints and returns a `VideoEngine`."""

from inference.engine.engine import MultiTalkEngine, load_engine
from inference.engine.errors import CheckpointError, EngineError
from inference.engine.loading import open_weights

__all__ = ["CheckpointError", "EngineError", "MultiTalkEngine", "load_engine", "open_weights"]
