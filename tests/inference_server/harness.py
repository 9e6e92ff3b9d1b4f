"""A server in a thread of the test process, on a real socket, and the words in which tests speak to it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from inference.generation import LoadProgress, VideoEngine
from inference.server.config import ServerConfig
from inference.server.lifecycle import Stop, serve
from inference.server.service import Service
from inference_server.media import png, wav
from init_sync.shell.listen import listen, url
from support.waiting import eventually

TIMEOUT_S = 15.0
T = TypeVar("T")


def config_for(folder: Path, **changes: Any) -> ServerConfig:
    """Small limits, a free port, a scratch directory of the test's own."""
    config = ServerConfig(
        spec=folder / "modelcache.yaml",
        volume=folder / "volume",
        scratch=folder / "scratch",
        host="127.0.0.1",
        port=0,
        queue=3,
        max_upload_mib=1.0,
        max_seconds=6.0,
        max_megapixels=1.0,
        scratch_gib=0.1,
        grace_s=5.0,
        linger_s=0.0,
    )
    return config.replace(**changes)


class RunningServer:
    """One server and a client for it."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.exit_code: int | None = None
        self._listener = listen(service.config.port, service.config.host)
        self.url = url(self._listener)
        self._started = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Stop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="server")
        self.http = httpx.Client(base_url=self.url, timeout=TIMEOUT_S)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = Stop(self.service.queue)
        self._started.set()
        self.exit_code = await serve(self.service, self._listener, self._stop)

    def start(self) -> None:
        self.service.scratch.open()
        self._thread.start()
        assert self._started.wait(TIMEOUT_S)

    def ask_to_stop(self) -> None:
        """What SIGTERM does."""
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.ask)

    def close(self) -> None:
        if self._thread.is_alive():
            self.ask_to_stop()
            self.ask_to_stop()
        self.join()
        self.http.close()

    def join(self) -> None:
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive(), "the server did not stop"
        assert self.service.engine_left(TIMEOUT_S), "a thread is still inside the engine"

    def wait_ready(self) -> None:
        eventually(lambda: self.http.get("/readyz").status_code == 200, "the server is ready")

    def post(
        self, *, image: bytes | None = None, voices: tuple[bytes, ...] | None = None, **fields: Any
    ) -> httpx.Response:
        """POST /v1/videos as curl -F would send it: one picture, one short voice and a prompt unless told otherwise."""
        files = [("input_reference", ("face.png", png() if image is None else image))]
        files += [("audio", ("voice.wav", voice)) for voice in ((wav(),) if voices is None else voices)]
        data = {"prompt": "a person talks", "steps": "2"} | fields
        kept = {name: value for name, value in data.items() if value is not None}
        return self.http.post("/v1/videos", data=kept, files=files)

    def create(self, **fields: Any) -> str:
        answer = self.post(**fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def video(self, video_id: str) -> dict[str, Any]:
        answer = self.http.get(f"/v1/videos/{video_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def wait_status(self, video_id: str, *statuses: str, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        return eventually(
            lambda: self.video(video_id),
            f"the video is {' or '.join(statuses)}",
            timeout_s,
            wanted=lambda video: video["status"] in statuses,
        )

    def metric(self, name: str, **labels: str) -> float | None:
        return self.service.metrics.registry.get_sample_value(name, labels)


@contextmanager
def running(
    config: ServerConfig, engine: VideoEngine, *, clock: Callable[[], float] = time.time, ready: bool = True
) -> Iterator[RunningServer]:
    """A server around an engine that needs no loading."""
    with loading(config, lambda _config, _progress: engine, clock=clock) as server:
        if ready:
            server.wait_ready()
        yield server


@contextmanager
def loading(
    config: ServerConfig,
    load: Callable[[ServerConfig, Callable[[LoadProgress], None]], VideoEngine],
    *,
    clock: Callable[[], float] = time.time,
) -> Iterator[RunningServer]:
    """A server that has just begun to load."""
    server = RunningServer(Service(config, load, clock))
    server.start()
    try:
        yield server
    finally:
        server.close()


def error_of(answer: httpx.Response) -> dict[str, Any]:
    """The error object, after a look at its shape."""
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])
