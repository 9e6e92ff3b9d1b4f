"""What the server answers is what the hub answers, compared field by field with the local hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from init_sync.core.listing import Listing, RemoteFile
from init_sync.volume.layout import read_json, write_json
from init_sync.volume.volume import Volume
from serve.conftest import NESTED, Origin
from support.peer import Peer, peer
from support.raw_client import Got, ask

REVISIONS = [("owner/base", "main"), ("owner/nested", "main"), ("owner/wav2vec", "refs/pr/1")]
FOLDERS = ["", "/unet", "/unet/deep", "/notes"]
ODD = "unet/deep/a name + %2e é.txt"


def both(origin: Origin, served: Peer, path: str, **more: Any) -> tuple[Got, Got]:
    return ask(origin.hub.endpoint + path, **more), served.ask(path, **more)


def without_folder_ids(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A pin does not hold them."""
    return [entry if entry["type"] == "file" else {**entry, "oid": None} for entry in entries]


def listed(origin: Origin) -> list[dict[str, Any]]:
    """Everything in ``owner/nested``, as the hub lists it."""
    whole = ask(f"{origin.hub.endpoint}/api/models/owner/nested/tree/main?recursive=true").json()
    return without_folder_ids(whole)


def error(got: Got) -> tuple[int, str | None, str | None]:
    assert got.json()["error"] == got.headers["x-error-message"]
    return got.status, got.headers.get("x-error-code"), got.headers.get("x-repo-commit")


@pytest.mark.parametrize("blobs", ["", "?blobs=True"], ids=["names", "sizes and hashes"])
@pytest.mark.parametrize(("repo", "revision"), REVISIONS)
def test_a_description_is_the_hubs(repo: str, revision: str, blobs: str, origin: Origin, served: Peer) -> None:
    theirs, ours = both(origin, served, f"/api/models/{repo}/revision/{quote(revision, safe='')}{blobs}")
    assert ours.status == 200
    assert ours.json() == {name: theirs.json()[name] for name in ours.json()}
    assert ours.headers["x-repo-commit"] == theirs.json()["sha"]


def test_without_a_revision_main_is_meant_and_a_commit_is_as_good_as_its_name(origin: Origin, served: Peer) -> None:
    answer = served.ask("/api/models/owner/base")
    commit = answer.json()["sha"]
    assert answer.json() == served.ask(f"/api/models/owner/base/revision/{commit}").json()
    assert served.ask("/owner/base/resolve/main/config.json").headers["x-repo-commit"] == commit


@pytest.mark.parametrize("query", ["", "?recursive=True&expand=False", "?recursive=1&expand=True&limit=1000"])
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_tree_is_the_hubs(folder: str, query: str, origin: Origin, served: Peer) -> None:
    ours = served.ask(f"/api/models/owner/nested/tree/main{folder}{query}").json()
    below = f"{folder[1:]}/" if folder else ""
    inside = [each for each in listed(origin) if each["path"].startswith(below)]
    shown = [each for each in inside if query or "/" not in each["path"].removeprefix(below)]
    assert without_folder_ids(ours) == shown


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"paths=config.json&paths=unet/deep&paths=nothing&expand=False", "application/x-www-form-urlencoded"),
        (b'{"paths": ["config.json", "unet/deep", "nothing"]}', "application/json"),
    ],
    ids=["form", "json"],
)
def test_paths_are_told_as_the_hub_tells_them(body: bytes, content_type: str, origin: Origin, served: Peer) -> None:
    path = "/api/models/owner/nested/paths-info/main"
    ours = served.ask(path, "POST", body, {"Content-Type": content_type}).json()
    assert without_folder_ids(ours) == [each for each in listed(origin) if each["path"] in ("config.json", "unet/deep")]


@pytest.mark.parametrize("name", [name for name in NESTED if not name.startswith("notes/")])
def test_a_file_has_the_headers_by_which_the_hub_names_it(name: str, origin: Origin, served: Peer) -> None:
    path = f"/owner/nested/resolve/main/{quote(name)}"
    theirs, ours, body = *both(origin, served, path, method="HEAD"), served.ask(path)
    assert (ours.status, body.status, ours.body, body.body) == (200, 200, b"", NESTED[name])
    names = ("x-repo-commit", "x-linked-etag", "x-linked-size", *(["etag"] if theirs.status == 200 else []))
    assert {each: ours.headers.get(each) for each in names} == {each: theirs.headers.get(each) for each in names}
    assert ours.headers["etag"] == theirs.headers.get("x-linked-etag", theirs.headers.get("etag"))
    assert ours.headers["content-length"] == str(len(NESTED[name]))


@pytest.mark.parametrize(
    "path",
    [
        "/api/models/owner/nothing",
        "/api/models/owner/base/revision/nothing",
        "/owner/base/resolve/main/nothing",
        "/owner/base/resolve/nothing/config.json",
        "/owner/nested/resolve/main/unet",
        "/owner/nested/resolve/main/unet/../config.json",
        "/owner/nested/resolve/main/%2e%2e%2fconfig.json",
        "/owner/nested/resolve/main/config.json%00",
        "/owner/nested/resolve/main/.modelcache/volume.json",
    ],
)
def test_what_is_not_there_is_the_hubs_error(path: str, origin: Origin, served: Peer) -> None:
    theirs, ours = both(origin, served, path)
    hidden = theirs.headers["x-error-code"] == "RepoNotFound"  # the hub answers 401 to who has no token
    assert error(ours) == ((404, *error(theirs)[1:]) if hidden else error(theirs))


def test_what_a_client_sends_begins_no_header(served: Peer) -> None:
    for path in ("/owner/base/resolve/main/a%0d%0aX-Evil:%201", "/api/models/owner/base/revision/a%0d%0aX-Evil:%201"):
        got = served.ask(path)
        assert (got.status, "x-evil" in got.headers) == (404, False)


def test_a_directory_that_is_not_there_is_no_entry(served: Peer) -> None:
    assert error(served.ask("/api/models/owner/nested/tree/main/nothing"))[:2] == (404, "EntryNotFound")


def test_a_file_that_is_listed_and_not_held_is_no_entry(served: Peer) -> None:
    listed = served.ask("/api/models/owner/nested").json()["siblings"]
    assert {"rfilename": "notes/not-held.md"} in listed
    for method in ("GET", "HEAD"):
        got = served.ask("/owner/nested/resolve/main/notes/not-held.md", method)
        assert (got.status, got.headers["x-error-code"]) == (404, "EntryNotFound")
    assert "not held" in got.headers["x-error-message"]


@pytest.mark.parametrize("path", ["/", "/api", "/api/datasets/a/b", "/datasets/a/b/resolve/main/c", "/metrics/", "//"])
def test_other_addresses_are_not_found(path: str, served: Peer) -> None:
    assert served.ask(path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_changed(method: str, served: Peer) -> None:
    for path in ("/owner/base/resolve/main/config.json", "/api/models/owner/base"):
        assert served.ask(path, method, headers={"Content-Length": "0"}).status == 405


def test_a_large_listing_comes_in_pages_that_name_the_next_one(whole: Path) -> None:
    volume = Volume(str(whole))
    pin = next(path for path in (whole / ".modelcache/pins").iterdir() if "owner/nested" in path.read_text())
    name = f".modelcache/pins/{pin.name}"
    listing = Listing.from_json(read_json(volume, name))
    more = tuple(RemoteFile(f"many/{number:04}", 1, "git-sha1:" + "0" * 40) for number in range(2_300))
    write_json(volume, name, {**listing.to_json(), "files": [*listing.to_json()["files"], *_json(more)]})
    with peer(whole) as served:
        url, found = "/api/models/owner/nested/tree/main?recursive=true&expand=False", []
        pages = 0
        while url:
            got = served.ask(url.removeprefix(served.endpoint))
            found += [each["path"] for each in got.json() if each["type"] == "file"]
            pages, url = pages + 1, got.headers.get("link", "<>").partition("<")[2].partition(">")[0]
    assert pages == 3
    assert found == sorted([*NESTED, *(each.path for each in more)])


def _json(files: tuple[RemoteFile, ...]) -> list[dict[str, object]]:
    return [{"path": each.path, "size": each.size, "id": each.content_id} for each in files]


class TestWhatIsOffered:
    def test_a_listing_that_was_never_checked_is_not_offered(self, whole: Path) -> None:
        for pin in (whole / ".modelcache/pins").iterdir():
            path = f".modelcache/pins/{pin.name}"
            write_json(Volume(str(whole)), path, {**read_json(Volume(str(whole)), path), "checked": False})
        with peer(whole) as served:
            assert error(served.ask("/api/models/owner/base"))[:2] == (404, "RepoNotFound")
            assert served.ask("/readyz").status == 503

    def test_a_listing_without_a_receipt_is_not_offered(self, whole: Path) -> None:
        for receipt in (whole / ".modelcache/receipts").iterdir():
            if json.loads(receipt.read_text())["repo"] == "owner/base":
                receipt.unlink()
        with peer(whole) as served:
            assert served.ask("/api/models/owner/base").status == 404
            assert served.ask("/api/models/owner/nested").status == 200

    @pytest.mark.parametrize("commit", ["a\r\nX-Evil: 1", "", "../..", 7, None])
    def test_a_pin_of_what_is_no_commit_is_not_offered(self, commit: object, whole: Path) -> None:
        volume = Volume(str(whole))
        for folder, key in (("pins", "commit"), ("receipts", "commits")):
            for file in (whole / ".modelcache" / folder).iterdir():
                path = f".modelcache/{folder}/{file.name}"
                data = read_json(volume, path)
                write_json(volume, path, {**data, key: commit if key == "commit" else dict.fromkeys(data[key], commit)})
        with peer(whole) as served:
            got = served.ask("/api/models/owner/base")
            assert (got.status, "x-evil" in got.headers) == (404, False)
