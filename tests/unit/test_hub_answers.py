"""What the hub's API answers, read field by field; and where the next page is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from init_sync.core.crosscheck import Inconsistent, Page, ShortEntry
from init_sync.core.listing import RemoteFile
from init_sync.hub.answers import Description, next_page, read_description, read_page

COMMIT = "c0" * 20
SHA, BLOB = "a" * 64, "c" * 40
GARBAGE = (ValueError, KeyError, TypeError, AttributeError)


def test_only_the_commit_and_the_names_of_a_description_are_needed() -> None:
    data = {"sha": COMMIT, "siblings": [{"rfilename": "a"}], "createdAt": "in spring", "safetensors": [], "id": None}
    assert read_description(data) == Description(COMMIT, (ShortEntry("a"),))


@pytest.mark.parametrize("data", [{}, {"siblings": None}, {"siblings": []}], ids=["absent", "null", "empty"])
def test_a_description_without_names_is_no_short_listing(data: dict[str, Any]) -> None:
    assert read_description({"sha": COMMIT, **data}) == Description(COMMIT, None)


@pytest.mark.parametrize("data", [[], None, 7, {"sha": None}, {"sha": "../x"}, {"sha": COMMIT, "siblings": [{}]}])
def test_a_description_that_no_hub_gives_is_an_error(data: Any) -> None:
    with pytest.raises(GARBAGE):
        read_description(data)


def test_sizes_and_hashes_of_the_short_listing_are_read_where_they_are_given() -> None:
    lfs = {"sha256": SHA, "size": 100_000}
    siblings = [{"rfilename": "a", "size": 135, "lfs": lfs, "blobId": BLOB}, {"rfilename": "b", "size": "odd"}]
    described = read_description({"sha": COMMIT, "siblings": siblings})
    assert described.short == (ShortEntry("a", 100_000, SHA, BLOB), ShortEntry("b"))


@pytest.mark.parametrize("size", [{"size": 100_000}, {"size": 135}, {"size": 0}, {}, {"size": None}])
def test_the_size_of_a_large_file_is_that_of_its_storage(size: dict[str, Any]) -> None:
    entry = {"type": "file", "path": "a", "oid": BLOB, "lfs": {"oid": SHA, "size": 100_000}, **size}
    assert read_page([entry]) == Page((RemoteFile("a", 100_000, f"sha256:{SHA}"),))


def test_what_is_no_file_is_kept_apart() -> None:
    page = read_page([{"type": "directory", "path": "d"}, {"type": "unknown", "path": "submodule"}])
    assert page == Page((), ("d", "submodule"))


@pytest.mark.parametrize(
    "change",
    [
        {"path": None},
        {"path": ""},
        {"path": "\ud800"},
        {"size": -1},
        {"size": True},
        {"oid": None},
        {"oid": "../x"},
        {"lfs": 3},
        {"lfs": {"size": 1}},
        {"lfs": {"oid": 7, "size": 1}},
    ],
    ids=str,
)
def test_a_file_that_no_hub_lists_is_an_error(change: dict[str, Any]) -> None:
    with pytest.raises(GARBAGE):
        read_page([{"type": "file", "path": "a", "size": 1, "oid": BLOB, **change}])


@pytest.mark.parametrize("data", [{}, None, "page", [7], [{}]])
def test_a_page_that_no_hub_gives_is_an_error(data: Any) -> None:
    with pytest.raises(GARBAGE):
        read_page(data)


class TestNextPage:
    """Always at our own endpoint."""

    CURRENT = "https://mirror.example/hf/api/models/o/r/tree/c?recursive=true"
    NEXT = "https://mirror.example/hf/api/models/o/r/tree/c?recursive=true&cursor=2"

    @pytest.mark.parametrize(
        "link",
        [
            NEXT,
            "https://MIRROR.example/hf/api/models/o/r/tree/c?recursive=true&cursor=2",
            "http://mirror.example/hf/api/models/o/r/tree/c?recursive=true&cursor=2",
            "https://mirror.example:443/hf/api/models/o/r/tree/c?recursive=true&cursor=2",
            "https://huggingface.co/api/models/o/r/tree/c?recursive=true&cursor=2",
            "https://hf.co/api/models/o/r/tree/c?recursive=true&cursor=2",
            "/api/models/o/r/tree/c?recursive=true&cursor=2",
            "/hf/api/models/o/r/tree/c?recursive=true&cursor=2",
            "?recursive=true&cursor=2",
        ],
    )
    def test_its_path_and_query_are_taken(self, link: str) -> None:
        assert next_page(link, self.CURRENT, "https://mirror.example/hf") == self.NEXT

    @pytest.mark.parametrize(
        "link",
        [
            "https://evil.example/hf/api/models/o/r/tree/c?cursor=2",
            "//evil.example/x",
            "https://huggingface.co.evil.example/x",
            "https://huggingface.co@evil.example/x",
            "https://mirror.example:8443/x",
            "file:///etc/passwd",
        ],
    )
    def test_another_server_is_refused_by_name(self, link: str) -> None:
        with pytest.raises(Inconsistent, match=r"on another server, '.*where the token must not go"):
            next_page(link, self.CURRENT, "https://mirror.example/hf")

    def test_a_port_that_is_none_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="Port"):
            next_page("https://mirror.example:x/", self.CURRENT, "https://mirror.example/hf")
