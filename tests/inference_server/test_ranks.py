"""Several processes that serve together: how they start, and that none outlives or outwaits another."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from inference.membership import ALONE, Membership, membership_of
from inference.server.ranks import membership
from inference_server.harness import config_for
from inference_server.media import decode
from inference_server.process import ServerProcess
from inference_server.test_process import create, in_the_middle, video
from init_sync.shell.flags import WrongSettings
from support.waiting import eventually

KILLED = (
    "multitalk-server: error: rank 2 was ended by SIGKILL. The kernel does that where the pod reaches its memory limit"
)
Start = Callable[..., ServerProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[ServerProcess] = []

    def start_three(*flags: str) -> ServerProcess:
        started.append(ServerProcess(tmp_path, "--gpus", "3", "--device", "cpu", *flags))
        return started[-1]

    yield start_three
    for process in started:
        process.close()


def gone(pids: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)


def all_gone(pids: list[int]) -> None:
    eventually(lambda: gone(pids), "the other ranks have ended")


def test_a_rank_that_dies_while_idle_ends_the_server_with_exit_code_1_and_a_line_that_says_how(start: Start) -> None:
    process = start()
    first, second = process.ranks(2)
    process.wait_ready()
    os.kill(second, signal.SIGKILL)
    assert process.exit_code() == 1
    assert process.log[-1] == KILLED
    all_gone([first, second])


def test_a_rank_that_dies_while_the_model_is_loaded_does_the_same(start: Start) -> None:
    process = start("--base-dir", "slow")
    first, second = process.ranks(2)
    os.kill(second, signal.SIGKILL)
    assert process.exit_code() == 1
    assert process.log[-1] == KILLED
    all_gone([first, second])


def test_a_rank_that_dies_in_the_middle_of_a_video_fails_it_and_its_client_can_read_why(start: Start) -> None:
    process = start()
    first, second = process.ranks(2)
    with process.ready_client() as client:
        running = in_the_middle(process, client)
        waiting = create(client)
        os.kill(second, signal.SIGKILL)
        failed = eventually(
            lambda: video(client, running), "the running one fails", wanted=lambda got: got["status"] == "failed"
        )
        assert failed["error"]["code"] == "engine_lost"
    assert process.exit_code() == 1
    assert process.log[-1] == KILLED
    assert any("video interrupted" in line and waiting in line for line in process.log)
    all_gone([first, second])


def test_a_rank_that_cannot_load_fails_the_start_with_its_sentence(start: Start) -> None:
    process = start("--base-dir", "slow", "--audio-dir", "broken on 1")
    assert process.exit_code() == 1
    assert process.log[-1] == "multitalk-server: error: rank 1: multitalk.safetensors: tensor is missing"


def test_the_other_ranks_end_when_the_first_is_killed_while_they_start(start: Start) -> None:
    process = start("--base-dir", "slow")
    others = process.ranks(2)
    process.signal(signal.SIGKILL)
    all_gone(others)


def test_the_other_ranks_end_when_the_first_is_killed(start: Start) -> None:
    process = start()
    others = process.ranks(2)
    process.wait_for_log("following", len(others))
    process.signal(signal.SIGKILL)
    all_gone(others)


def test_on_sigterm_the_other_ranks_stay_until_the_video_is_finished_and_fetched(start: Start) -> None:
    """As with Ctrl-C in a terminal: all processes get the signal."""
    process = start()
    others = process.ranks(2)
    with process.ready_client() as client:
        process.wait_for_log("following", len(others))
        running = in_the_middle(process, client)
        for number in (signal.SIGTERM, signal.SIGINT):
            for pid in others:
                os.kill(pid, number)
        process.signal()
        process.wait_for_log("draining")
        assert client.get("/readyz").json()["state"] == "draining"
        assert not any(gone([pid]) for pid in others)
        process.allow_steps(2)
        eventually(lambda: video(client, running), "it is finished", wanted=lambda got: got["status"] == "completed")
        assert decode(client.get(f"/v1/videos/{running}/content").content).frames
    assert process.exit_code() == 0
    all_gone(others)


@pytest.mark.parametrize("gpus", [1, 2, "all"])
def test_a_process_that_has_a_place_may_have_any_number_that_fits(tmp_path: Path, gpus: int | str) -> None:
    assert membership(config_for(tmp_path, gpus=gpus), TORCHRUN).rank == 1


TORCHRUN = {
    "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost",
    "MASTER_PORT": "29500", "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "3",
}  # fmt: skip


def test_the_place_of_a_process_is_what_torchrun_says() -> None:
    assert membership_of(TORCHRUN) == Membership(1, 2, 1, "localhost", 29500, hosts_store=False, attempt="3")
    by_hand = {name: TORCHRUN[name] for name in ("WORLD_SIZE", "MASTER_PORT")} | {"RANK": "0"}
    assert membership_of(by_hand) == Membership(0, 2, 0, "127.0.0.1", 29500, hosts_store=True)
    assert membership_of({}) == membership_of({"RANK": "0", "WORLD_SIZE": "1"}) == ALONE


def test_a_new_process_reads_the_place_that_it_is_given() -> None:
    place = Membership(3, 4, 3, "127.0.0.1", 1234, parent=77)
    assert membership_of(place.environment()) == place


@pytest.mark.parametrize(
    ("changes", "environment", "problem"),
    [
        ({}, {"LOCAL_WORLD_SIZE": "1"}, "must be on one node"),
        ({}, {"RANK": ""}, "RANK: '' is not a whole number"),
        ({}, {"MASTER_PORT": "tcp://1"}, "MASTER_PORT: 'tcp://1' is not a whole number"),
        ({"gpus": 4}, {}, "--gpus 4: torchrun has started 2 processes"),
        ({"device": "cuda:1"}, {}, "--device cuda:1 is one device"),
        ({"device": "cuda:1", "gpus": 2}, {"WORLD_SIZE": ""}, "--device cuda:1 is one device"),
    ],
    ids=["several nodes", "no rank", "a port of Kubernetes", "another number", "one device", "one device, by flag"],
)
def test_places_that_cannot_work_are_refused_before_anything_is_loaded(
    tmp_path: Path, changes: dict[str, object], environment: dict[str, str], problem: str
) -> None:
    with pytest.raises(WrongSettings, match=problem):
        membership(config_for(tmp_path, **changes), TORCHRUN | environment)
