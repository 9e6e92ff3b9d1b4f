"""What a sync says for every state of the volume against every state of the hub, and how often it knocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.hub import Fault, LocalHub, RepoBuilder
from support.outages import HURRY, IN_TIME_S, at_most, receipts
from support.sync import run_sync, tree

WEIGHTS = "small/model.safetensors"


@dataclass(frozen=True, slots=True)
class Outage:
    """A state of the hub, and what a sync that needs it must say."""

    arrange: Callable[[LocalHub], None]
    exit_code: int
    reasons: tuple[str, ...]
    requests: range
    """2 s of patience with a backoff that doubles are six attempts, silences of 1 s are three."""


def answering(status: int) -> Callable[[LocalHub], None]:
    return lambda hub: hub.add_fault(Fault("status", status=status))


OUTAGES = {
    "refused": Outage(lambda hub: hub.stop(), 1, ("HubUnreachable",), range(1)),
    "401": Outage(answering(401), 2, ("GatedRepo", "RepoNotFound"), range(1, 2)),
    "403": Outage(answering(403), 2, ("GatedRepo",), range(1, 2)),
    "429": Outage(answering(429), 1, ("RateLimited",), range(3, 9)),
    "500": Outage(answering(500), 1, ("HubUnreachable",), range(3, 9)),
    "stalled": Outage(lambda hub: hub.add_fault(Fault("stall")), 1, ("Stalled",), range(2, 5)),
}
ALL_STATES = {"up": Outage(lambda hub: None, 0, (), range(1)), **OUTAGES}


@pytest.fixture
def complete(spec: dict[str, Any], volume: Path, hub: LocalHub) -> dict[str, bytes]:
    """The volume after a first sync; its files."""
    first = run_sync(spec, volume, hub)
    assert first.returncode == 0, first.stderr
    hub.reset_log()
    return tree(volume)


@pytest.fixture
def partial(complete: dict[str, bytes], volume: Path) -> dict[str, bytes]:
    """The volume with its largest file gone; the files that are left."""
    (volume / WEIGHTS).unlink()
    return {path: data for path, data in complete.items() if path != WEIGHTS}


@pytest.mark.parametrize("state", ALL_STATES)
def test_a_complete_volume_starts_without_a_request_whatever_the_hub_does(
    state: str, complete: dict[str, bytes], spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    ALL_STATES[state].arrange(hub)

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 0, result.stderr
    assert "All models already complete!" in result.stdout
    assert result.report["complete"] is True
    assert result.reasons() == {"small": None}
    assert hub.requests == []
    assert tree(volume) == complete


def test_a_partial_volume_fetches_what_is_missing_and_nothing_else(
    partial: dict[str, bytes], spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 0, result.stderr
    assert {request.file for request in hub.requests} == {"model.safetensors"}
    assert hub.count("model_info") == 0, "the commit is pinned and listed on the volume"
    assert hub.bytes_sent == 1 << 20 == result.report["bytesFetched"]
    assert tree(volume).keys() == {*partial, WEIGHTS}


def given_up(spec: dict[str, Any], volume: Path, hub: LocalHub, outage: Outage) -> None:
    """A sync during the outage ends in time, with its code and reason, and nothing was fetched."""
    with at_most(IN_TIME_S, "giving up"):
        result = run_sync(spec, volume, hub, *HURRY)
    assert result.returncode == outage.exit_code
    assert result.report["complete"] is False
    assert result.reasons()["small"] in outage.reasons
    assert len(hub.requests) in outage.requests
    assert hub.bytes_sent == 0


@pytest.mark.parametrize("state", OUTAGES)
def test_a_partial_volume_is_refused_with_the_reason_while_the_hub_is_away(
    state: str, partial: dict[str, bytes], spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    outage = OUTAGES[state]
    outage.arrange(hub)

    given_up(spec, volume, hub, outage)
    assert tree(volume) == partial, "what was whole stays, and nothing else appears"


@pytest.mark.parametrize("state", OUTAGES)
def test_a_new_volume_is_refused_with_the_reason_while_the_hub_is_away(
    state: str, spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    outage = OUTAGES[state]
    outage.arrange(hub)

    given_up(spec, volume, hub, outage)
    assert tree(volume) == {}
    assert receipts(volume) == []


def test_the_refusal_is_one_line_on_stderr_that_names_the_reason_and_the_hub(
    partial: dict[str, bytes], spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    hub.stop()

    result = run_sync(spec, volume, hub, *HURRY)

    assert len(result.stderr.splitlines()) == 1
    assert "HubUnreachable" in result.stderr
    assert hub.endpoint.removeprefix("http://") in result.stderr


@pytest.mark.parametrize("state", OUTAGES)
def test_after_an_outage_the_same_command_completes_the_volume(
    state: str, partial: dict[str, bytes], spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    OUTAGES[state].arrange(hub)
    refused = run_sync(spec, volume, hub, "--stall-timeout", "0.5", "--give-up-after", "0.5")
    assert refused.returncode != 0
    hub.clear_faults()
    hub.start()

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 0, result.stderr
    assert result.report["complete"] is True
    assert tree(volume).keys() == {*partial, WEIGHTS}


def test_a_volume_whose_receipt_is_gone_is_adopted_without_fetching_while_the_files_are_refused(
    complete: dict[str, bytes], spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    for receipt in receipts(volume):
        receipt.unlink()
    hub.stop()

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 0, result.stderr
    assert tree(volume) == complete
    assert len(receipts(volume)) == 1


def test_a_damaged_volume_is_not_taken_for_complete_when_the_hub_is_away(
    complete: dict[str, bytes], spec: dict[str, Any], volume: Path, hub: LocalHub
) -> None:
    with (volume / WEIGHTS).open("r+b") as file:
        file.truncate(1000)
    hub.stop()

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert result.report["complete"] is False
    assert f"{WEIGHTS}: 1,000 bytes instead of 1,048,576" in result.stdout


def test_two_models_and_one_of_them_whole_leaves_the_whole_one_complete_in_the_report(
    complete: dict[str, bytes], spec: dict[str, Any], volume: Path, hub: LocalHub, tmp_path: Path
) -> None:
    RepoBuilder(tmp_path / "hub", "owner/other").commit({"config.json": b"{}"})
    spec["spec"]["models"].append({"name": "other", "repo": "owner/other", "path": "other"})
    hub.stop()

    result = run_sync(spec, volume, hub, *HURRY)

    assert result.returncode == 1
    assert result.reasons() == {"small": None, "other": "HubUnreachable"}
    assert not (volume / "other").exists()
