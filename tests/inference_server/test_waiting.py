"""Retry-After: when a full queue has room again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from inference.generation import GenerationRequest, VideoPlan
from inference.server.jobs import CheckedRequest, Job
from inference.server.waiting import UNKNOWN_S, retry_after_s

PLAN = VideoPlan(832, 480, 100, 4.0)
WAITING = Job("video_1", CheckedRequest(GenerationRequest("p", Path("p"), ()), "m", PLAN), created_at=0.0)


@pytest.mark.parametrize(
    ("elapsed", "progress", "last_took_s", "wanted"),
    [
        (30.0, 50, 0.0, 33),
        (3600.0, 25, 100.0, 11881),
        (1.0, 99, 100.0, 1),
        (20.0, 0, 100.0, 80),
        (120.0, 0, 100.0, 100),
        (2.0, 0, 0.0, UNKNOWN_S),
    ],
    ids=["half", "an hour for a quarter", "nearly done", "no step yet", "slower than the last", "the first"],
)
def test_a_place_is_free_when_the_running_video_ends(
    elapsed: float, progress: int, last_took_s: float, wanted: int
) -> None:
    running = replace(WAITING.started(1000.0), progress=progress)
    assert retry_after_s(running, last_took_s, upload_s=8.0, now=1000.0 + elapsed) == wanted


def test_uploads_alone_hold_their_places_no_longer_than_they_may_stand_still() -> None:
    assert retry_after_s(None, 3600.0, upload_s=8.0, now=0.0) == 8
