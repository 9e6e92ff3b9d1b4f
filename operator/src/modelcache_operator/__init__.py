"""The operator: records what is on a model volume in ModelCache resources, and opens the gate of pods that wait."""

from importlib.metadata import version

__version__ = version("modelcache-operator")
