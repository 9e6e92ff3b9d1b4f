"""A form made into a `CheckedRequest`, or refused: counts the people, decodes the files, asks the engine for its plan.

Errors are `ApiError`s with these codes: missing_parameter, unknown_parameter, duplicate_parameter, invalid_value,
model_not_found, invalid_image, invalid_video, invalid_audio, too_many_people, too_long, box_outside_image,
box_too_small, and invalid_input for what only this engine or this device refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from inference.generation import (
    MAX_SPEAKERS,
    AudioMode,
    Box,
    GenerationRequest,
    InvalidInput,
    MediaInfo,
    Sampling,
    Speaker,
    VideoPlan,
)
from inference.server.errors import ApiError, invalid
from inference.server.fields import RESOLUTIONS, Size, read_fields
from inference.server.jobs import CheckedRequest
from inference.server.multipart import Form
from inference.server.prober import MediaFiles, Prober
from inference.server.references import unwrap

SILENT_SECONDS = 4.0
"""Length of a video without voice and without `seconds`: the default of OpenAI's API."""

Plan = Callable[[GenerationRequest, MediaInfo], VideoPlan]
"""The engine's `plan_video`."""


@dataclass(frozen=True, slots=True)
class RequestRules:
    """What this server makes."""

    model: str
    sampling: Sampling
    clips: bool = False
    """Whether `input_reference` may be a clip; known once the weights are loaded."""


async def read_request(form: Form, rules: RequestRules, prober: Prober, plan: Plan) -> CheckedRequest:
    """Check everything that can be checked without the device."""
    fields, sampling = read_fields(form.texts, rules.sampling)
    _require_model(fields.model, rules.model)
    files = await run_in_threadpool(_choose_files, form, fields.audio_mode)
    silent = not any(files.voices)
    boxes = _read_boxes(fields.box, len(files.voices))
    try:
        media = await prober.probe(files, clips=rules.clips)
        generation = GenerationRequest(
            prompt=fields.prompt,
            image=files.reference,
            speakers=tuple(Speaker(voice, box) for voice, box in zip(files.voices, boxes, strict=True)),
            negative_prompt=fields.negative_prompt,
            audio_mode=fields.audio_mode,
            resolution=RESOLUTIONS[fields.size] if fields.size else "multitalk-480",
            seconds=fields.seconds or SILENT_SECONDS if silent else fields.seconds,
            sampling=sampling,
        )
        planned = plan(generation, media)
    except InvalidInput as error:
        raise invalid(error.field, error.code, f"{error.message.removesuffix('.')}.") from error
    _check_orientation(fields.size, planned)
    return CheckedRequest(generation, model=rules.model, plan=planned)


def _check_orientation(size: Size | None, planned: VideoPlan) -> None:
    """The shape is the picture's. A size of the other orientation cannot be meant."""
    if size is None:
        return
    width, height = map(int, size.split("x"))
    if (width > height and planned.width < planned.height) or (width < height and planned.width > planned.height):
        asked, made = ("landscape", "portrait") if width > height else ("portrait", "landscape")
        text = f"{size} is {asked}, and the picture is {made}; use {height}x{width}, or turn or crop the picture."
        raise invalid("size", "invalid_value", text)


def _require_model(asked: str | None, served: str) -> None:
    if asked not in (None, served):
        message = f"model: {asked!r} is not served here; use {served!r} or leave the field out."
        raise ApiError(404, "model_not_found", message, param="model")


def _choose_files(form: Form, mode: AudioMode) -> MediaFiles:
    pictures = form.files.get("input_reference", [])
    if not pictures:
        raise invalid("input_reference", "missing_parameter", "is required: the picture with the people who talk.")
    if len(pictures) > 1:
        raise invalid("input_reference", "duplicate_parameter", "is given more than once.")
    sent = [path for path in form.files.get("audio", []) if path.stat().st_size]  # a browser's empty part is no file
    if len(sent) > MAX_SPEAKERS:
        raise invalid("audio", "too_many_people", f"{len(sent)} voices; at most {MAX_SPEAKERS} people can talk.")
    voices = [None if _is_none(path) else path for path in sent] or [None]
    if len(voices) == MAX_SPEAKERS and mode == "add" and None in voices:
        raise invalid(
            "audio_mode", "invalid_value", "add puts one voice after the other; use para with a silent person."
        )
    files = MediaFiles(pictures[0], tuple(voices))
    for field, path in files.by_field():
        unwrap(path, field)
    return files


def _is_none(path: Path) -> bool:
    return path.stat().st_size <= 8 and path.read_bytes().strip().lower() == b"none"


def _read_boxes(text: str | None, people: int) -> list[Box | None]:
    if text is None:
        return [None] * people
    try:
        numbers = [float(part) for part in text.replace("[", "").replace("]", "").split(",")]
    except ValueError as error:
        raise invalid("box", "invalid_value", "must be numbers: top,left,bottom,right for each person.") from error
    if len(numbers) != 4 * people:
        raise invalid("box", "invalid_value", f"has {len(numbers)} numbers; {people} people need {4 * people}.")
    return [Box(*numbers[start : start + 4]) for start in range(0, len(numbers), 4)]
