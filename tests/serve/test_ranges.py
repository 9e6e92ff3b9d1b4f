"""Which bytes of a file are sent, and when a client has them already."""

from __future__ import annotations

import pytest

from serve.conftest import NESTED
from support.peer import Peer

WEIGHTS = NESTED["unet/weights.safetensors"]
SIZE = len(WEIGHTS)
PATH = "/owner/nested/resolve/main/unet/weights.safetensors"


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=10-19", slice(10, 20)),
        (f"bytes={SIZE - 1}-", slice(SIZE - 1, SIZE)),
        ("bytes=5-", slice(5, SIZE)),
        (f"bytes=0-{SIZE + 7}", slice(0, SIZE)),
        ("bytes=-7", slice(SIZE - 7, SIZE)),
        (f"bytes=-{SIZE + 9}", slice(0, SIZE)),
    ],
)
def test_a_range_is_sent_alone(asked: str, part: slice, served: Peer) -> None:
    got = served.ask(PATH, headers={"Range": asked})
    assert (got.status, got.body) == (206, WEIGHTS[part])
    assert got.headers["content-range"] == f"bytes {part.start}-{part.stop - 1}/{SIZE}"


@pytest.mark.parametrize(
    "asked", ["bytes=9-3", "bytes=-", "bytes=0-1,5-6", "lines=1-2", "bytes=a-b", "bytes= 1-2", "bytes=1-2x", ""]
)
def test_what_is_no_single_range_is_answered_with_the_whole_file(asked: str, served: Peer) -> None:
    got = served.ask(PATH, headers={"Range": asked})
    assert (got.status, got.body) == (200, WEIGHTS)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_a_range_behind_the_end_is_416(asked: str, served: Peer) -> None:
    got = served.ask(PATH, headers={"Range": asked})
    assert (got.status, got.headers["content-range"], got.body) == (416, f"bytes */{SIZE}", b"")


def test_a_range_of_another_content_is_answered_with_the_whole_file(served: Peer) -> None:
    etag = served.ask(PATH, "HEAD").headers["etag"]
    for condition, status in ((etag, 206), ('"other"', 200), (f"W/{etag}", 200)):
        assert served.ask(PATH, headers={"Range": "bytes=0-9", "If-Range": condition}).status == status


def test_a_file_that_the_client_has_is_not_sent_again(served: Peer) -> None:
    etag = served.ask(PATH, "HEAD").headers["etag"]
    for condition, status in ((etag, 304), (f'"other", W/{etag}', 304), ('"other"', 200)):
        assert served.ask(PATH, headers={"If-None-Match": condition}).status == status


def test_an_empty_file_has_no_range(served: Peer) -> None:
    path = "/owner/nested/resolve/main/empty.txt"
    assert (served.ask(path).status, served.ask(path).body) == (200, b"")
    assert served.ask(path, headers={"Range": "bytes=0-"}).status == 416
