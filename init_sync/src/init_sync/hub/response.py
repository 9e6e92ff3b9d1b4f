"""An HTTP response whose body is read straight into the caller's buffer, and ends where its head says.

The standard library's client is used because it lets 256 KiB buffers go from socket to file without a copy in between;
the usual HTTP libraries were measured at a third of its speed.
"""

from __future__ import annotations

import contextlib
import http.client
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from init_sync.core.reasons import Reason
from init_sync.core.settings import MIN_BYTES_PER_SECOND
from init_sync.hub.origin import Origin
from init_sync.hub.quoting import LONGEST_KIND, kind, quoted
from init_sync.hub.retry import Transient

MAX_DRAINED_BYTES = 64 * 1024
PACKED_BYTES = 64 * 1024
"""Read at a time from a compressed body."""


class ConnectionBroken(Exception):
    """The body broke off, or was not what was asked for; ``filled`` bytes of the buffer are good nevertheless."""

    def __init__(self, filled: int, cause: Transient) -> None:
        super().__init__(str(cause))
        self.filled = filled
        self.cause = cause


class Response:
    """A response whose head was read; the body is still on the wire."""

    def __init__(
        self,
        origin: Origin,
        response: http.client.HTTPResponse,
        abandon: Callable[[], None],
        stall_timeout_s: float,
        limit: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.origin = origin
        """Who answered."""
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers  # type: ignore[assignment]  # looked up without regard to case
        self._response = response
        self._abandon = abandon
        self._stall_timeout_s = stall_timeout_s
        self._limit = limit
        """Ends a call into the library that would read the framing of a body for ever."""
        self._clock = clock
        self._left = response.length
        self._delivered = 0
        self._expected: int | None = None
        self._unpacked: _Unpacked | None = None

    @property
    def length(self) -> int | None:
        """Bytes of the body that are still to come, when the server says."""
        return self._left

    @property
    def content(self) -> str:
        """What the body is, for messages: its type, and what its first bytes look like."""
        said = quoted(self.headers.get("Content-Type") or "no Content-Type", 60)
        if self._left == 0:
            return said
        with contextlib.suppress(OSError, http.client.HTTPException), self._limit():
            return f"{said}, begins like {kind(self._response.peek(LONGEST_KIND)[:LONGEST_KIND])}"
        return said

    def expect(self, count: int) -> None:
        """A body that ends in good order before ``count`` bytes is another one than was asked for."""
        self._expected = count

    def unpack(self) -> None:
        """The server has compressed the body with gzip; deliver what it was before."""
        self._unpacked = _Unpacked(self._receive)

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer as far as the body goes; fewer bytes than asked mean that the connection ended early.

        Raises:
            ConnectionBroken: when the connection fails; it says how many bytes of the buffer are good nevertheless.
        """
        read = self._unpacked.read_into if self._unpacked else self._receive
        filled = 0
        began = self._clock()
        try:
            while filled < len(buffer):
                # One system call at a time: a dripping server must not hold us inside a call that waits for more.
                count = read(buffer[filled:])
                if not count:
                    self._check_end(filled)
                    break
                filled += count
                waited = self._clock() - began
                too_slow = waited > self._stall_timeout_s and filled < MIN_BYTES_PER_SECOND * waited
                if too_slow and filled < len(buffer):  # a full buffer is no stall, however late it came
                    raise TimeoutError
        except TimeoutError as error:
            raise self._broken(filled, Reason.STALLED, f"stalled for {self._stall_timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            cause = f"connection lost ({describe(error)})"
            raise self._broken(filled, Reason.HUB_UNREACHABLE, cause) from error
        except zlib.error as error:
            raise self._broken(filled, Reason.HUB_UNREACHABLE, f"the gzip in the answer is damaged: {error}") from error
        self._delivered += filled
        return filled

    def done(self) -> None:
        """What was asked for has come: the connection may serve the next request if the body is at its end."""
        if self._left == 0:
            self._response.close()
        else:
            self.abandon()

    def drain(self) -> None:
        """Read a short body that nobody needs, to keep the connection; drop the connection when it is long."""
        if self._left is None or self._left > MAX_DRAINED_BYTES:
            self.abandon()
            return
        self._expected = self._unpacked = None
        with contextlib.suppress(ConnectionBroken):
            self.read_into(memoryview(bytearray(self._left)))
            self.done()

    def abandon(self) -> None:
        """Leave the rest of the body unread; the connection is of no further use."""
        self._abandon()
        self._response.close()

    def _receive(self, buffer: memoryview) -> int:
        if self._response.chunked:  # only the response itself can tell data from framing
            with self._limit():
                data = self._response.read1(len(buffer))
            if len(data) > len(buffer):
                raise http.client.HTTPException("a chunk of negative size")
            buffer[: len(data)] = data
            return len(data)
        if self._left is None:
            return self._response.fp.readinto1(buffer)
        if not self._left:
            return 0
        count = self._response.fp.readinto1(buffer[: self._left])
        self._left -= count
        return count

    def _check_end(self, filled: int) -> None:
        """Whether the end of the body is what was asked for: without a length, a lost connection looks the same."""
        ended = self._left == 0 or self._response.chunked or (self._unpacked and self._unpacked.ended)
        if ended and self._expected is not None and self._delivered + filled < self._expected:
            came = f"{self._delivered + filled} bytes came, {self._expected} were listed"
            raise self._broken(filled, Reason.SIZE_MISMATCH, f"{came} ({quoted(self.headers.get('Content-Type', ''))})")

    def _broken(self, filled: int, reason: Reason, message: str) -> ConnectionBroken:
        self.abandon()
        return ConnectionBroken(filled, Transient(reason, message))


class _Unpacked:
    """The bytes behind a gzip body, in pieces of bounded size."""

    def __init__(self, receive: Callable[[memoryview], int]) -> None:
        self._receive = receive
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._packed = memoryview(bytearray(PACKED_BYTES))

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    def read_into(self, buffer: memoryview) -> int:
        while not self._inflate.eof:
            packed = self._inflate.unconsumed_tail or self._packed[: self._receive(self._packed)]
            data = self._inflate.decompress(packed, len(buffer))
            buffer[: len(data)] = data
            if data or not len(packed):
                return len(data)
        return 0


def describe(error: BaseException) -> str:
    """A network error in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
