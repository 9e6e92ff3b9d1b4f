"""One command, two kinds of process: rank 0 serves, the others follow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from inference.generation import LoadProgress, VideoEngine
from inference.server import follower
from inference.server.config import ServerConfig
from inference.server.exits import leave_at_once
from inference.server.follower import Follow
from inference.server.ranks import Ranks, membership
from inference.server.volume import Verify


class Load(Protocol):
    """Loads an engine, after it has started the other ranks if the settings ask for them."""

    def __call__(
        self, config: ServerConfig, on_progress: Callable[[LoadProgress], None], *, ranks: Ranks
    ) -> VideoEngine: ...


def run(config: ServerConfig, environment: Mapping[str, str], *, verify: Verify, load: Load, follow: Follow) -> int:
    """Do what falls to the place of this process; returns the exit code. Raises WrongSettings."""
    place = membership(config, environment)
    if not place.leads:
        code = 1
        try:
            code = follower.run(config, place, verify=verify, follow=follow)
        finally:
            leave_at_once(code)
    from inference.server import lifecycle  # a follower needs no HTTP

    ranks = Ranks(place, [sys.executable, *sys.orig_argv[1:]])
    return lifecycle.run(config, verify=verify, load=partial(load, ranks=ranks), ranks=ranks)
