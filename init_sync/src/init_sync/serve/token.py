"""The token that clients must send, from a file that may change: Kubernetes renews a mounted Secret in place."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os

from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

MAX_TOKEN_BYTES = 4096
State = tuple[int, int, int]


class Token:
    """Read again when its file changes. While the file cannot be read or holds no token, nobody is admitted."""

    def __init__(self, path: str) -> None:
        """Raises OSError when the file cannot be read, ValueError when it holds no token."""
        self._path = path
        self._state = _look(path)
        self._digest: bytes | None = _read(path)

    def admits(self, authorization: str) -> bool:
        """Takes as long for a token that is nearly right as for any other."""
        self._refresh()
        scheme, _, sent = authorization.partition(" ")
        expected = self._digest
        if expected is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(_digest(sent.strip().encode("latin-1")), expected)

    def _refresh(self) -> None:
        state = _look(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            self._digest = _read(self._path)
            log.info("token was read again", extra=fields(file=self._path))
        except (OSError, ValueError) as error:
            self._digest = None
            cause = (isinstance(error, OSError) and error.strerror) or error
            log.warning("token cannot be read: all is refused", extra=fields(file=self._path, cause=str(cause)))


def _look(path: str) -> State | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        text = file.read(MAX_TOKEN_BYTES + 1).strip()
    if not text or len(text) > MAX_TOKEN_BYTES:
        raise ValueError(f"it must hold a token of 1 to {MAX_TOKEN_BYTES} bytes")
    return _digest(text)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
