"""A local Hugging Face hub for tests, demo and benchmarks: real HTTP, real files, faults on demand.

Start with ``LocalHub`` (local_hub.py), fill its folder with ``RepoBuilder`` (builder.py), spoil it with ``Fault``
(faults.py). As a process: ``python -m support.hub --help``. Standard library only.
"""

from .builder import RepoBuilder
from .faults import Fault, HeaderValue
from .local_hub import LocalHub
from .log import Request
from .store import RevisionNotFoundError

__all__ = ["Fault", "HeaderValue", "LocalHub", "RepoBuilder", "Request", "RevisionNotFoundError"]
