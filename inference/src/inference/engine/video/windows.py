"""Long videos as overlapping windows, and which voice features each video frame hears.

A window makes `frame_num` frames. Each but the first begins with the last `motion` frames of the one before, so it
adds `frame_num - motion`. Windows are added until the audio, or the wanted length, is covered; features beyond the end
of the audio are those before it, mirrored, and the frames made from them are cut off again.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CONTEXT = 2
"""Feature frames heard on either side of a video frame."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window: video frames `start` to `stop`, and the feature rows that each of them hears."""

    number: int
    start: int
    stop: int
    audio_frames: int

    @property
    def rows(self) -> tuple[tuple[int, ...], ...]:
        """Computed where they are asked for: for all windows of a long video they would take megabytes."""
        # Only a window that reaches the end of the audio looks beyond it; others repeat the last row.
        return heard_rows(self.start, self.stop, self.audio_frames, mirrored=self.stop >= self.audio_frames)


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """All windows of a video, and how many of the frames they make are kept."""

    windows: tuple[Window, ...]
    output_frames: int


def plan_windows(
    audio_frames: int, frame_num: int, motion: int, max_frames: int | None = None, drop_tail: int = 0
) -> WindowPlan:
    """Cover `audio_frames` rows of features, or the first `max_frames` of them.

    `drop_tail` cuts frames at the audio's end (the original drops 3); 0 gives a video exactly as long as the audio.
    """
    step = frame_num - motion
    wanted = audio_frames if max_frames is None else min(audio_frames, max_frames)
    count = 1 + max(0, -(-(wanted - frame_num) // step))
    starts = range(0, count * step, step)
    windows = tuple(Window(number, start, start + frame_num, audio_frames) for number, start in enumerate(starts))
    return WindowPlan(windows, min(wanted, audio_frames - drop_tail))


def heard_rows(start: int, stop: int, audio_frames: int, *, mirrored: bool) -> tuple[tuple[int, ...], ...]:
    """Rows that each frame from `start` to `stop` hears; beyond the end the audio runs back, or its last row stays."""
    return tuple(
        tuple(_row(frame + offset, audio_frames, mirrored) for offset in range(-CONTEXT, CONTEXT + 1))
        for frame in range(start, stop)
    )


def _row(index: int, audio_frames: int, mirrored: bool) -> int:
    if index < audio_frames:
        return max(0, index)
    if not mirrored:
        return audio_frames - 1
    # Walk back and forth over the audio as often as needed.
    folded = index % (2 * audio_frames)
    return folded if folded < audio_frames else 2 * audio_frames - 1 - folded


def gather(features: Tensor, window: Window) -> Tensor:
    """Pick a window's features: `[people, rows, ...]` to `[people, frames, 2 * CONTEXT + 1, ...]`."""
    return features[:, torch.tensor(window.rows, device=features.device)]
