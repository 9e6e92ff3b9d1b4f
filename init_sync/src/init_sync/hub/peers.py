"""Peers: servers of copies, which are asked before the hub. They may give bytes; what is right is never their word.

A peer speaks the hub's own API (``init-sync serve``). It is asked directly, since a proxy is the way to the hub and
would read the token, and no redirect of it is followed. At its first fault it is left out for the rest of the run, and
the fault costs neither the file nor the run anything but time. Which peer to take for a piece: ``fetch.sources``.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from init_sync.core.crosscheck import Inconsistent
from init_sync.core.errors import NeedsChange, SyncError
from init_sync.core.listing import Listing
from init_sync.core.reasons import Reason
from init_sync.core.requirement import RequiredFile
from init_sync.core.settings import Settings
from init_sync.hub.api_request import ApiRequests
from init_sync.hub.attempts import Attempts
from init_sync.hub.lister import Lister
from init_sync.hub.origin import origin
from init_sync.hub.source import Source

if TYPE_CHECKING:
    from httpx2 import Client

log = logging.getLogger(__name__)

NOT_HELD = (Reason.REPO_NOT_FOUND, Reason.REVISION_NOT_FOUND, Reason.FILE_NOT_FOUND)
"""A peer that lacks something may have other things."""


class Peer(NamedTuple):
    """The address of one."""

    url: str

    def __str__(self) -> str:
        return str(origin(self.url))


class Peers:
    """Those of one run. Thread-safe."""

    def __init__(
        self,
        urls: Sequence[str],
        token: str,
        settings: Settings,
        stop: threading.Event,
        on_left_out: Callable[[str, Reason], None] = lambda *_: None,
    ) -> None:
        """``token`` is for peers alone, as the hub's is for the hub; empty: none."""
        self._usable = list(dict.fromkeys(Peer(url) for url in urls))
        self._headers = {"User-Agent": "init-sync", **({"Authorization": f"Bearer {token}"} if token else {})}
        self._settings = settings._replace(give_up_s=settings.stall_timeout_s)
        self._stop = stop
        self._on_left_out = on_left_out
        self._active: Counter[Peer] = Counter()
        self._listed: dict[tuple[str, str], Peer] = {}
        self._partial: set[Peer] = set()
        self._suspicions: Counter[Peer] = Counter()
        self._guard = threading.Lock()

    def source(self, peer: Peer, file: RequiredFile) -> Source:
        url = f"{peer.url}/{file.repo}/resolve/{file.commit}/{quote(file.source)}"
        return Source(url, self._headers, file.size, f"{file.source} of {file.repo} at peer {peer}", direct=True)

    def usable(self) -> list[Peer]:
        """The least busy first."""
        with self._guard:
            return sorted(self._usable, key=self._active.__getitem__)

    def busy(self, peer: Peer, pieces: int) -> None:
        """One more piece is fetched from it, or (-1) one less."""
        with self._guard:
            self._active[peer] += pieces

    def suspect(self, peer: Peer) -> None:
        """Bytes of it may have been wrong."""
        with self._guard:
            self._suspicions[peer] += 1

    def by_suspicion(self, peers: Sequence[Peer]) -> list[Peer]:
        """The most suspected first."""
        with self._guard:
            return sorted(peers, key=self._suspicions.__getitem__, reverse=True)

    def leave_out(self, peer: Peer, reason: Reason, why: str) -> None:
        """For the rest of the run."""
        with self._guard:
            if peer not in self._usable:
                return
            self._usable.remove(peer)
        log.warning("peer %s is left out of this run: %s: %s", peer, reason, why)
        self._on_left_out(str(peer), reason)

    def listing(self, repo: str, revision: str) -> Listing | None:
        """What the first peer that has it says; None when none has it. Not evidence: see ``refuted``."""
        from init_sync.hub.library import client

        with client(self._settings.stall_timeout_s, direct=True) as session:
            return self._listing(repo, revision, session)

    def _listing(self, repo: str, revision: str, session: Client) -> Listing | None:
        for peer in self.usable():
            if peer in self._partial:
                continue
            doing = f"listing {repo} at {revision} at peer {peer}"
            attempts = Attempts(doing, peer.url, self._settings, self._stop, lambda _: None)
            requests = ApiRequests(lambda: session, lambda: dict(self._headers), doing)
            try:
                found = Lister(requests, attempts, peer.url, repo, revision, doing).listing()
            except Inconsistent as error:
                self.leave_out(peer, Reason.LISTING_INCONSISTENT, str(error))
            except SyncError as error:
                if not (isinstance(error, NeedsChange) and error.reason in NOT_HELD):
                    self.leave_out(peer, error.reason, error.message)
            else:
                self._listed[repo, found.commit] = peer
                return found
        return None

    def lister(self, repo: str, commit: str) -> Peer | None:
        """Whose word a listing is; None for the hub's."""
        return self._listed.get((repo, commit))

    def lacks_what_it_lists(self, peer: Peer) -> None:
        """Its listings cannot be tried by its own files, and are not used any more; its bytes are."""
        self._partial.add(peer)

    def refuted(self) -> bool:
        """Some listing is wrong or cannot be tried: leave out those who gave one. False when no peer did."""
        listed, self._listed = set(self._listed.values()), {}
        for peer in listed - self._partial:
            self.leave_out(peer, Reason.DIGEST_MISMATCH, "what it lists has another digest than the pins")
        return bool(listed)
