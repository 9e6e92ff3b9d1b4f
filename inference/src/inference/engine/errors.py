"""What can go wrong between a volume and a loaded engine.

One class per reaction: `CheckpointError` means that the files on the volume are not the model that was asked for, and
no retry helps; `EngineError` means that the machine or the settings do not allow the work.
Inputs that a user can correct are `inference.generation.InvalidInput` instead.
"""

from __future__ import annotations


class EngineError(RuntimeError):
    """The engine cannot work with these settings on this machine."""


class CheckpointError(EngineError):
    """A file of a model is missing, damaged, or is not what the model needs; the message names it."""
