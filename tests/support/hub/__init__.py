"""A local Hugging Face hub for tests, demo and benchmarks: real HTTP, real files, faults on demand.

Start with ``LocalHub`` (local_hub.py), fill its folder with ``RepoBuilder`` (builder.py), spoil it with ``Fault``
(faults.py). As a process: ``python -m support.hub --help``. Standard library only.

It has what clients ask for when they download models: description, whole tree in pages, resolve, and the bytes on a
second origin by signed URL. It has no uploads, no users, no Xet, and no listing of references, of one folder or
of single paths.
"""

from .builder import RepoBuilder
from .faults import Fault, HeaderValue
from .local_hub import LocalHub
from .log import Request
from .store import RevisionNotFoundError

__all__ = ["Fault", "HeaderValue", "LocalHub", "RepoBuilder", "Request", "RevisionNotFoundError"]
