"""GET and HEAD of a finished video: whole, in ranges, unchanged, and as a small picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from inference.server.downloads import has_etag, readable_ranges
from inference_server.drawing_engine import DrawingEngine
from inference_server.harness import RunningServer, config_for, error_of, running


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, str, bytes]]:
    """A server, the path of a finished video, and the video."""
    with running(config_for(tmp_path_factory.mktemp("downloads")), DrawingEngine()) as server:
        video_id = server.create(steps="1")
        server.wait_status(video_id, "completed")
        path = f"/v1/videos/{video_id}/content"
        yield server, path, server.http.get(path).content


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("bytes=0-1", ["0-1"]), ("bytes=5-", ["5-"]), ("bytes=-7", ["-7"]), ("Bytes = 0-1", ["0-1"]),
        ("bytes=0-999", ["0-999"]),
        ("bytes= 0-1 , 3-4", ["0-1", "3-4"]), ("bytes=0-1,100-", ["0-1"]), ("bytes=100-", []), ("bytes=-0", []),
        ("bytes=100-200,300-", []), ("frames=0-1", None), ("bytes", None), ("bytes=", None), ("bytes=a-b", None),
        ("bytes=1", None), ("bytes=-", None), ("bytes=4-2", None), ("bytes=0-1,x", None), ("bytes=--1", None),
        ("=0-1", None),
        ("bytes=0x0-1", None), ("bytes=0-1;2-3", None), ("bytes=\u0660-1", None),
    ],
)  # fmt: skip
def test_ranges_are_kept_if_the_file_has_them_and_the_header_ignored_if_it_is_none(
    header: str, wanted: list[str] | None
) -> None:
    assert readable_ranges(header, 100) == wanted


@pytest.mark.parametrize(
    ("header", "wanted"),
    [('"a"', True), ('"b", "a"', True), ('W/"a"', True), ("*", True), ('"b"', False), ("", False), ("a", False)],
)
def test_a_condition_names_the_content_or_not(header: str, wanted: bool) -> None:
    assert has_etag(header, '"a"') is wanted


def test_a_range_is_a_part_and_says_which(made: tuple[RunningServer, str, bytes]) -> None:
    server, path, video = made
    answer = server.http.get(path, headers={"range": "bytes=0-1"})
    assert (answer.status_code, answer.content) == (206, video[:2])
    assert answer.headers["content-range"] == f"bytes 0-1/{len(video)}"
    assert server.http.get(path, headers={"range": "bytes=-100"}).content == video[-100:]
    some = server.http.get(path, headers={"range": f"bytes=2-3,{len(video)}-"})  # the second is beyond the end
    assert (some.status_code, some.content) == (206, video[2:4])
    several = server.http.get(path, headers={"range": "bytes=0-1,10-11"})
    assert several.headers["content-type"].startswith("multipart/byteranges")


@pytest.mark.parametrize("header", ["frames=0-1", "bytes=x", "bytes=3-1", "none"])
def test_what_is_no_byte_range_is_ignored(made: tuple[RunningServer, str, bytes], header: str) -> None:
    server, path, video = made
    answer = server.http.get(path, headers={"range": header})
    assert (answer.status_code, answer.content) == (200, video)


def test_a_range_beyond_the_end_is_416_in_the_error_format(made: tuple[RunningServer, str, bytes]) -> None:
    server, path, video = made
    answer = server.http.get(path, headers={"range": f"bytes={len(video)}-"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{len(video)}")
    assert error_of(answer)["code"] == "range_not_satisfiable"


def test_if_range_gives_a_part_of_this_video_alone(made: tuple[RunningServer, str, bytes]) -> None:
    server, path, video = made
    etag = server.http.head(path).headers["etag"]
    for name, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200)):
        assert server.http.get(path, headers={"range": "bytes=0-1", "if-range": name}).status_code == status
    beyond = {"range": f"bytes={len(video)}-", "if-range": '"other"'}
    assert server.http.get(path, headers=beyond).status_code == 200


def test_a_client_that_has_the_video_gets_no_second_copy(made: tuple[RunningServer, str, bytes]) -> None:
    server, path, _ = made
    etag = server.http.head(path).headers["etag"]
    answer = server.http.get(path, headers={"if-none-match": etag})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert server.http.get(path, headers={"if-none-match": '"other"'}).status_code == 200


@pytest.mark.parametrize("query", ["", "?variant=thumbnail"])
def test_head_is_get_without_the_body(made: tuple[RunningServer, str, bytes], query: str) -> None:
    server, path, _ = made
    head, get = server.http.head(path + query), server.http.get(path + query)
    assert (head.status_code, head.content) == (200, b"")
    for name in ("content-length", "content-type"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/static/style.css", "/healthz", "/readyz", "/metrics", "/v1/models", "/v1/videos"],
)
def test_every_path_answers_head(made: tuple[RunningServer, str, bytes], path: str) -> None:
    server, _, _ = made
    answer = server.http.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_head_is_not_in_the_description_and_has_not_fetched_anything(tmp_path: Path) -> None:
    with running(config_for(tmp_path), DrawingEngine()) as server:
        video_id = server.create(steps="1")
        server.wait_status(video_id, "completed")
        server.http.head(f"/v1/videos/{video_id}/content")
        job = server.service.queue.get(video_id)
        assert job is not None
        assert not job.fetched
        assert '"head"' not in server.http.get("/openapi.json").text


def test_the_thumbnail_is_a_small_webp_of_the_first_frame(made: tuple[RunningServer, str, bytes]) -> None:
    server, path, _ = made
    answer = server.http.get(path, params={"variant": "thumbnail"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    picture = Image.open(io.BytesIO(answer.content))
    assert (picture.format, picture.size) == ("WEBP", (64, 48))
