"""The hub's HTTP API, asked directly: listings, resolve, ranges, typed errors, access."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.hub import LocalHub, RepoBuilder
from support.raw_client import ask, signed_url

from .sample import CONFIG, REPO, WEIGHTS

SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


def test_model_info_lists_names_and_with_blobs_their_contents(hub: LocalHub) -> None:
    plain = ask(f"{hub.endpoint}/api/models/{REPO}").json()
    assert [one["rfilename"] for one in plain["siblings"]] == ["config.json", "weights.safetensors"]
    full = ask(f"{hub.endpoint}/api/models/{REPO}/revision/main?blobs=True").json()
    assert full["sha"] == plain["sha"]
    assert full["siblings"][1]["lfs"] == {"sha256": SHA256, "size": len(WEIGHTS), "pointerSize": 131}


@pytest.mark.parametrize("spelling", ["refs%2Fpr%2F1", "refs/pr/1"])
def test_a_pull_request_is_a_revision_in_either_spelling(hub: LocalHub, repo: RepoBuilder, spelling: str) -> None:
    commit = repo.commit({"extra.json": b"{}"}, ref="refs/pr/1", base="main")
    assert ask(f"{hub.endpoint}/api/models/{REPO}/revision/{spelling}").json()["sha"] == commit
    assert ask(f"{hub.endpoint}/{REPO}/resolve/{spelling}/extra.json").body == b"{}"
    assert ask(f"{hub.endpoint}/{REPO}/resolve/main/extra.json").status == 404
    assert {request.revision for request in hub.requests} == {"refs/pr/1", "main"}


def test_a_moved_branch_gives_a_new_commit_while_the_old_one_is_still_served(hub: LocalHub, repo: RepoBuilder) -> None:
    old = ask(f"{hub.endpoint}/api/models/{REPO}").json()["sha"]
    new = repo.commit({"config.json": b"[]"}, base="main")
    assert ask(f"{hub.endpoint}/api/models/{REPO}").json()["sha"] == new
    assert ask(f"{hub.endpoint}/{REPO}/resolve/{old}/config.json").body == CONFIG
    assert ask(f"{hub.endpoint}/{REPO}/resolve/main/config.json").body == b"[]"


def test_a_tree_lists_folders_among_its_files(hub: LocalHub, repo: RepoBuilder) -> None:
    repo.commit({"a/b/c.txt": b"", "e.txt": b""})
    tree = f"{hub.endpoint}/api/models/{REPO}/tree/main"
    listed = [(one["type"], one["path"]) for one in ask(f"{tree}?recursive=True").json()]
    assert listed == [("directory", "a"), ("directory", "a/b"), ("file", "a/b/c.txt"), ("file", "e.txt")]
    assert ask(tree).status == 400, "one level alone is not emulated"


def pages(url: str | None) -> Iterator[list[str]]:
    while url is not None:
        got = ask(url)
        yield [one["path"] for one in got.json()]
        link = got.headers.get("link")
        url = link.removeprefix("<").partition(">")[0] if link else None


def test_a_long_tree_comes_in_linked_pages(root: Path) -> None:
    names = [f"{number:02}.txt" for number in range(7)]
    RepoBuilder(root, REPO).commit(dict.fromkeys(names, b""))
    with LocalHub(root, page_size=3) as hub:
        found = list(pages(f"{hub.endpoint}/api/models/{REPO}/tree/main?recursive=True"))
        broken = ask(f"{hub.endpoint}/api/models/{REPO}/tree/main?recursive=True&cursor=nonsense")
    assert found == [names[:3], names[3:6], names[6:]]
    assert broken.status == 400


def test_a_small_file_is_served_by_the_api_itself(hub: LocalHub) -> None:
    got = ask(f"{hub.endpoint}/{REPO}/resolve/main/config.json")
    assert (got.status, got.body, got.headers["content-length"]) == (200, CONFIG, str(len(CONFIG)))
    blob_id = hashlib.sha1(b"blob %d\0" % len(CONFIG) + CONFIG).hexdigest()
    assert got.headers["etag"] == f'"{blob_id}"'
    assert got.headers["x-repo-commit"] == ask(f"{hub.endpoint}/api/models/{REPO}").json()["sha"]


def test_a_large_file_is_a_redirect_to_the_second_origin(hub: LocalHub) -> None:
    got = ask(f"{hub.endpoint}/{REPO}/resolve/main/weights.safetensors", "HEAD")
    assert got.status == 302
    assert got.headers["x-linked-etag"] == f'"{SHA256}"'
    assert got.headers["x-linked-size"] == str(len(WEIGHTS))
    assert got.headers["location"].startswith(hub.cdn_endpoint)
    assert ask(got.headers["location"]).body == WEIGHTS


def test_a_file_name_may_need_quoting(hub: LocalHub, repo: RepoBuilder) -> None:
    repo.commit({"a b/ü #1%.bin": b"odd"})
    assert ask(signed_url(hub.endpoint, REPO, "a b/ü #1%.bin")).body == b"odd"


@pytest.mark.parametrize(
    ("header", "first", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=3-5", 3, 6),
        ("bytes=299990-", 299990, 300000),
        ("bytes=299990-999999", 299990, 300000),
        ("bytes=-4", 299996, 300000),
        ("bytes=-999999", 0, 300000),
    ],
)
def test_a_range_is_answered_206(blob_url: Callable[[], str], header: str, first: int, end: int) -> None:
    got = ask(blob_url(), headers={"Range": header})
    assert (got.status, got.headers["content-range"]) == (206, f"bytes {first}-{end - 1}/300000")
    assert got.body == WEIGHTS[first:end]


@pytest.mark.parametrize("header", ["bytes=5-3", "bytes=0-1,3-4", "bytes=-", "items=0-1", "bytes=a-b"])
def test_a_range_that_means_nothing_or_several_is_answered_with_the_whole_file(
    blob_url: Callable[[], str], header: str
) -> None:
    got = ask(blob_url(), headers={"Range": header})
    assert (got.status, got.body) == (200, WEIGHTS)


@pytest.mark.parametrize("header", ["bytes=300000-", "bytes=400000-400001", "bytes=-0"])
def test_a_range_behind_the_end_is_answered_416(blob_url: Callable[[], str], header: str) -> None:
    got = ask(blob_url(), headers={"Range": header})
    assert (got.status, got.headers["content-range"], got.body) == (416, "bytes */300000", b"")


def test_if_range_holds_for_the_etag_of_the_same_origin_only(blob_url: Callable[[], str]) -> None:
    etag = ask(blob_url(), "HEAD").headers["etag"]
    assert ask(blob_url(), headers={"Range": "bytes=5-", "If-Range": etag}).body == WEIGHTS[5:]
    for other in (f'"{SHA256}"', f"W/{etag}", '"something else"'):
        got = ask(blob_url(), headers={"Range": "bytes=5-", "If-Range": other})
        assert (got.status, got.body) == (200, WEIGHTS)


def test_a_head_of_a_blob_names_its_size_and_sends_nothing(hub: LocalHub, blob_url: Callable[[], str]) -> None:
    got = ask(blob_url(), "HEAD")
    assert (got.status, got.headers["content-length"], got.body) == (200, "300000", b"")
    assert hub.bytes_sent == 0


def test_a_changed_signature_or_path_is_refused(blob_url: Callable[[], str]) -> None:
    url = blob_url()
    other = url[:-1] + ("0" if url[-1] != "0" else "1")
    bad = [other, url.replace("Serial=", "Serial=9"), url.partition("?")[0], url.replace("weights", "config")]
    assert [ask(each).status for each in bad] == [403] * 4
    assert ask(url).status == 200


def test_a_token_sent_to_the_second_origin_is_refused_and_remembered(
    hub: LocalHub, blob_url: Callable[[], str]
) -> None:
    url = blob_url()
    assert not hub.leaked_authorization
    assert ask(url, headers={"Authorization": "Bearer hf_secret"}).status == 400
    assert hub.leaked_authorization


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/models/owner/missing", 401, "RepoNotFound"),
        ("/api/models/owner/model/revision/nowhere", 404, "RevisionNotFound"),
        (f"/api/models/owner/model/tree/{'0' * 40}", 404, "RevisionNotFound"),
        ("/owner/model/resolve/main/nowhere.txt", 404, "EntryNotFound"),
        ("/owner/model/resolve/main/../../../repo.json", 404, "EntryNotFound"),
        ("/owner/model/resolve/main/%2e%2e/repo.json", 404, "EntryNotFound"),
        ("/%2e%2e/model/resolve/main/config.json", 401, "RepoNotFound"),
    ],
)
def test_what_is_missing_is_named_by_its_code(hub: LocalHub, path: str, status: int, code: str) -> None:
    got = ask(hub.endpoint + path)
    assert (got.status, got.headers["x-error-code"]) == (status, code)
    assert got.headers["x-error-message"]
    assert ("x-repo-commit" in got.headers) == (code == "EntryNotFound")


@pytest.mark.parametrize(
    ("token", "listing", "file"),
    [
        (None, (200, None), (401, "GatedRepo")),
        ("hf_good", (200, None), (200, None)),
        ("hf_other", (200, None), (403, "GatedRepo")),
        ("hf_unknown", (401, None), (401, None)),
    ],
)
def test_a_gated_repository_is_listed_to_all_and_read_by_its_token(
    hub: LocalHub, repo: RepoBuilder, root: Path, token: str | None, listing: object, file: object
) -> None:
    repo.gate("hf_good")
    RepoBuilder(root, "other/model").configure(token="hf_other")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answers = [
        ask(f"{hub.endpoint}/{path}", headers=headers)
        for path in (f"api/models/{REPO}", f"{REPO}/resolve/main/config.json")
    ]
    assert [(got.status, got.headers.get("x-error-code")) for got in answers] == [listing, file]


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("hf_good", 200), ("hf_other", 404)])
def test_a_private_repository_does_not_exist_for_others(
    hub: LocalHub, repo: RepoBuilder, root: Path, token: str | None, status: int
) -> None:
    repo.hide("hf_good")
    RepoBuilder(root, "other/model").configure(token="hf_other")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    assert ask(f"{hub.endpoint}/api/models/{REPO}", headers=headers).status == status


def test_a_defect_in_the_folder_is_told_to_the_client(hub: LocalHub, root: Path) -> None:
    (root / REPO / "repo.json").write_text('{"gatted": true, "lfs_globs": []}')
    got = ask(f"{hub.endpoint}/api/models/{REPO}")
    assert got.status == 500
    assert "gatted" in got.json()["error"]
