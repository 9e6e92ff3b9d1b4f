"""The operator: records what is on a model volume in ModelCache resources, and removes the gate of waiting pods."""

from importlib.metadata import version

__version__ = version("modelcache-operator")
