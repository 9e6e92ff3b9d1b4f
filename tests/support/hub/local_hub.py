"""The local hub: two origins over one folder, started and stopped at will.

    with LocalHub(root) as hub:
        hub.add_fault(Fault("drop_rst", match=("blob",), after_bytes=1 << 20, times=1))
        ...                                                     # a client with HF_ENDPOINT=hub.endpoint
        assert hub.count("blob") == 2 and not hub.leaked_authorization

It runs from its construction on; ``stop()`` makes both ports refuse connections, ``start()`` opens the same ports
again, leaving the block (or ``close()``) gives them up. Faults and the log survive a stop.
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from .api import Api
from .cdn import Cdn, Signer
from .connection import Service
from .control import Control
from .faults import Fault, FaultBook
from .log import Request, RequestLog
from .origin import Origin
from .routes import api_route, cdn_route
from .store import Store


class LocalHub:
    """Serves the repositories under ``root`` on two ports, of loopback unless said otherwise.

    Args:
        root: the folder, see store.py for its layout and RepoBuilder for filling it; may still be empty.
        port: port of the API origin, 0 for a free one.
        cdn_port: port of the second origin, 0 for a free one.
        page_size: entries per page of a tree listing.
        rate_per_connection: bytes per second that each connection gets, None for all there is.
        send_buffer: SO_SNDBUF of each connection; small, it keeps ``bytes_sent`` close to what a killed client read.
        control: open /_control to other processes, see control.py.
        host: address to listen on.
        name: host name in the endpoint and in signed URLs, when clients know another one than ``host``.
    """

    def __init__(
        self,
        root: Path,
        *,
        port: int = 0,
        cdn_port: int = 0,
        page_size: int = 1000,
        rate_per_connection: int | None = None,
        send_buffer: int | None = None,
        control: bool = False,
        host: str = "127.0.0.1",
        name: str | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.store = Store(root)
        self._log = RequestLog()
        self._faults = FaultBook()
        self._signer = Signer()
        self._stopping = threading.Event()
        cdn = Cdn(self.store, self._signer)
        api = Api(self.store, self._signer, page_size, lambda: self.endpoint, lambda: self.cdn_endpoint)
        shared = (self._log, self._faults, self._stopping, rate_per_connection)
        answer = Control(self, api.answer).answer if control else api.answer
        self._api = Origin(port, Service("api", api_route, answer, *shared), send_buffer, host=host, name=name)
        self._cdn = Origin(cdn_port, Service("cdn", cdn_route, cdn.answer, *shared), send_buffer, host=host, name=name)
        self.start()

    @property
    def endpoint(self) -> str:
        """What HF_ENDPOINT is set to."""
        return self._api.endpoint

    @property
    def cdn_endpoint(self) -> str:
        return self._cdn.endpoint

    def start(self) -> None:
        """Accept connections, on the same ports as before; nothing happens if it does already."""
        self._stopping.clear()
        self._api.start()
        self._cdn.start()

    def stop(self) -> None:
        """Refuse connections and end the open ones, stalled and slow ones too."""
        self._stopping.set()
        self._api.stop()
        self._cdn.stop()

    def close(self) -> None:
        """Stop, and give the ports up."""
        self._stopping.set()
        self._api.close()
        self._cdn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def requests(self) -> list[Request]:
        """Requests since the start or the last ``reset_log``, in order of arrival."""
        return self._log.requests()

    def count(self, kind: str | None = None) -> int:
        return sum(kind is None or request.kind == kind for request in self.requests)

    @property
    def bytes_sent(self) -> int:
        """Bytes of file contents handed to sockets; listings and errors do not count."""
        return self._log.file_bytes()

    @property
    def leaked_authorization(self) -> bool:
        """Whether any request to the second origin carried a token."""
        return any(one.origin == "cdn" and "authorization" in one.headers for one in self.requests)

    def reset_log(self) -> None:
        self._log.reset()

    def add_fault(self, fault: Fault) -> None:
        if fault.kind == "expire":
            self._signer.revoke(lambda path: fault.chooses(cdn_route(path)))
        else:
            self._faults.add(fault)

    def clear_faults(self) -> None:
        """Switch all faults off; URLs that were made to expire stay expired."""
        self._faults.clear()
