"""A few of the trials of ``make reliability-sync``, and whether their judge would notice."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reliability.oracle import FOREIGN, Oracle, Outside, Violation, Wrong
from reliability.plan import Ground, Start, plan
from reliability.racer import CANARIES, Course, Prey, Race, racing
from reliability.summary import Summary
from reliability.sync_trials import Bench, bench, replay
from reliability.trial import Result
from support.linked_volume import flip, keeping_mtime
from support.waiting import eventually

TRIALS, BATCHES = 24, 4
RACED = [seed for seed in range(100) if plan(seed).race]
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


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_syncs_beside_a_racer_touch_nothing_outside_of_the_volume(place: Bench) -> None:
    summary = Summary()
    for seed in RACED[:8]:
        result = place.trial(seed)
        assert not result.wrong, replay(result)
        summary.add(result)
    assert summary.exchanged


def test_a_trial_is_a_function_of_its_seed() -> None:
    assert plan(7) == plan(7)
    assert len({str(plan(seed)) for seed in range(50)}) == 50
    assert {plan(seed).start for seed in range(50)} == set(Start)
    assert {plan(seed).ground for seed in range(50)} == set(Ground)
    assert {prey for seed in RACED if (race := plan(seed).race) for prey in race.prey} == set(Prey)


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


@pytest.fixture
def course(volume: Path) -> Iterator[Course]:
    made = Course.beside(volume)
    with made.made():
        yield made


def come_and_go(outside: Path) -> None:
    (outside / "new").touch()
    (outside / "new").unlink()


OUTSIDE: dict[str, Callable[[Path], object]] = {
    "created": lambda outside: (outside / "new").touch(),
    "created in a directory below": lambda outside: (outside / "tmp/new").mkdir(),
    "created and removed again": come_and_go,
    "written to": lambda outside: (outside / CANARIES[0]).write_text("ours"),
    "written to with what it held": lambda outside: (outside / CANARIES[0]).write_text(f"precious {CANARIES[0]}"),
    "removed": lambda outside: (outside / CANARIES[0]).unlink(),
    "renamed": lambda outside: (outside / CANARIES[0]).rename(outside / "other"),
    "replaced": lambda outside: (outside / CANARIES[1]).replace(outside / CANARIES[0]),
    "given another mode": lambda outside: (outside / CANARIES[0]).chmod(0o600),
    "given another name": lambda outside: (outside.parent / "other").hardlink_to(outside / CANARIES[0]),
}


class TestRacer:
    @pytest.mark.parametrize("change", OUTSIDE)
    def test_what_happens_outside_is_seen(self, change: str, course: Course) -> None:
        outside = Outside(course.outside)
        outside.judge()
        OUTSIDE[change](course.outside)
        with pytest.raises(Violation, match="something outside of the volume touched"):
            outside.judge()

    def test_a_program_that_follows_names_is_led_out(self, volume: Path, course: Course) -> None:
        """What 0.1.0 did: the racer wins, and the judge tells."""
        (volume / "base").mkdir()
        outside = Outside(course.outside)
        attempts = iter(range(1_000_000))
        with racing(Race((Prey.MODELS,), 0.0, 0.0, 0.0), course, 1, Counter()):
            while not list(course.outside.glob("mine-*")):
                (volume / f"base/mine-{next(attempts)}").touch()
        with pytest.raises(Violation, match="something outside of the volume touched"):
            outside.judge()

    @pytest.mark.parametrize("prey", Prey)
    def test_everything_is_back_in_its_place_at_the_end(self, prey: Prey, volume: Path, course: Course) -> None:
        places = ["base/a", ".modelcache/partial/a", ".modelcache/lock/1", ".modelcache/tmp/a", "../volume.reports/a"]
        for place in places:
            (volume / place).parent.mkdir(parents=True, exist_ok=True)
            (volume / place).write_text(place)
        before, exchanged = everything(volume.parent), Counter[str]()
        with racing(Race((prey,), 0.0, 0.0, 0.0), course, 1, exchanged):
            eventually(lambda: everything(volume.parent) != before, "something is exchanged")
        assert exchanged[prey]
        assert everything(volume.parent) == before


def everything(folder: Path) -> dict[str, str]:
    """Links are not followed; what goes while this looks is left out."""
    found = {}
    for path in folder.rglob("*"):
        with suppress(OSError):
            found[str(path)] = os.readlink(path) if path.is_symlink() else "" if path.is_dir() else path.read_text()
    return found


def test_a_failure_is_summed_up_and_says_how_to_see_it_again() -> None:
    summary = Summary()
    failed = Result(7, history=["spoiled it"], wrong=Wrong.LOST, what="bytes lost: it")
    summary.add(Result(6))
    summary.add(failed)
    assert "| ... with bytes lost | 1 |" in summary.markdown()
    assert summary.figures()["failedSeeds"] == [7]
    assert "make reliability-sync TRIALS=1 SEED=7" in replay(failed)
    assert "spoiled it" in replay(failed)
