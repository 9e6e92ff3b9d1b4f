"""Which files a model needs: alternatives, patterns, links, pickles and collisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from init_sync.core.errors import NeedsChange
from init_sync.core.listing import Listing, RemoteFile
from init_sync.core.manifest import parse_manifest
from init_sync.core.reasons import Reason
from init_sync.core.requirement import Choice, Requirement, choose, refuse_collisions, refuse_pickles, require
from init_sync.core.spec import Alternative, Model
from init_sync.core.volumepath import path_problem
from unit.manifests import document, model, one

REPO = "owner/model"
WAV2VEC = "[{file: model.safetensors}, {file: model.safetensors, revision: refs/pr/1}, {file: pytorch_model.bin}]"


def a_model(**fields: str | None) -> Model:
    return parse_manifest(one(**fields), "c").models[0]


def a_listing(*paths: str, revision: str = "main") -> Listing:
    """Content differs from revision to revision, as its id says."""
    return Listing(REPO, revision, f"commit-of-{revision}", tuple(RemoteFile(p, 7, f"{revision}:{p}") for p in paths))


class Hub:
    """Answers listings and remembers what it was asked."""

    def __init__(self, *listings: Listing) -> None:
        self.asked: list[str] = []
        self._listings = {listing.revision: listing for listing in listings}

    def list(self, revision: str) -> Listing | None:
        self.asked.append(revision)
        return self._listings.get(revision)


def the_choice(wanted: Model, hub: Hub, on_volume: dict[str, str] | None = None) -> Choice:
    """``on_volume``: content id by file."""
    there = on_volume or {}
    choice = choose(
        wanted,
        hub.list,
        on_volume=lambda alternative: alternative.file in there,
        is_valid=lambda alternative, file: there[alternative.file] == file.content_id,
    )
    assert choice
    return choice


def refused(call: Callable[[], object]) -> NeedsChange:
    with pytest.raises(NeedsChange) as caught:
        call()
    return caught.value


class TestOneOf:
    wanted = a_model(oneOf=WAV2VEC)

    def test_main_is_taken_when_it_has_the_file_and_nothing_else_is_asked(self) -> None:
        hub = Hub(a_listing("model.safetensors"), a_listing("model.safetensors", revision="refs/pr/1"))
        choice = the_choice(self.wanted, hub)
        assert choice.alternative == Alternative("model.safetensors", "main")
        assert choice.file.content_id == "main:model.safetensors"
        assert choice.commit == "commit-of-main"
        assert choice.passed_over == ()
        assert hub.asked == ["main"]

    def test_the_pull_request_is_next_even_when_main_has_the_pickle(self) -> None:
        hub = Hub(a_listing("pytorch_model.bin"), a_listing("model.safetensors", revision="refs/pr/1"))
        choice = the_choice(self.wanted, hub)
        assert choice.alternative == Alternative("model.safetensors", "refs/pr/1")
        assert choice.commit == "commit-of-refs/pr/1"
        assert choice.passed_over == ("model.safetensors is not on main",)
        assert hub.asked == ["main", "refs/pr/1"]

    @pytest.mark.parametrize(
        ("pull_request", "why"),
        [
            ((), "has no revision refs/pr/1"),
            ((a_listing("README.md", revision="refs/pr/1"),), "model.safetensors is not on refs/pr/1"),
        ],
        ids=["gone", "without the file"],
    )
    def test_the_pickle_comes_last(self, pull_request: Sequence[Listing], why: str) -> None:
        hub = Hub(a_listing("pytorch_model.bin"), *pull_request)
        choice = the_choice(self.wanted, hub)
        assert choice.alternative == Alternative("pytorch_model.bin", "main")
        assert choice.passed_over[0] == "model.safetensors is not on main"
        assert why in choice.passed_over[1]

    def test_none_of_them_anywhere_is_an_error_that_lists_what_was_tried(self) -> None:
        error = refused(lambda: the_choice(self.wanted, Hub(a_listing("README.md"))))
        assert (error.reason, error.model) == (Reason.FILE_NOT_FOUND, "base")
        for tried in ("model.safetensors is not on main", "no revision refs/pr/1", "pytorch_model.bin is not on main"):
            assert tried in error.message

    def test_a_later_one_that_is_whole_on_the_volume_counts(self) -> None:
        hub = Hub(a_listing("model.safetensors", "pytorch_model.bin"))
        choice = the_choice(self.wanted, hub, {"pytorch_model.bin": "main:pytorch_model.bin"})
        assert choice.alternative.file == "pytorch_model.bin"
        assert "refs/pr/1" not in hub.asked

    def test_a_later_one_that_is_damaged_on_the_volume_does_not_count(self) -> None:
        hub = Hub(a_listing("model.safetensors", "pytorch_model.bin"))
        choice = the_choice(self.wanted, hub, {"pytorch_model.bin": "something else"})
        assert choice.alternative == Alternative("model.safetensors", "main")

    def test_the_first_wins_when_several_are_whole(self) -> None:
        hub = Hub(a_listing("model.safetensors", "pytorch_model.bin"))
        both = {"pytorch_model.bin": "main:pytorch_model.bin", "model.safetensors": "main:model.safetensors"}
        assert the_choice(self.wanted, hub, both).alternative.file == "model.safetensors"
        assert hub.asked == ["main"]

    def test_the_same_file_of_another_revision_counts_when_that_is_what_lies_there(self) -> None:
        hub = Hub(a_listing("model.safetensors"), a_listing("model.safetensors", revision="refs/pr/1"))
        choice = the_choice(self.wanted, hub, {"model.safetensors": "refs/pr/1:model.safetensors"})
        assert choice.alternative.revision == "refs/pr/1"

    def test_a_model_without_alternatives_asks_nothing(self) -> None:
        hub = Hub()
        assert choose(a_model(), hub.list, lambda _: True, lambda *_: True) is None
        assert hub.asked == []

    def test_only_the_one_chosen_is_required_and_its_commit_recorded(self) -> None:
        listing = a_listing("config.json", "model.safetensors", "pytorch_model.bin")
        fallback = a_listing("config.json", "model.safetensors", revision="refs/pr/1")
        choice = Choice(self.wanted.one_of[1], fallback.files[1], fallback.commit)
        requirement = require(self.wanted, listing, choice)
        assert [file.path for file in requirement.files] == ["base/config.json", "base/model.safetensors"]
        assert [file.commit for file in requirement.files] == ["commit-of-main", "commit-of-refs/pr/1"]
        assert requirement.commits == {"main": "commit-of-main", "refs/pr/1": "commit-of-refs/pr/1"}
        assert requirement.chosen == {"model.safetensors": "refs/pr/1"}
        assert requirement.commit == "commit-of-main"


class TestPatterns:
    @staticmethod
    def paths(listing: Listing, **fields: str) -> list[str]:
        return [file.source for file in require(a_model(**fields), listing, None).files]

    def test_without_include_every_file_is_needed(self) -> None:
        assert self.paths(a_listing("b", "a/c", ".gitattributes")) == [".gitattributes", "a/c", "b"]

    def test_include_and_exclude_select(self) -> None:
        assert self.paths(a_listing("a.json", "b.json", "c.bin"), include="['*.json']", exclude="[b*]") == ["a.json"]

    def test_a_literal_include_that_is_not_there_is_an_error_that_names_it(self) -> None:
        error = refused(lambda: self.paths(a_listing("a.json"), include="['*.json', missing.json]"))
        assert (error.reason, error.exit_code) == (Reason.FILE_NOT_FOUND, 2)
        assert "missing.json" in error.message

    def test_a_literal_include_that_only_another_case_matches_is_an_error(self) -> None:
        assert refused(lambda: self.paths(a_listing("Config.json"), include="[config.json]"))

    def test_patterns_that_leave_nothing_are_an_error(self) -> None:
        error = refused(lambda: self.paths(a_listing("a.json"), include="['*.bin']"))
        assert error.reason is Reason.FILE_NOT_FOUND
        assert refused(lambda: self.paths(a_listing("a.json"), exclude="['*']")).reason is Reason.FILE_NOT_FOUND

    def test_an_alternative_named_in_include_too_is_no_error_and_needed_once(self) -> None:
        wanted = a_model(include="[a.json, b.bin]", oneOf="[{file: b.bin}]")
        listing = a_listing("a.json", "b.bin")
        choice = Choice(wanted.one_of[0], listing.files[1], listing.commit)
        assert [file.source for file in require(wanted, listing, choice).files] == ["a.json", "b.bin"]

    @pytest.mark.parametrize("path", ["../evil", "/etc/passwd", "a/../../b", "a\\b", "a\x00b", "a//b", "\ud800"])
    def test_a_hub_that_lists_a_file_outside_the_directory_is_refused(self, path: str) -> None:
        error = refused(lambda: self.paths(a_listing("ok", path)))
        assert error.exit_code == 2
        error.message.encode()  # it can be shown

    @given(st.characters(exclude_categories=[]))
    @example("\ud800")
    @example("\udfff")
    def test_no_character_makes_the_path_check_itself_fail(self, character: str) -> None:
        if path_problem(f"a{character}b") is None:
            character.encode()


class TestLinks:
    def test_a_file_whose_place_a_link_takes_is_needed_beside_it(self) -> None:
        base, multitalk = parse_manifest(
            document(model(), model(name="b", path="b", links="[{file: index.json, at: base/index.json}]")), "c"
        ).models
        files = require(base, a_listing("index.json", "other.json"), None).files
        assert [(file.path, file.source) for file in files] == [
            ("base/index.json_old", "index.json"),
            ("base/other.json", "other.json"),
        ]
        assert [file.path for file in require(multitalk, a_listing("index.json"), None).files] == ["b/index.json"]

    def test_a_link_to_a_file_that_the_model_does_not_take_is_an_error(self) -> None:
        wanted = a_model(include="[a]", links="[{file: b, at: x/b}]")
        error = refused(lambda: require(wanted, a_listing("a", "b"), None))
        assert (error.reason, error.model) == (Reason.FILE_NOT_FOUND, "base")
        assert "x/b" in error.message
        assert "include" in error.message

    def test_a_link_may_lead_to_the_alternative_that_was_chosen(self) -> None:
        wanted = a_model(oneOf="[{file: a}]", links="[{file: a, at: x/a}]")
        listing = a_listing("a", "b")
        assert require(wanted, listing, Choice(wanted.one_of[0], listing.files[0], listing.commit)).files

    def test_an_original_that_moves_aside_may_not_meet_a_file_of_that_name(self) -> None:
        wanted = a_model(links="[{file: b, at: base/a}]")
        requirement = [require(wanted, a_listing("b", "c"), None)]
        refuse_collisions(requirement)
        meeting = a_listing("a", "a_old", "b")
        error = refused(lambda: refuse_collisions([require(wanted, meeting, None)]))
        assert "base/a_old" in error.message


class TestPickles:
    @pytest.mark.parametrize("file", ["a.bin", "a.pth", "a.pt", "A.PTH", "deep/a.ckpt", "a.pkl"])
    def test_a_pickle_is_refused_when_the_manifest_says_so(self, file: str) -> None:
        error = refused(lambda: refuse_pickles(require(a_model(), a_listing("a.json", file), None)))
        assert (error.reason, error.model, error.exit_code) == (Reason.PICKLE_REFUSED, "base", 2)
        assert file in error.message

    @pytest.mark.parametrize("file", ["a.safetensors", "bin", "a.bin.json", "pth/a.json", "a.ptx"])
    def test_other_files_are_not(self, file: str) -> None:
        refuse_pickles(require(a_model(), a_listing(file), None))

    def test_a_pickle_that_exclude_drops_does_not_matter(self) -> None:
        refuse_pickles(require(a_model(exclude="['*.bin']"), a_listing("a.json", "a.bin"), None))


class TestCollisions:
    @staticmethod
    def two(path: str, *files: str) -> list[Requirement]:
        outer, inner = parse_manifest(document(model(), model(name="inner", path=path)), "c").models
        return [require(outer, a_listing(*files), None), require(inner, a_listing("c"), None)]

    def test_two_models_that_put_a_file_at_one_place_are_refused(self) -> None:
        error = refused(lambda: refuse_collisions(self.two("base/b", "a", "b/c")))
        assert error.reason is Reason.INVALID_SPEC
        for named in ("base/b/c", "base", "inner"):
            assert named in error.message

    def test_a_model_inside_another_is_fine_as_long_as_no_file_meets(self) -> None:
        refuse_collisions(self.two("base/b", "a", "b/d"))

    def test_a_file_where_another_model_has_its_directory_is_refused(self) -> None:
        assert refused(lambda: refuse_collisions(self.two("base/b", "a", "b"))).reason is Reason.INVALID_SPEC
