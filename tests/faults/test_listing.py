"""Listings that leave files out, contradict each other or do not end: an error with both figures, no smaller model."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from init_sync.volume.layout import read_json, write_json
from init_sync.volume.volume import Volume
from support.hub import Fault, LocalHub, RepoBuilder
from support.hub.api import write_cursor as cursor
from support.outages import HURRY, IN_TIME_S, at_most
from support.scripted_server import ScriptedServer, answer
from support.sync import Result, manifest, model, run_sync, tree

FILES = {f"part-{number}.json": b"%d\n" % number for number in range(7)}
FILES["weights.safetensors"] = bytes(range(256)) * 99
SPEC = manifest(model("m", "owner/paged"))


@pytest.fixture
def commit(tmp_path: Path) -> str:
    return RepoBuilder(tmp_path / "paged", "owner/paged").configure(lfs_globs=("*.safetensors",)).commit(FILES)


@pytest.fixture
def paged(tmp_path: Path, commit: str) -> Iterator[LocalHub]:
    """A hub with three entries on a page: eight files are three pages."""
    with LocalHub(tmp_path / "paged", page_size=3) as hub:
        yield hub


def inconsistent(result: Result, *words: str) -> None:
    """The sync has refused the listing, with these words, and fetched nothing."""
    assert result.returncode == 1, result.stdout
    assert result.reasons() == {"m": "ListingInconsistent"}
    assert len(result.stderr.splitlines()) == 1
    assert [word for word in words if word not in result.stderr] == [], result.stderr


def complete(result: Result, volume: Path) -> None:
    assert result.returncode == 0, result.stderr
    assert tree(volume) == {f"m/{path}": content for path, content in FILES.items()}


def test_a_listing_costs_one_request_more_than_it_has_pages(volume: Path, paged: LocalHub, commit: str) -> None:
    complete(run_sync(SPEC, volume, paged), volume)

    listing = [request for request in paged.requests if request.kind in ("model_info", "tree")]
    assert [request.kind for request in listing] == ["model_info", "tree", "tree", "tree"]
    assert "blobs" not in listing[0].query, "sizes come with the pages"
    assert {request.revision for request in listing[1:]} == {commit}


@pytest.mark.parametrize("names", ["part-0.json", "part-4.json", "weights.safetensors", "part-[346].json"])
@pytest.mark.parametrize("kind", ["model_info", "tree"])
def test_a_file_that_one_listing_lacks_is_refused_with_both_figures(
    kind: str, names: str, volume: Path, paged: LocalHub
) -> None:
    paged.add_fault(Fault("unlisted", match=(kind,), names=names))

    result = run_sync(SPEC, volume, paged, *HURRY)

    lost = 3 if "[" in names else 1
    paged_files, short_files, other = (8 - lost, 8, "short") if kind == "tree" else (8, 8 - lost, "paged")
    figures = f"the paged listing has {paged_files} files, the short one {short_files} files"
    inconsistent(result, figures, f"only in the {other} one")
    assert tree(volume) == {}


def test_a_page_that_names_no_successor_is_refused(volume: Path, paged: LocalHub) -> None:
    paged.add_fault(Fault("no_link", match=("tree",)))
    inconsistent(run_sync(SPEC, volume, paged, *HURRY), "has 3 files, the short one 8 files")


def test_the_second_of_three_pages_is_missed(volume: Path, paged: LocalHub, commit: str) -> None:
    third = f'</api/models/owner/paged/tree/{commit}?recursive=true&cursor={cursor(6)}>; rel="next"'
    paged.add_fault(Fault("headers", match=("tree",), headers={"Link": third}, times=1))
    inconsistent(run_sync(SPEC, volume, paged, *HURRY), "has 5 files, the short one 8 files", "'part-3.json'")


def test_without_names_in_the_description_the_pages_count_alone(volume: Path, paged: LocalHub) -> None:
    paged.add_fault(Fault("unlisted", match=("model_info",)))

    result = run_sync(SPEC, volume, paged, *HURRY)

    complete(result, volume)
    assert "the hub gives no short listing; its pages have 8 files" in result.stdout


@pytest.mark.parametrize("revision", ["main", "commit"])
@pytest.mark.parametrize("head", [True, False], ids=["page names the commit", "file names the commit"])
@pytest.mark.parametrize("status", [404, 405, 500, 504])
def test_a_hub_that_cannot_describe_the_repository_is_asked_for_its_pages(
    status: int, head: bool, revision: str, volume: Path, paged: LocalHub, commit: str
) -> None:
    paged.add_fault(Fault("status", match=("model_info",), status=status))
    if head:
        paged.add_fault(Fault("headers", match=("tree",), headers={"X-Repo-Commit": commit}))
    spec = manifest(model("m", "owner/paged", revision=commit if revision == "commit" else revision))

    result = run_sync(spec, volume, paged, "--give-up-after", "8")

    complete(result, volume)
    assert result.report["models"][0]["commit"] == commit
    assert "no short listing" in result.stdout


def test_a_description_that_fails_once_is_still_compared(volume: Path, paged: LocalHub) -> None:
    paged.add_fault(Fault("status", match=("model_info",), status=500, times=1))
    paged.add_fault(Fault("unlisted", match=("tree",), names="part-6.json"))
    inconsistent(run_sync(SPEC, volume, paged, *HURRY), "has 7 files, the short one 8 files")


def test_a_rate_limited_description_causes_no_other_requests(volume: Path, paged: LocalHub) -> None:
    paged.add_fault(Fault("status", match=("model_info",), status=429))

    result = run_sync(SPEC, volume, paged, *HURRY)

    assert result.reasons() == {"m": "RateLimited"}
    assert paged.count("tree") == 0


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_mirror_without_pages_is_told_from_a_repository_that_is_not_there(
    status: int, volume: Path, paged: LocalHub
) -> None:
    paged.add_fault(Fault("status", match=("tree",), status=status))

    result = run_sync(SPEC, volume, paged, *HURRY)

    assert result.returncode == 2
    assert result.reasons() == {"m": "HubUnreachable"}
    assert "lacks the API path /api/models/owner/paged/tree" in result.stderr
    assert "HF_ENDPOINT" in result.stderr


def test_a_server_that_knows_neither_listing_has_no_such_repository(volume: Path, paged: LocalHub) -> None:
    paged.add_fault(Fault("status", match=("model_info", "tree"), status=404))

    result = run_sync(SPEC, volume, paged, *HURRY)

    assert result.returncode == 2
    assert result.reasons() == {"m": "RepoNotFound"}


def test_a_described_commit_without_pages_is_no_revision_that_is_not_there(volume: Path, paged: LocalHub) -> None:
    paged.add_fault(Fault("status", match=("tree",), status=404, error_code="RevisionNotFound"))
    inconsistent(run_sync(SPEC, volume, paged, *HURRY), "is described, and page 1 of it is not there")


def test_pages_of_another_commit_are_refused(volume: Path, paged: LocalHub, commit: str) -> None:
    paged.add_fault(Fault("headers", match=("tree",), headers={"X-Repo-Commit": "b" * 40}))
    inconsistent(run_sync(SPEC, volume, paged, *HURRY), commit, "b" * 40)


def test_a_repository_without_files_is_told_as_such(volume: Path, paged: LocalHub) -> None:
    paged.add_fault(Fault("unlisted", match=("model_info", "tree")))
    paged.add_fault(Fault("no_link"))

    result = run_sync(SPEC, volume, paged, *HURRY)

    assert result.returncode == 2
    assert result.reasons() == {"m": "FileNotFound"}
    assert "there are no files at that revision" in result.stderr


@pytest.mark.parametrize("size", [0, 135])
@pytest.mark.parametrize("kind", ["model_info", "tree"])
def test_the_size_of_a_pointer_is_not_taken_for_that_of_the_file(
    kind: str, size: int, volume: Path, paged: LocalHub
) -> None:
    paged.add_fault(Fault("listed_as", match=(kind,), names="*.safetensors", fields={"size": size}))
    complete(run_sync(SPEC, volume, paged, *HURRY), volume)


@pytest.mark.parametrize(
    ("kind", "names", "fields", "figures"),
    [
        ("tree", "*.safetensors", {"size": 25343}, ("25343 bytes", "25344")),
        ("model_info", "*.safetensors", {"size": 25345}, ("25344 bytes", "25345 in the short one")),
        ("model_info", "*.safetensors", {"lfs": {"sha256": "a" * 64}}, ("a" * 64,)),
        ("model_info", "part-2.json", {"size": 3}, ("2 bytes", "3 in the short one")),
        ("model_info", "part-2.json", {"blobId": "a" * 40}, ("a" * 40,)),
        ("tree", "part-2.json", {"path": "part-1.json"}, ("'part-1.json' is listed twice",)),
        ("tree", "part-2.json", {"path": "part-1.json/x"}, ("'part-1.json' is listed as a file and as a directory",)),
        ("tree", "part-2.json", {"type": "directory"}, ("has 7 files, the short one 8",)),
    ],
)
def test_listings_that_contradict_each_other_are_refused(
    kind: str, names: str, fields: dict[str, Any], figures: tuple[str, ...], volume: Path, paged: LocalHub
) -> None:
    paged.add_fault(Fault("listed_as", match=(kind,), names=names, fields=fields))
    inconsistent(run_sync(SPEC, volume, paged, *HURRY), *figures)


class TestNextPages:
    @pytest.mark.parametrize("host", ["https://huggingface.co", ""], ids=["hub", "relative"])
    def test_one_that_a_mirror_passes_on_is_asked_of_the_mirror(
        self, host: str, volume: Path, paged: LocalHub, commit: str
    ) -> None:
        following = f'<{host}/api/models/owner/paged/tree/{commit}?recursive=true&cursor={cursor(3)}>; rel="next"'
        paged.add_fault(Fault("headers", match=("tree",), headers={"Link": following}, times=1))
        complete(run_sync(SPEC, volume, paged, *HURRY), volume)

    def test_one_on_another_server_is_refused_and_not_asked_for(
        self, volume: Path, paged: LocalHub, hub: LocalHub
    ) -> None:
        paged.add_fault(Fault("headers", match=("tree",), headers={"Link": f'<{hub.endpoint}/x>; rel="next"'}))

        result = run_sync(SPEC, volume, paged, *HURRY, env={"HF_TOKEN": "hf_secret"})

        inconsistent(result, hub.endpoint, "where the token must not go")
        assert hub.requests == []

    @pytest.mark.parametrize("path", ["/api/models/owner/paged/tree/COMMIT?recursive=true", "?recursive=true&page=2"])
    def test_pages_that_repeat_are_refused(self, path: str, volume: Path, paged: LocalHub, commit: str) -> None:
        link = f'<{path.replace("COMMIT", commit)}>; rel="next"'
        paged.add_fault(Fault("headers", match=("tree",), headers={"Link": link}))

        with at_most(IN_TIME_S, "refusing pages that repeat"):
            result = run_sync(SPEC, volume, paged, *HURRY)

        inconsistent(result, "repeats what was there")
        assert paged.count("tree") <= 2


def described(**more: Any) -> bytes:
    return answer("200 OK", json.dumps({"sha": "c0" * 20, **more}).encode())


@pytest.mark.parametrize(
    ("said", "reason", "words"),
    [
        (answer("200 OK", b"[" * 100_000), "HubUnreachable", "nested too deeply"),
        (answer("200 OK", b"[" * 3_000_000), "ListingInconsistent", "3000000 values"),
        (answer("200 OK", b" " * (13 << 20)), "ListingInconsistent", "12 MiB"),
        (answer("200 OK", gzip.compress(bytes(256 << 20)), Content_Encoding="gzip"), "ListingInconsistent", "12 MiB"),
        (answer("200 OK", b"no gzip", Content_Encoding="gzip"), "HubUnreachable", "not gzip"),
        (answer("200 OK", b"[]", Content_Encoding="br"), "HubUnreachable", "Content-Encoding 'br'"),
    ],
    ids=["deep", "many values", "long", "gzip bomb", "no gzip", "brotli"],
)
@pytest.mark.parametrize("before", [(), (described(siblings=[{"rfilename": "a"}]),)], ids=["description", "page"])
def test_a_hostile_answer_ends_in_words(
    before: tuple[bytes, ...], said: bytes, reason: str, words: str, volume: Path, limited: Callable[[], None]
) -> None:
    with ScriptedServer([*before, said]) as server, at_most(IN_TIME_S, "refusing the answer"):
        result = run_sync(SPEC, volume, None, *HURRY, env={"HF_ENDPOINT": server.url}, preexec_fn=limited)

    assert result.returncode == 1
    assert result.reasons() == {"m": reason}
    assert words in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


@pytest.fixture
def limited() -> Callable[[], None]:
    """What a child does to itself: 256 MiB of data and no more."""
    import resource

    return lambda: resource.setrlimit(resource.RLIMIT_DATA, (256 << 20, 256 << 20))


def test_pages_that_bring_one_file_each_and_do_not_end_are_refused(volume: Path) -> None:
    with EndlessPages() as server, at_most(30, "refusing pages without end"):
        result = run_sync(SPEC, volume, None, *HURRY, env={"HF_ENDPOINT": server.url})

    assert result.returncode == 1
    assert "more than 1000 pages" in result.stderr or "no progress for 2 s" in result.stderr


class EndlessPages(ScriptedServer):
    """Each page has one file and names another page."""

    def __init__(self) -> None:
        super().__init__([b""])

    def _play(self, connection: Any, number: int) -> None:
        entry = {"type": "file", "path": f"{number}.json", "size": 1, "oid": "a" * 40}
        link = f'</api/models/owner/paged/tree/x?page={number}>; rel="next"'
        page = answer("200 OK", json.dumps([entry]).encode(), Link=link)
        self._script = [described() if number == 0 else page]
        super()._play(connection, 0)


def test_a_listing_that_comes_compressed_is_read(volume: Path, tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps({"sha": "c0" * 20, "siblings": [{"rfilename": "a"}]}).encode())
    page = gzip.compress(json.dumps([{"type": "file", "path": "b", "size": 1, "oid": "a" * 40}]).encode())
    script = [answer("200 OK", packed, Content_Encoding="gzip"), answer("200 OK", page, Content_Encoding="gzip")]

    with ScriptedServer(script) as server:
        result = run_sync(SPEC, volume, None, *HURRY, env={"HF_ENDPOINT": server.url})

    inconsistent(result, "only in the short one: 'a'; only in the paged one: 'b'")


class TestPins:
    """A pin of version 0.1.0 does not say that its listing was checked."""

    @pytest.fixture
    def old_pin(self, volume: Path, paged: LocalHub) -> Path:
        """A volume that was complete, with a pin as 0.1.0 wrote it, and one file gone."""
        complete(run_sync(SPEC, volume, paged), volume)
        (pin,) = (volume / ".modelcache" / "pins").glob("*.json")
        data = read_json(Volume(str(volume)), str(pin.relative_to(volume)))
        assert data.pop("checked") is True
        assert data["format"] == 1
        write_json(Volume(str(volume)), str(pin.relative_to(volume)), data)
        (volume / "m" / "part-1.json").unlink()
        paged.reset_log()
        return pin

    def test_it_is_checked_once(self, old_pin: Path, volume: Path, paged: LocalHub, commit: str) -> None:
        complete(run_sync(SPEC, volume, paged), volume)
        assert [each.revision for each in paged.requests if each.kind == "model_info"] == [commit]

        (volume / "m" / "part-1.json").unlink()
        paged.reset_log()
        complete(run_sync(SPEC, volume, paged), volume)
        assert paged.count("model_info") == paged.count("tree") == 0

    def test_one_that_was_cut_short_is_replaced_by_the_same_commit(
        self, old_pin: Path, volume: Path, paged: LocalHub, tmp_path: Path, commit: str
    ) -> None:
        data = read_json(Volume(str(volume)), str(old_pin.relative_to(volume)))
        write_json(Volume(str(volume)), str(old_pin.relative_to(volume)), {**data, "files": data["files"][:3]})
        RepoBuilder(tmp_path / "paged", "owner/paged").commit({"other.json": b"{}"})

        result = run_sync(SPEC, volume, paged)

        complete(result, volume)
        assert result.report["models"][0]["commit"] == commit
        assert "the listing on the volume has 3 files, the hub's 8" in result.stdout

    def test_it_stays_when_the_check_fails(self, old_pin: Path, volume: Path, paged: LocalHub) -> None:
        before = old_pin.read_bytes()
        paged.add_fault(Fault("no_link", match=("tree",)))
        inconsistent(run_sync(SPEC, volume, paged, *HURRY))
        assert old_pin.read_bytes() == before

    def test_a_commit_that_is_gone_is_an_error_and_no_other_commit_is_taken(
        self, old_pin: Path, volume: Path, paged: LocalHub, tmp_path: Path, commit: str
    ) -> None:
        builder = RepoBuilder(tmp_path / "paged", "owner/paged")
        builder.commit({"other.json": b"{}"})
        builder.delete_commit(commit)

        result = run_sync(SPEC, volume, paged, *HURRY)

        assert result.returncode == 2
        assert result.reasons() == {"m": "RevisionNotFound"}
        assert "--refresh" in result.stderr

    def test_a_complete_model_starts_with_zero_requests(self, old_pin: Path, volume: Path, paged: LocalHub) -> None:
        complete(run_sync(SPEC, volume, paged), volume)
        data = read_json(Volume(str(volume)), str(old_pin.relative_to(volume)))
        del data["checked"]
        write_json(Volume(str(volume)), str(old_pin.relative_to(volume)), data)
        paged.stop()

        complete(run_sync(SPEC, volume, paged), volume)

    def test_without_the_hub_it_proves_nothing(self, old_pin: Path, volume: Path, paged: LocalHub) -> None:
        paged.stop()
        result = run_sync(SPEC, volume, paged, *HURRY)
        assert result.returncode == 1
        assert result.reasons() == {"m": "HubUnreachable"}
