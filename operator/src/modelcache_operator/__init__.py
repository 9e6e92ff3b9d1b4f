"""The operator: records what is on a model volume in ModelCache resources, and opens the gate of pods that wait."""

__version__ = "0.1.0"
