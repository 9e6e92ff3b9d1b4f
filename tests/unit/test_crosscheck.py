"""Whether a listing is whole: the paged tree put together, and compared with the short listing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from init_sync.core.crosscheck import (
    MAX_ENTRIES,
    RELIABLE_NAMES,
    Inconsistent,
    Page,
    ShortEntry,
    Tree,
    check_short_listing,
    true_size,
)
from init_sync.core.listing import RemoteFile

SHA, OTHER_SHA = "a" * 64, "b" * 64
BLOB, OTHER_BLOB = "c" * 40, "d" * 40
SMALL = RemoteFile("config.json", 9, f"git-sha1:{BLOB}")
LARGE = RemoteFile("model.safetensors", 100_000, f"sha256:{SHA}")


def files(count: int) -> dict[str, RemoteFile]:
    return {f"{n}.json": RemoteFile(f"{n}.json", n, f"git-sha1:{BLOB}") for n in range(count)}


def short(names: Sequence[str]) -> list[ShortEntry]:
    return [ShortEntry(name) for name in names]


@pytest.mark.parametrize("count", [1, 3, 999, 1000, 1001, 5000])
def test_the_same_names_in_both_are_no_error(count: int) -> None:
    check_short_listing(files(count), short(list(files(count))[::-1]))


@pytest.mark.parametrize("count", [1, 2, 200, 999, 1000, 5000])
def test_a_file_that_only_the_short_listing_has_is_an_error_with_both_figures(count: int) -> None:
    wanted = f"the paged listing has {count} files?, the short one {count + 1} files; only in the short one: 'lost.bin'"
    with pytest.raises(Inconsistent, match=wanted):
        check_short_listing(files(count), short([*files(count), "lost.bin"]))


@pytest.mark.parametrize("count", [2, 200, RELIABLE_NAMES])
def test_a_file_that_only_the_tree_has_is_an_error_with_both_figures(count: int) -> None:
    wanted = f"the paged listing has {count} files, the short one {count - 1} files?; only in the paged one: '0.json'"
    with pytest.raises(Inconsistent, match=wanted):
        check_short_listing(files(count), short(list(files(count))[1:]))


def test_equal_counts_of_other_names_are_an_error() -> None:
    with pytest.raises(Inconsistent, match=re.escape("only in the short one: 'x'; only in the paged one: '0.json'")):
        check_short_listing(files(2), short(["1.json", "x"]))


def test_a_short_listing_that_the_hub_cut_after_a_thousand_names_is_no_error() -> None:
    check_short_listing(files(1501), short(list(files(1501))[:1201]))


def test_of_many_names_three_are_shown_and_none_is_shown_raw() -> None:
    with pytest.raises(Inconsistent) as told:
        check_short_listing({}, short(["a\n\x1b[2J", "b", "c", "d", "e" * 5000]))
    assert r"'a\n\x1b[2J', 'b', 'c', ..." in str(told.value)


@pytest.mark.parametrize(
    ("file", "entry"),
    [
        (SMALL, ShortEntry(SMALL.path, 9, None, BLOB)),
        (SMALL, ShortEntry(SMALL.path, 9, None, BLOB.upper())),
        (LARGE, ShortEntry(LARGE.path, 100_000, SHA, OTHER_BLOB)),
        (LARGE, ShortEntry(LARGE.path, 135)),
        (LARGE, ShortEntry(LARGE.path, 0, None, OTHER_BLOB)),
    ],
    ids=["small", "upper case", "large", "pointer's size", "pointer's hash"],
)
def test_what_the_short_listing_tells_of_a_file_may_be_that_of_its_pointer(file: RemoteFile, entry: ShortEntry) -> None:
    check_short_listing({file.path: file}, [entry])


@pytest.mark.parametrize(
    ("file", "entry", "figures"),
    [
        (SMALL, ShortEntry(SMALL.path, 8), ("9 bytes", "8 in the short")),
        (SMALL, ShortEntry(SMALL.path, 0), ("9 bytes", "0 in the short")),
        (SMALL, ShortEntry(SMALL.path, 9, None, OTHER_BLOB), (BLOB, OTHER_BLOB)),
        (SMALL, ShortEntry(SMALL.path, 9, SHA), (BLOB, SHA)),
        (LARGE, ShortEntry(LARGE.path, 99_999), ("100000 bytes", "99999 in the short")),
        (LARGE, ShortEntry(LARGE.path, 100_000, OTHER_SHA), (SHA, OTHER_SHA)),
    ],
    ids=["off by one", "empty", "other hash", "large in one only", "large off by one", "large with other hash"],
)
def test_another_size_or_hash_in_the_short_listing_is_an_error_with_both(
    file: RemoteFile, entry: ShortEntry, figures: tuple[str, str]
) -> None:
    with pytest.raises(Inconsistent) as told:
        check_short_listing({file.path: file}, [entry])
    assert all(figure in str(told.value) for figure in (file.path, *figures))


@pytest.mark.parametrize(("size", "lfs_size"), [(5, None), (5, 5), (135, 100_000), (0, 100_000), (131, 9)])
def test_the_true_size_is_that_of_large_file_storage(size: int, lfs_size: int | None) -> None:
    assert true_size("a", size, lfs_size) == (size if lfs_size is None else lfs_size)


@pytest.mark.parametrize(("size", "lfs_size"), [(99_999, 100_000), (100_001, 100_000), (5000, 0)])
def test_two_sizes_that_no_pointer_explains_are_an_error(size: int, lfs_size: int) -> None:
    with pytest.raises(Inconsistent, match=f"'a' is listed with {size} bytes, and with {lfs_size}"):
        true_size("a", size, lfs_size)


class TestPages:
    def test_they_are_put_together(self) -> None:
        tree = Tree()
        assert tree.add(Page((SMALL,), ("docs",)))
        assert tree.add(Page((LARGE,)))
        tree.check_paths()
        assert tree.files == {SMALL.path: SMALL, LARGE.path: LARGE}

    @pytest.mark.parametrize("page", [Page(()), Page((SMALL,)), Page((), ("docs",))], ids=["empty", "file", "folder"])
    def test_a_page_that_repeats_brings_nothing_new(self, page: Page) -> None:
        tree = Tree()
        tree.add(Page((SMALL,), ("docs",)))
        assert not tree.add(page)

    @pytest.mark.parametrize(("size", "content_id"), [(8, SMALL.content_id), (9, "x")])
    def test_a_path_that_is_listed_twice_with_other_content_is_an_error(self, size: int, content_id: str) -> None:
        tree = Tree()
        tree.add(Page((SMALL,)))
        with pytest.raises(Inconsistent, match="listed twice"):
            tree.add(Page((RemoteFile(SMALL.path, size, content_id),)))

    @pytest.mark.parametrize(
        "page",
        [
            Page((RemoteFile("a", 1, "x"),), ("a",)),
            Page((RemoteFile("a", 1, "x"), RemoteFile("a/b", 1, "x"))),
            Page((RemoteFile("a/b/c/d", 1, "x"), RemoteFile("a", 1, "x"))),
        ],
    )
    def test_a_path_that_is_a_file_and_a_directory_is_an_error(self, page: Page) -> None:
        tree = Tree()
        tree.add(page)
        with pytest.raises(Inconsistent, match="'a' is listed as a file and as a directory"):
            tree.check_paths()

    def test_more_entries_than_fit_into_memory_are_an_error(self) -> None:
        tree = Tree()
        with pytest.raises(Inconsistent, match=str(MAX_ENTRIES)):
            tree.add(Page((), tuple(map(str, range(MAX_ENTRIES + 1)))))
