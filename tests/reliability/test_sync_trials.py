"""A few of the trials of ``make reliability-sync``, and whether their judge would notice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from reliability.oracle import FOREIGN, Oracle, Violation, Wrong
from reliability.plan import Ground, Start, plan
from reliability.summary import Summary
from reliability.sync_trials import Bench, bench, replay
from reliability.trial import Result
from support.site import flip, keeping_mtime

TRIALS, BATCHES = 48, 8
TRUTH = {"base/a.bin": b"a" * 5000, "addon/b.bin": b"b" * 5000}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench(tmp_path_factory.mktemp("trials")) as made:
        yield made


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_syncs_that_are_struck_on_spoiled_volumes_from_a_bad_hub_keep_every_promise(place: Bench, batch: int) -> None:
    summary = Summary()
    for seed in range(batch, TRIALS, BATCHES):
        result = place.trial(seed)
        assert not result.wrong, replay(result)
        summary.add(result)
    assert summary.struck, "some process must be struck for this to mean anything"
    assert summary.fetched_bytes


def test_a_trial_is_a_function_of_its_seed() -> None:
    assert plan(7) == plan(7)
    assert len({str(plan(seed)) for seed in range(50)}) == 50
    assert {plan(seed).start for seed in range(50)} == set(Start)
    assert {plan(seed).ground for seed in range(50)} == set(Ground)


@pytest.fixture
def oracle(volume: Path) -> Oracle:
    judge = Oracle(volume, TRUTH)
    judge.plant()
    for path, content in TRUTH.items():
        (volume / path).parent.mkdir(parents=True, exist_ok=True)
        (volume / path).write_bytes(content)
    judge.look()
    return judge


def wrong(oracle: Oracle) -> Wrong:
    with pytest.raises(Violation) as caught:
        oracle.judge()
    return caught.value.wrong


class TestOracle:
    def test_a_volume_as_it_should_be_is_complete(self, oracle: Oracle) -> None:
        oracle.must_be_complete(oracle.judge(), "somebody", deep=True)

    def test_half_a_file_under_a_final_name_is_seen(self, oracle: Oracle) -> None:
        (oracle.volume / "base/a.bin").write_bytes(TRUTH["base/a.bin"][:100])
        assert wrong(oracle) is Wrong.STRANGE

    def test_a_right_file_that_is_gone_is_seen(self, oracle: Oracle) -> None:
        (oracle.volume / "base/a.bin").unlink()
        assert wrong(oracle) is Wrong.LOST

    def test_a_right_file_that_was_written_again_is_seen(self, oracle: Oracle) -> None:
        (oracle.volume / "copy").write_bytes(TRUTH["base/a.bin"])
        (oracle.volume / "copy").replace(oracle.volume / "base/a.bin")
        assert wrong(oracle) is Wrong.LOST

    def test_a_damaged_file_that_vanished_is_seen(self, oracle: Oracle) -> None:
        flip(oracle.volume / "base/a.bin")
        oracle.look()
        (oracle.volume / "base/a.bin").unlink()
        assert wrong(oracle) is Wrong.LOST

    @pytest.mark.parametrize("path", FOREIGN)
    def test_a_foreign_file_that_was_touched_is_seen(self, oracle: Oracle, path: str) -> None:
        os.utime(oracle.volume / path, ns=(1, 1))
        assert wrong(oracle) is Wrong.FOREIGN

    def test_a_false_complete_is_seen(self, oracle: Oracle) -> None:
        flip(oracle.volume / "base/a.bin")
        oracle.look()
        with pytest.raises(Violation, match="false complete"):
            oracle.must_be_complete(oracle.judge(), "somebody", deep=False)

    def test_only_a_deep_run_must_see_what_keeps_size_and_time(self, oracle: Oracle) -> None:
        path = oracle.volume / "base/a.bin"
        before = path.stat()
        keeping_mtime(flip)(path)
        oracle.spoiled(path, before)
        oracle.look()
        oracle.must_be_complete(oracle.judge(), "somebody", deep=False)
        with pytest.raises(Violation, match="false complete"):
            oracle.must_be_complete(oracle.judge(), "somebody", deep=True)


def test_a_failure_is_summed_up_and_says_how_to_see_it_again() -> None:
    summary = Summary()
    failed = Result(7, history=["spoiled it"], wrong=Wrong.LOST, what="bytes lost: it")
    summary.add(Result(6))
    summary.add(failed)
    assert "| ... with bytes lost | 1 |" in summary.markdown()
    assert summary.figures()["failedSeeds"] == [7]
    assert "make reliability-sync TRIALS=1 SEED=7" in replay(failed)
    assert "spoiled it" in replay(failed)
