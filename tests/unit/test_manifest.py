"""The manifest's rules: the whole table, what a good one becomes, and how errors read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from init_sync.app.specfile import MAX_BYTES, read_manifest
from init_sync.core.errors import ManifestError
from init_sync.core.manifest import parse_manifest
from init_sync.core.spec import Alternative, Link, Manifest
from support.programs import run_program
from unit.bad_manifests import BAD
from unit.good_manifests import GOOD
from unit.manifests import FULL, Bad, Good, document, model, one

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))


def refusal(text: str) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, "cache.yaml")
    return caught.value


def by_id(case: Good | Bad) -> str:
    return case.id


@pytest.mark.parametrize("case", GOOD, ids=by_id)
def test_a_good_manifest_is_accepted(case: Good) -> None:
    assert parse_manifest(case.text, "cache.yaml").models


@pytest.mark.parametrize("case", BAD, ids=by_id)
def test_a_bad_manifest_is_refused_and_each_wrong_field_named(case: Bad) -> None:
    error = refusal(case.text)
    assert sorted(problem.field for problem in error.problems) == sorted(case.fields)
    assert case.word in error.message


@pytest.mark.parametrize("case", BAD, ids=by_id)
def test_every_refusal_is_one_line_that_names_the_file_and_stays_short(case: Bad) -> None:
    message = refusal(case.text).message
    assert message.startswith("cache.yaml: ")
    assert len(message.splitlines()) == 1
    assert len(message) < 2000


def test_ids_of_the_table_are_unique() -> None:
    ids = [*(case.id for case in GOOD), *(case.id for case in BAD)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_every_example_is_accepted(path: Path) -> None:
    assert read_manifest(str(path)).models


def test_there_are_examples() -> None:
    assert "multitalk.yaml" in [path.name for path in EXAMPLES]


def test_every_field_arrives_where_it_belongs() -> None:
    cache = parse_manifest(FULL, "cache.yaml")
    base, other = cache.models
    assert (cache.name, cache.allow_pickles) == ("cache", False)
    assert (base.name, base.display_name, base.repo) == ("base", "Base model", "Wan-AI/Wan2.1-I2V-14B-480P")
    assert (base.revision, base.path, base.exclude) == ("refs/pr/12", "models/base", ("*.msgpack",))
    assert base.include == ("*.json", "google/umt5-xxl/*", "google/", "[ab]?.bin")
    assert base.one_of[1] == Alternative("model.safetensors", "refs/pr/1")
    assert base.links == (Link("model.safetensors", "other/model.safetensors"),)
    assert other.taken_places == ("other/model.safetensors",)
    assert cache.spec["sync"]["job"]["tolerations"] == [{"operator": "Exists"}]


def test_defaults_are_main_every_file_and_pickles_allowed() -> None:
    cache = parse_manifest(one(), "cache.yaml")
    (base,) = cache.models
    assert (base.revision, base.include, base.exclude, base.one_of, base.links) == ("main", None, (), (), ())
    assert cache.allow_pickles
    assert base.display_name == "base"


def test_an_alternative_without_a_revision_takes_its_models() -> None:
    (base,) = parse_manifest(one(revision="v2", oneOf="[{file: a}, {file: b, revision: v3}]"), "c").models
    assert base.one_of == (Alternative("a", "v2"), Alternative("b", "v3"))


def test_a_link_takes_places_of_its_own_model_too() -> None:
    (base,) = parse_manifest(one(links="[{file: a, at: base/b}]"), "c").models
    assert base.taken_places == ("base/b",)


def test_an_include_that_is_null_means_every_file_and_one_that_is_given_does_not() -> None:
    assert parse_manifest(one(include="null"), "c").models[0].include is None
    assert parse_manifest(one(include="[a]"), "c").models[0].include == ("a",)


def test_a_merge_key_is_merged() -> None:
    first, second = parse_manifest(document("&a " + model(revision="v2"), "{<<: *a, name: b, path: b}"), "c").models
    assert (first.name, second.name, second.repo, second.revision) == ("base", "b", "owner/model", "v2")


def test_a_refusal_shows_the_first_problems_and_counts_the_rest() -> None:
    error = refusal(document(*(model(name=f"m{number}", path=f"../{number}") for number in range(12))))
    assert len(error.problems) == 12
    assert error.message.count("leaves the volume") == ManifestError.SHOWN
    assert error.message.endswith("and 4 more")


def test_a_refusal_cannot_be_cured_by_trying_again() -> None:
    assert refusal("kind: x").exit_code == 2


DIGEST = f"sha256:{'ab' * 32}"


def test_a_digest_is_an_anchor_and_without_one_there_is_none() -> None:
    assert parse_manifest(one(digest=DIGEST), "c").models[0].anchor == DIGEST
    assert parse_manifest(one(digest="null"), "c").models[0].anchor == parse_manifest(one(), "c").models[0].anchor == ""


class TestWhatDecidesTheDigestOfARequirement:
    """A receipt is for one digest: what changes the files needed must change it, and nothing else."""

    @staticmethod
    def digest(**fields: str | None) -> str:
        return parse_manifest(one(**fields), "c").models[0].requirement_digest()

    @pytest.mark.parametrize(
        "fields",
        [
            {"repo": "owner/other"},
            {"revision": "v2"},
            {"path": "elsewhere"},
            {"include": "['*.json']"},
            {"exclude": "['*.json']"},
            {"oneOf": "[{file: a}]"},
            {"links": "[{file: a, at: x}]"},
            {"links": "[{file: a, at: base/x}]"},
        ],
        ids=str,
    )
    def test_what_changes_the_files_changes_it(self, fields: dict[str, str]) -> None:
        assert self.digest(**fields) != self.digest()

    @pytest.mark.parametrize(
        "fields",
        [{"name": "new"}, {"displayName": "New"}, {"revision": "main"}, {"exclude": "[]"}, {"digest": DIGEST}],
        ids=str,
    )
    def test_what_leaves_the_files_alone_keeps_it(self, fields: dict[str, str]) -> None:
        assert self.digest(**fields) == self.digest()

    def test_the_order_of_patterns_does_not_matter_but_that_of_alternatives_does(self) -> None:
        assert self.digest(include="[a, b]") == self.digest(include="[b, a, a]")
        assert self.digest(oneOf="[{file: a}, {file: b}]") != self.digest(oneOf="[{file: b}, {file: a}]")

    def test_an_include_of_everything_is_not_the_same_as_none(self) -> None:
        assert self.digest(include="['*']") != self.digest(include="['?']")


HOSTILE = {
    "a number of 6000 digits": document(spec="allowPickles: " + "9" * 6000),
    "a hexadecimal number of 6000 digits": document(spec="allowPickles: 0x" + "f" * 6000),
    "a limit of 6000 digits": document(spec="sync: {job: {backoffLimit: -0x" + "f" * 6000 + "}}"),
    "a megabyte of text": document(model(repo="[" + "a" * 1_000_000 + "]")),
    "a list of 100,000 entries as a name": document(metadata="{name: [" + "a, " * 100_000 + "]}"),
    "a JSON number of 6000 digits": '{"kind": "ModelCache", "apiVersion": ' + "9" * 6000 + "}",
    "JSON lists 100,000 deep": '{"kind": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "lists 2,000 deep": document(spec="allowPickles: " + "[" * 2000 + "]" * 2000),
    "lists 100,000 deep": "kind: ModelCache\napiVersion: " + "[" * 100_000 + "]" * 100_000,
    "mappings 100,000 deep": "{a: " * 100_000 + "1" + "}" * 100_000,
    "lists 50,000 deep by indentation": "kind: ModelCache\nspec:\n" + "- " * 50_000 + "a\n",
    "a list that holds itself": document(spec="allowPickles: &a [*a]"),
    "a mapping that holds itself": document(spec="volume: &a {claimName: *a}"),
    "an avalanche of aliases": "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    + "kind: ModelCache\napiVersion: *a11\nmetadata: {name: *a11, labels: *a11}\n",
    "a thousand unknown fields": document(spec="\n".join(f"field{n}: 1" for n in range(1000))),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_refused_briefly_and_with_bounded_time_and_memory(text: str, tmp_path: Path) -> None:
    """In a process of its own: some of these once ended the interpreter."""
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    done = run_program(
        "import sys\n"
        "from init_sync.app.specfile import read_manifest\n"
        "from init_sync.core.errors import ManifestError\n"
        "try:\n    read_manifest(sys.argv[1])\n"
        "except ManifestError as error:\n    print(error.message)\n",
        str(path),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1
    assert re.match(r".*hostile\.yaml: \S", done.stdout)
    assert len(done.stdout) < 4000


def test_a_manifest_may_be_as_large_as_an_object_in_kubernetes_and_no_larger(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(one() + "#" * (MAX_BYTES - len(one())))
    assert isinstance(read_manifest(str(path)), Manifest)
    path.write_text(path.read_text() + "#")
    with pytest.raises(ManifestError, match="larger than"):
        read_manifest(str(path))
