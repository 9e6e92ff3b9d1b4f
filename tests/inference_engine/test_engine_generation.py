"""Whole generations on the tiny checkpoint: sound and picture files in, an MP4 out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from inference.engine import MultiTalkEngine
from inference.generation import (
    Box,
    Cancelled,
    GenerationRequest,
    InvalidInput,
    MediaInfo,
    Progress,
    Speaker,
    VoiceInfo,
)
from inference_engine.sounds import MakeVoice, write_sound

MakeRequest = Callable[..., GenerationRequest]


class Film:
    """A decoded MP4."""

    def __init__(self, path: Path) -> None:
        with av.open(str(path)) as container:
            self.seconds = (container.duration or 0) / 1e6
            self.video_codec = container.streams.video[0].codec.name
            self.audio_codec = container.streams.audio[0].codec.name
            self.rate = container.streams.video[0].average_rate
        with av.open(str(path)) as container:
            self.frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        with av.open(str(path)) as container:
            self.sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


def run(engine: MultiTalkEngine, request: GenerationRequest, output: Path) -> list[Progress]:
    seen: list[Progress] = []
    engine.generate(request, output, on_progress=seen.append, cancelled=lambda: False)
    return seen


def frames_digest(path: Path) -> str:
    return hashlib.sha256(Film(path).frames.tobytes()).hexdigest()


def test_one_voice_and_a_picture_become_a_film_as_long_as_the_voice(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path
) -> None:
    output = tmp_path / "film.mp4"
    run(engine, make_request(speakers=(Speaker(make_voice(1.0)),)), output)
    film = Film(output)
    assert film.frames.shape == (25, 48, 96, 3)
    assert film.rate == 25
    assert (film.video_codec, film.audio_codec) == ("h264", "aac")
    assert film.seconds == pytest.approx(1.0, abs=1e-3)
    assert film.frames.std() > 1
    # The sound is the voice as it was sent, from the first sample on.
    assert np.abs(film.sound[:16_000]).max() == pytest.approx(0.3, abs=0.03)
    assert np.abs(film.sound[:400]).max() > 0.01


@pytest.mark.parametrize("rate", [8_000, 44_100])
@pytest.mark.parametrize("seconds", [0.05, 0.33, 0.37, 0.961])
def test_the_film_covers_every_started_frame_of_the_voice(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path, rate: int, seconds: float
) -> None:
    output = tmp_path / "film.mp4"
    run(engine, make_request(speakers=(Speaker(make_voice(seconds, rate=rate)),), steps=1), output)
    film = Film(output)
    samples = round(seconds * rate) * 16_000 / rate
    assert len(film.frames) == -(-samples // 640)
    assert film.seconds == pytest.approx(len(film.frames) / 25, abs=1e-3)


def test_seconds_bound_the_length(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path
) -> None:
    output = tmp_path / "film.mp4"
    run(engine, make_request(speakers=(Speaker(make_voice(2.0)),), seconds=0.6), output)
    film = Film(output)
    assert len(film.frames) == 15
    assert film.seconds == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize(("mode", "frames"), [("para", 20), ("add", 32)])
def test_two_voices_of_unequal_length_are_padded(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path, mode: str, frames: int
) -> None:
    speakers = (Speaker(make_voice(0.8)), Speaker(make_voice(0.48, pitch=330)))
    run(engine, make_request(speakers=speakers, audio_mode=mode), tmp_path / "film.mp4")
    assert len(Film(tmp_path / "film.mp4").frames) == frames


def test_boxes_decide_who_speaks(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path
) -> None:
    voices = make_voice(0.3), make_voice(0.3, pitch=330)
    left, right = Box(10, 5, 80, 70), Box(10, 90, 80, 155)
    for name, boxes in (("a", (left, right)), ("b", (right, left))):
        speakers = tuple(Speaker(voice, box) for voice, box in zip(voices, boxes, strict=True))
        run(engine, make_request(speakers=speakers), tmp_path / name)
    assert frames_digest(tmp_path / "a") != frames_digest(tmp_path / "b")


def test_a_box_decides_who_speaks_with_one_voice(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path
) -> None:
    boxes = {"left": Box(10, 5, 80, 70), "right": Box(10, 90, 80, 155), "all": Box(0, 0, 90, 160), "none": None}
    for name, box in boxes.items():
        run(engine, make_request(speakers=(Speaker(make_voice(0.3), box),)), tmp_path / name)
    left, right, everything, none = (frames_digest(tmp_path / name) for name in boxes)
    assert len({left, right, none}) == 3
    assert everything == none


def test_a_silent_microphone_moves_nothing(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path
) -> None:
    room = write_sound(tmp_path / "room.wav", np.random.default_rng(0).standard_normal(12_800) * 0.001, 16_000)
    films = []
    for other in (None, room, make_voice(0.8, pitch=330)):
        run(engine, make_request(speakers=(Speaker(make_voice(0.8)), Speaker(other))), tmp_path / "film.mp4")
        films.append(Film(tmp_path / "film.mp4").frames.astype(float))
    quiet, noisy, talking = (float(np.abs(film - films[0]).mean()) for film in films)
    assert quiet == 0
    assert noisy < 0.5  # x264 does not repeat every frame at this size
    assert talking > 2


def test_what_is_planned_is_what_is_made(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path
) -> None:
    request = make_request(speakers=(Speaker(make_voice(0.5)), Speaker(make_voice(0.3, pitch=330))), audio_mode="add")
    plan = engine.plan_video(request, MediaInfo(160, 90, (VoiceInfo(0.5), VoiceInfo(0.3))))
    seen = run(engine, request, tmp_path / "film.mp4")
    assert Film(tmp_path / "film.mp4").frames.shape == (plan.frames, plan.height, plan.width, 3)
    assert (plan.frames, plan.seconds) == (20, 0.8)
    assert {progress.windows for progress in seen if progress.stage == "sampling"} == {plan.windows}
    assert plan.windows > 1


def test_a_seed_repeats_and_another_differs(engine: MultiTalkEngine, make_request: MakeRequest, tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        run(engine, make_request(seed=seed), tmp_path / name)
    digests = [frames_digest(tmp_path / name) for name in "abc"]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("text_guidance", [5.0, 1.0])
def test_caching_repeats_and_leaves_nothing_for_the_next_generation(
    engine: MultiTalkEngine, make_request: MakeRequest, tmp_path: Path, text_guidance: float
) -> None:
    cached = {"steps": 8, "teacache_threshold": 1e9, "text_guidance": text_guidance}
    plain = {"steps": 8, "text_guidance": text_guidance}
    for name, fields in (("a", plain), ("b", cached), ("c", plain), ("d", cached)):
        run(engine, make_request(**fields), tmp_path / name)
    digests = [frames_digest(tmp_path / name) for name in "abcd"]
    assert digests[0] == digests[2] != digests[1] == digests[3]


@pytest.mark.parametrize("text_guidance", [5.0, 1.0])
def test_projected_guidance_makes_another_film(
    engine: MultiTalkEngine, make_request: MakeRequest, tmp_path: Path, text_guidance: float
) -> None:
    for name, apg in (("plain", False), ("apg", True)):
        run(engine, make_request(use_apg=apg, text_guidance=text_guidance, steps=3), tmp_path / name)
    assert frames_digest(tmp_path / "plain") != frames_digest(tmp_path / "apg")


def test_progress_walks_through_every_step_of_every_window(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path
) -> None:
    seen = run(engine, make_request(speakers=(Speaker(make_voice(0.6)),), steps=3), tmp_path / "film.mp4")
    # 15 frames: a window of 9, and two that add 4 each.
    sampled = [(p.window, p.step) for p in seen if p.stage == "sampling"]
    assert sampled == [(window, step) for window in range(3) for step in range(3)]
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert (seen[0].stage, seen[0].fraction, seen[-1].fraction) == ("reading", 0.0, 1.0)


@pytest.mark.parametrize("after", [1, 3, 9])
def test_a_cancelled_generation_stops_at_the_next_step_and_leaves_no_temporary_file(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path, after: int
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    seen: list[Progress] = []
    with pytest.raises(Cancelled):
        engine.generate(
            make_request(speakers=(Speaker(make_voice(1.0)),), steps=4),
            folder / "film.mp4",
            on_progress=seen.append,
            cancelled=lambda: len(seen) >= after,
        )
    assert len(seen) <= after + 1
    assert not list(folder.glob(".*"))


def test_an_engine_works_on_after_a_cancellation(
    engine: MultiTalkEngine, make_request: MakeRequest, tmp_path: Path
) -> None:
    run(engine, make_request(), tmp_path / "before")
    with pytest.raises(Cancelled):
        engine.generate(make_request(), tmp_path / "x", on_progress=lambda _: None, cancelled=lambda: True)
    run(engine, make_request(), tmp_path / "after")
    assert frames_digest(tmp_path / "before") == frames_digest(tmp_path / "after")


def test_an_existing_film_stays_when_a_new_one_fails(
    engine: MultiTalkEngine, make_request: MakeRequest, tmp_path: Path
) -> None:
    output = tmp_path / "film.mp4"
    output.write_bytes(b"the film before")
    calls = iter([False] * 2)
    with pytest.raises(Cancelled):
        engine.generate(make_request(), output, on_progress=lambda _: None, cancelled=lambda: next(calls, True))
    assert output.read_bytes() == b"the film before"


def make_bad_inputs(tmp_path: Path) -> dict[str, Path]:
    text = tmp_path / "text.wav"
    text.write_text("no sound at all")
    return {"text": text, "absent": tmp_path / "absent"}


@pytest.mark.parametrize("kind", ["text", "absent"])
def test_a_voice_that_cannot_be_decoded_is_named(
    engine: MultiTalkEngine, make_request: MakeRequest, make_voice: MakeVoice, tmp_path: Path, kind: str
) -> None:
    bad = make_bad_inputs(tmp_path)[kind]
    with pytest.raises(InvalidInput) as caught:
        run(engine, make_request(speakers=(Speaker(make_voice(0.3)), Speaker(bad))), tmp_path / "film.mp4")
    assert caught.value.field == "audio"


@pytest.mark.parametrize("kind", ["text", "absent"])
def test_a_picture_that_cannot_be_decoded_is_named(
    engine: MultiTalkEngine, make_request: MakeRequest, tmp_path: Path, kind: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(engine, make_request(image=make_bad_inputs(tmp_path)[kind]), tmp_path / "film.mp4")
    assert caught.value.field == "input_reference"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"prompt": " "}, "prompt"),
        ({"steps": 0}, "steps"),
        ({"seconds": 0.0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"shift": -1.0}, "shift"),
        ({"text_guidance": float("inf")}, "text_guidance"),
        ({"resolution": "multitalk-1080"}, "size"),
        ({"audio_mode": "both"}, "audio_mode"),
        ({"speakers": ()}, "audio"),
        ({"speakers": (Speaker(None),)}, "seconds"),
    ],
)
def test_values_that_make_no_video_are_named(
    engine: MultiTalkEngine, make_request: MakeRequest, tmp_path: Path, fields: dict[str, object], named: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(engine, make_request(**fields), tmp_path / "film.mp4")
    assert caught.value.field == named


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ((Box(0, 0, 91, 50), Box(0, 60, 90, 160)), "of person 1"),
        ((Box(0, 0, 90, 50), Box(0, 60, 90, 161)), "of person 2"),
        ((Box(0, -1, 90, 50), Box(0, 60, 90, 160)), "of person 1"),
        ((Box(50, 0, 50, 50), Box(0, 60, 90, 160)), "of person 1"),
        ((Box(0, 0, 90, 50), None), "both"),
        ((Box(0, 0, 1, 1), Box(0, 60, 90, 160)), "of person 1"),
    ],
)
def test_boxes_that_hold_no_person_are_named(
    engine: MultiTalkEngine,
    make_request: MakeRequest,
    make_voice: MakeVoice,
    tmp_path: Path,
    boxes: tuple[Box | None, ...],
    words: str,
) -> None:
    speakers = tuple(Speaker(make_voice(0.3), box) for box in boxes)
    with pytest.raises(InvalidInput, match=words) as caught:
        run(engine, make_request(speakers=speakers), tmp_path / "film.mp4")
    assert caught.value.field == "box"
