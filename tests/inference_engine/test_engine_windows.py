"""How a long video is cut into windows, and what each of its frames hears."""

from __future__ import annotations

import pytest
import torch

from inference.engine.known_frames import known_mask, latent_frames
from inference.engine.video.windows import gather, plan_windows


@pytest.mark.parametrize("audio", [1, 2, 40, 80, 81, 82, 137, 138, 500])
def test_a_video_is_exactly_as_long_as_its_audio(audio: int) -> None:
    plan = plan_windows(audio, 81, 25)
    made = 81 + 56 * (len(plan.windows) - 1)
    assert plan.output_frames == audio
    assert made - 56 < max(audio, 26) <= made


@pytest.mark.parametrize("audio", [1, 3, 30, 81, 200])
def test_every_kept_frame_hears_the_audio_around_it(audio: int) -> None:
    for window in plan_windows(audio, 81, 25).windows:
        for frame, rows in zip(range(window.start, window.stop), window.rows, strict=True):
            assert all(0 <= row < audio for row in rows)
            if frame < audio:
                assert rows[2] == frame
                assert rows[1] == max(0, frame - 1)


def test_frames_beyond_the_audio_hear_it_backwards() -> None:
    rows = plan_windows(5, 13, 5).windows[0].rows
    assert [row[2] for row in rows] == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0, 0, 1, 2]


def test_windows_overlap_by_the_motion_frames() -> None:
    windows = plan_windows(200, 81, 25).windows
    assert [(window.start, window.stop) for window in windows] == [(0, 81), (56, 137), (112, 193), (168, 249)]


def test_a_bound_saves_windows() -> None:
    plan = plan_windows(300, 81, 25, max_frames=120)
    assert (len(plan.windows), plan.output_frames) == (2, 120)


def test_gathering_keeps_people_apart() -> None:
    features = torch.arange(20.0).reshape(2, 10, 1)
    window = plan_windows(10, 9, 5).windows[1]
    picked = gather(features, window)
    assert picked.shape == (2, 9, 5, 1)
    assert torch.equal(picked[1] - picked[0], torch.full((9, 5, 1), 10.0))


@pytest.mark.parametrize(("frames", "latents"), [(1, 1), (5, 2), (25, 7), (81, 21)])
def test_latents_stand_for_one_frame_and_then_for_four(frames: int, latents: int) -> None:
    assert latent_frames(frames) == latents


def test_the_mask_marks_known_frames_four_to_a_latent() -> None:
    mask = known_mask(5, 13, torch.zeros(16, 4, 1, 1))[:, :, 0, 0]
    assert mask.T.tolist() == [[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 0]]
