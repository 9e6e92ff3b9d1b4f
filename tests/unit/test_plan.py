"""The plan of a sync, as a value: what is kept, adopted, fetched and linked, and what that needs."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from init_sync.core.model_check import ModelCheck
from init_sync.core.reasons import Reason
from init_sync.core.requirement import RequiredFile, Requirement
from init_sync.core.spec import Link, Model
from init_sync.sync.plan import Action, plan_sync

MODEL = Model("m", "m", "o/m", "main", "m")


def required(*files: tuple[str, int, str], model: Model = MODEL, repo: str = "o/m") -> Requirement:
    """Files as (path, size, content)."""
    made = tuple(
        RequiredFile(f"{model.path}/{path}", path, repo, "c1", size, f"sha256:{content}")
        for path, size, content in files
    )
    return Requirement(model, {"main": "c1"}, made)


def test_one_content_at_several_paths_is_fetched_once_and_takes_room_for_each() -> None:
    plan = plan_sync("c", {}, [required(("a", 10, "aa"), ("b", 10, "aa"))], {}, {})
    (blob,) = plan.blobs
    assert blob.paths == ("m/a", "m/b")
    assert (plan.bytes_to_fetch, plan.bytes_needed) == (10, 20)


def test_bytes_of_an_earlier_run_are_neither_fetched_nor_need_room() -> None:
    plan = plan_sync("c", {}, [required(("a", 10, "aa"))], {}, {"sha256:aa": 4})
    assert (plan.bytes_to_fetch, plan.bytes_needed) == (6, 6)


def test_the_smallest_file_of_each_repository_comes_first() -> None:
    """A repository that refuses is known before a large file is fetched of another."""
    other = Model("n", "n", "o/n", "main", "n")
    requirements = [
        required(("large", 90, "01"), ("small", 1, "02")),
        required(("large", 80, "03"), ("small", 2, "04"), model=other, repo="o/n"),
    ]
    paths = [blob.label for blob in plan_sync("c", {}, requirements, {}, {}).blobs]
    assert paths[:2] == ["m/small", "n/small"]
    assert set(paths[2:]) == {"m/large", "n/large"}


def test_links_cost_a_copy_where_the_file_system_has_none() -> None:
    linked = MODEL._replace(links=(Link("a", "elsewhere/a"),))
    requirement = replace(required(("a", 10, "aa")), model=linked)
    assert plan_sync("c", {}, [requirement], {}, {}).bytes_needed == 10
    assert plan_sync("c", {}, [requirement], {}, {}, has_links=False).bytes_needed == 20
    in_place = {"elsewhere/a": Action.KEEP}
    assert plan_sync("c", {}, [requirement], in_place, {}, has_links=False).bytes_needed == 10


def test_files_and_their_directories_need_inodes() -> None:
    plan = plan_sync("c", {}, [required(("x/a", 1, "01"), ("x/b", 1, "02"), ("y/a", 1, "01"))], {}, {})
    assert plan.inodes_needed == 3 + 2


def test_a_complete_model_is_kept_as_its_check_says() -> None:
    check = ModelCheck(MODEL, sizes={"m/a": 7}, commit="c9")
    plan = plan_sync("c", {"m": check}, [], {}, {})
    assert (plan.bytes_to_fetch, plan.blobs) == (0, ())
    (model,) = plan.models
    assert (model.commit, model.bytes_total, model.bytes_to_fetch) == ("c9", 7, 0)
    assert [file.action for file in model.files] == [Action.KEEP]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5), st.sampled_from([None, *Action])), max_size=30),
    st.dictionaries(st.integers(0, 5).map(lambda n: f"sha256:{n:02}"), st.integers(0, 3)),
)
def test_totals_agree_with_the_files_that_are_planned(
    drawn: list[tuple[int, int, Action | None]], kept: dict[str, int]
) -> None:
    files = [(f"f{number}", 10 + content, f"{content:02}") for number, (_, content, _) in enumerate(drawn)]
    actions = {
        f"m/f{number}": action for number, (_, _, action) in enumerate(drawn) if action in (Action.KEEP, Action.ADOPT)
    }
    check = ModelCheck(MODEL, Reason.FILE_MISSING)
    plan = plan_sync("c", {"m": check}, [required(*files)], actions, kept)
    fetched = [file for model in plan.models for file in model.files if file.action is Action.FETCH]
    assert sorted(path for blob in plan.blobs for path in blob.paths) == sorted(file.path for file in fetched)
    assert plan.bytes_needed == sum(file.size for file in fetched) - sum(blob.kept for blob in plan.blobs)
    assert plan.bytes_to_fetch == sum(model.bytes_to_fetch for model in plan.models)
