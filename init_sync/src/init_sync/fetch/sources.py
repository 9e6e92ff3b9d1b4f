"""Where the pieces of one file come from: peers as long as one can be used, and the hub otherwise.

A file has one hash, so wrong content does not say which piece was wrong. If one peer gave bytes of it, that peer is
left out. If several did, each of them is tried alone, the most suspected first, until one of them gives the right
content. That one is right now says nothing of the others: a peer may lie now and then. If an earlier run left bytes of
the file, nobody knows who gave those, and nobody is left out.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from init_sync.core.errors import NeedsChange, TryAgain
from init_sync.core.reasons import Reason
from init_sync.core.requirement import Blob
from init_sync.hub.peers import NOT_HELD, Peer, Peers
from init_sync.hub.retry import Transient
from init_sync.hub.source import Source, WholeFileOnly

Failure = Transient | NeedsChange | TryAgain | WholeFileOnly


class PeersFault(Transient):
    """An attempt failed, and it was not the hub that failed."""


@dataclass(frozen=True, slots=True)
class FileSource:
    """Where one piece comes from."""

    source: Source
    peer: Peer | None = None
    """None: the hub."""


class Sources:
    """Of one file; shared by the workers that fetch its pieces."""

    def __init__(self, blob: Blob, hub: Source, peers: Peers, lister: Peer | None = None) -> None:
        """``lister``: a peer whose word the listing is, as yet. It is tried by that peer's own bytes, so that no other
        sender is blamed for what it lists."""
        self.hub = hub
        self._blob = blob
        self._peers = peers
        self._lister = lister
        self._from: dict[Peer, FileSource] = {}
        self._lacking: set[Peer] = set()
        self._gave: list[Peer] = []
        self._suspects: list[Peer] = []
        self._recovered = False
        self._guard = threading.Lock()

    def recovered(self) -> None:
        """An earlier run left bytes of it."""
        self._recovered = bool(self._peers.usable())

    def take(self) -> FileSource:
        """For one piece; to be given back by ``release``.

        Raises:
            NeedsChange: the peer that lists it cannot give it.
        """
        usable = [peer for peer in self._peers.usable() if self._lister in (None, peer)]
        with self._guard:
            holders = [peer for peer in usable if peer not in self._lacking]
            suspects = [peer for peer in self._suspects if peer in holders]
            if suspects or holders:
                peer = (suspects or holders)[0]
                self._peers.busy(peer, 1)
                return self._from.setdefault(peer, FileSource(self._peers.source(peer, self._blob.source), peer))
        if self._lister:
            why = f"peer {self._lister} lists {self._blob.label} and does not give it"
            raise NeedsChange(Reason.LISTING_INCONSISTENT, why)
        return FileSource(self.hub)

    def release(self, taken: FileSource) -> None:
        if taken.peer:
            self._peers.busy(taken.peer, -1)

    def gave(self, taken: FileSource) -> None:
        """Bytes came from there."""
        with self._guard:
            if taken.peer and taken.peer not in self._gave:
                self._gave.append(taken.peer)
        taken.source.succeeded()

    def failed(self, peer: Peer, error: Failure) -> None:
        """A peer that lacks this file may have others; for anything else it is left out."""
        if isinstance(error, WholeFileOnly):
            self._peers.leave_out(peer, Reason.HUB_UNREACHABLE, "it sends no ranges")
        elif isinstance(error, NeedsChange) and error.reason in NOT_HELD:
            with self._guard:
                self._lacking.add(peer)
            if peer == self._lister:
                self._peers.lacks_what_it_lists(peer)
        else:
            self._peers.leave_out(peer, error.reason, error.message)

    def wrong_content(self) -> bool:
        """The bytes that came are not the file. Returns whether others than the hub gave some of them."""
        with self._guard:
            gave, self._gave = self._gave, []
            recovered, self._recovered = self._recovered, False
            if recovered:
                gave = []
            self._suspects = self._peers.by_suspicion(gave) if len(gave) > 1 else []
        if len(gave) == 1:
            self._peers.leave_out(gave[0], Reason.CHECKSUM_MISMATCH, f"it gave wrong bytes of {self._blob.label}")
        self.hub.forget()
        return recovered or bool(gave)

    def right_content(self) -> None:
        """Those who were under suspicion and did not give it stay so, for the next file."""
        with self._guard:
            suspects, self._suspects = self._suspects, []
            for peer in suspects:
                if peer not in self._gave:
                    self._peers.suspect(peer)
