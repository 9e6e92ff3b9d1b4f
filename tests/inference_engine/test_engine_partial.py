"""A generation that ends early leaves the windows that it has made, as a video that is shorter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest

from inference.engine import MultiTalkEngine
from inference.generation import Cancelled, GenerationRequest, Progress, Speaker
from inference_engine.sounds import MakeVoice

Request = Callable[..., GenerationRequest]


class OutOfMemory(Exception):
    """As a device reports it."""


def frames_and_sound(video: Path) -> tuple[int, float]:
    with av.open(str(video)) as container:
        frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(video)) as container:
        return frames, sum(each.samples / each.sample_rate for each in container.decode(audio=0))


def end_in(window: int, error: Exception) -> Callable[[Progress], None]:
    def on_progress(progress: Progress) -> None:
        if progress.window == window and progress.stage == "sampling":
            raise error

    return on_progress


@pytest.mark.parametrize("window", [1, 2])
def test_an_error_in_a_later_window_leaves_those_before_it_with_their_sound(
    engine: MultiTalkEngine, make_request: Request, make_voice: MakeVoice, tmp_path: Path, window: int
) -> None:
    request = make_request(speakers=(Speaker(make_voice(1.0)),), steps=1)
    output = tmp_path / "out" / "video.mp4"
    output.parent.mkdir()
    with pytest.raises(OutOfMemory):
        engine.generate(request, output, on_progress=end_in(window, OutOfMemory()), cancelled=lambda: False)
    geometry = engine._geometry
    made = geometry.frame_num + (window - 1) * (geometry.frame_num - geometry.motion_frames)
    frames, sound = frames_and_sound(output)
    assert frames == made
    assert sound == pytest.approx(made / 25, abs=0.07)
    assert list(output.parent.iterdir()) == [output]


def test_a_cancelled_generation_leaves_what_was_made_to_its_caller(
    engine: MultiTalkEngine, make_request: Request, make_voice: MakeVoice, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    request = make_request(speakers=(Speaker(make_voice(1.0)),), steps=1)
    with pytest.raises(Cancelled):
        engine.generate(
            request,
            tmp_path / "video.mp4",
            on_progress=seen.append,
            cancelled=lambda: bool(seen) and seen[-1].window == 1,
        )
    assert frames_and_sound(tmp_path / "video.mp4")[0] == engine._geometry.frame_num


def test_an_error_in_the_first_window_leaves_nothing(
    engine: MultiTalkEngine, make_request: Request, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "video.mp4"
    output.parent.mkdir()
    with pytest.raises(OutOfMemory):
        engine.generate(make_request(), output, on_progress=end_in(0, OutOfMemory()), cancelled=lambda: False)
    assert list(output.parent.iterdir()) == []
