"""Multipart bodies as they arrive in pieces, within bounds."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from inference.media import mp4
from inference.server.errors import ApiError
from inference.server.multipart import LEAST_BYTES, MAX_PARTS, Form, UploadLimits, discard, receive_form
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import TIMEOUT_S, RunningServer, config_for, running
from support.waiting import eventually

LIMITS = UploadLimits(body_bytes=100_000, time_s=5.0)
KIND = "multipart/form-data; boundary=XyZ"


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    file = f'; filename="{filename}"' if filename is not None else ""
    return f'--XyZ\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"


END = b"--XyZ--\r\n"


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def receive(body: bytes, folder: Path, size: int = 65_536, limits: UploadLimits = LIMITS, kind: str = KIND) -> Form:
    return asyncio.run(receive_form(pieces(body, size), kind, folder, limits))


def code_of(body: bytes, folder: Path, limits: UploadLimits = LIMITS, kind: str = KIND) -> str:
    with pytest.raises(ApiError) as caught:
        receive(body, folder, limits=limits, kind=kind)
    return caught.value.code


@pytest.mark.parametrize("size", [1, 2, 7, 64, 4096])
def test_a_body_is_read_alike_in_pieces_of_any_size(tmp_path: Path, size: int) -> None:
    content = bytes(range(256)) * 4 + b"\r\n--Xy\r\n--XyZ-"  # nearly a boundary
    body = part("prompt", "héllo".encode()) + part("audio", content, "a.wav") + part("audio[]", b"none") + END
    form = receive(body, tmp_path, size)
    assert form.texts == {"prompt": ["héllo"]}
    assert [path.read_bytes() for path in form.files["audio"]] == [content, b"none"]


def test_files_get_names_of_our_own_whatever_the_client_calls_them(tmp_path: Path) -> None:
    form = receive(part("audio", b"x", "../../etc/passwd") + END, tmp_path)
    assert [path.relative_to(tmp_path).name for path in form.files["audio"]] == ["part-1"]


@pytest.mark.parametrize(
    "body",
    [part("prompt", b"p"), part("audio", b"half")[:-6], b"no multipart at all", b""],
    ids=["no last boundary", "cut in a file", "other text", "empty"],
)
def test_an_incomplete_body_is_refused(tmp_path: Path, body: bytes) -> None:
    assert code_of(body, tmp_path) == "malformed_multipart"


def test_parts_without_a_name_and_endless_headers_are_refused(tmp_path: Path) -> None:
    assert code_of(b"--XyZ\r\nContent-Type: text/plain\r\n\r\nx\r\n" + END, tmp_path) == "malformed_multipart"
    assert code_of(b"--XyZ\r\nX: " + b"y" * 50_000 + b"\r\n\r\nx\r\n" + END, tmp_path) == "malformed_multipart"
    assert code_of(END, tmp_path, kind=f"multipart/form-data; boundary={'b' * 5000}") == "malformed_multipart"


def test_more_parts_than_any_request_needs_are_refused(tmp_path: Path) -> None:
    assert code_of(part("audio", b"") * (MAX_PARTS + 1) + END, tmp_path) == "too_many_parts"


def test_a_body_is_cut_off_at_its_limit(tmp_path: Path) -> None:
    body = part("audio", b"x" * 5000) + END
    assert code_of(body, tmp_path, UploadLimits(4096, 5.0)) == "upload_too_large"


def test_an_upload_that_stalls_is_given_up(tmp_path: Path) -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield part("prompt", b"p")
        await asyncio.Event().wait()

    with pytest.raises(ApiError) as caught:
        asyncio.run(receive_form(stalled(), KIND, tmp_path, UploadLimits(1000, 0.05)))
    assert (caught.value.status, caught.value.code) == (408, "upload_timeout")


@pytest.mark.parametrize("trickle", [0, 1, 100])
def test_an_upload_that_hardly_moves_is_given_up_before_its_time(tmp_path: Path, trickle: int) -> None:
    async def trickling() -> AsyncIterator[bytes]:
        yield part("prompt", b"p")
        yield b'--XyZ\r\nContent-Disposition: form-data; name="audio"\r\n\r\n'
        while True:
            await asyncio.sleep(0.01)
            yield b"x" * trickle

    with pytest.raises(ApiError) as caught:
        asyncio.run(receive_form(trickling(), KIND, tmp_path, UploadLimits(10**9, 60.0, stall_s=0.1)))
    assert (caught.value.status, caught.value.code) == (408, "upload_stalled")


def test_an_upload_that_moves_may_take_its_time(tmp_path: Path) -> None:
    async def steady() -> AsyncIterator[bytes]:
        yield b'--XyZ\r\nContent-Disposition: form-data; name="audio"\r\n\r\n'
        for _ in range(8):
            await asyncio.sleep(0.05)
            yield b"x" * LEAST_BYTES
        yield b"\r\n" + END

    form = asyncio.run(receive_form(steady(), KIND, tmp_path, UploadLimits(10**9, 60.0, stall_s=0.3)))
    assert form.files["audio"][0].stat().st_size == 8 * LEAST_BYTES


def test_stalled_uploads_hold_no_place_for_long(tmp_path: Path) -> None:
    with running(config_for(tmp_path, queue=0), DrawingEngine()) as server:
        server.service.limits = UploadLimits(10**6, 60.0, stall_s=0.2)
        port = server.http.base_url.port
        assert port
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S) as stalled:
            head = (
                f"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Type: {KIND}\r\nContent-Length: 5000\r\n\r\n"
            )
            stalled.sendall(head.encode() + part("prompt", b"p"))
            eventually(lambda: server.service.queue.counts().reserved == 1, "it holds the place")
            refused = server.post()
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
            eventually(lambda: server.service.queue.counts().reserved == 0, "it has lost the place")
            assert server.post().status_code == 200


@pytest.mark.parametrize("size", [1, 3, 65_536])
@pytest.mark.parametrize(
    "preamble", [b"", b"\r\n", b"This is a message for people.\r\n", b"x--XyZ is not here\r\n--Xy\r\n"]
)
def test_text_before_the_first_boundary_is_skipped(tmp_path: Path, preamble: bytes, size: int) -> None:
    assert receive(preamble + part("prompt", b"p") + END, tmp_path, size).texts == {"prompt": ["p"]}


def test_an_endless_preamble_is_refused(tmp_path: Path) -> None:
    assert code_of(b"x" * 50_000, tmp_path) == "malformed_multipart"


def test_what_a_refused_client_still_sends_is_read_within_bounds() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            sent.append(1)
            yield b"x" * 100

    sent: list[int] = []
    asyncio.run(discard(endless(), max_bytes=1000, time_s=5.0))
    assert len(sent) == 11


def test_a_client_that_goes_away_in_its_upload_leaves_nothing_behind(server: RunningServer) -> None:
    def breaking() -> Iterator[bytes]:
        yield part("audio", b"x" * 1000)
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        server.http.post("/v1/videos", content=breaking(), headers={"content-type": KIND})
    assert server.service.queue.wait(lambda queue: queue.counts().unfinished == 0, 10)
    assert server.post().status_code == 200


def test_what_is_not_a_video_is_not_taken_for_a_result(tmp_path: Path) -> None:
    broken = tmp_path / "video.mp4"
    broken.write_bytes(b"\0" * 100)
    with pytest.raises(ValueError, match="Invalid data"):
        mp4.measure(broken)
