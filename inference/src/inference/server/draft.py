"""A form made into a `Draft`, or refused: files are looked into, people are counted, boxes are laid on the picture.

Runs in a worker thread, since pictures and voices are decoded. Errors are `ApiError`s with these codes:
missing_parameter, unknown_parameter, invalid_value, model_not_found, invalid_image, invalid_audio, too_many_people,
too_long, box_outside_image.
"""

from __future__ import annotations

import base64
import binascii
import wave
from dataclasses import dataclass
from pathlib import Path

from inference.generation import AudioMode, Box, GenerationRequest, Speaker
from inference.server.errors import ApiError, invalid
from inference.server.fields import RESOLUTIONS, VideoFields, read_fields
from inference.server.jobs import Draft
from inference.server.multipart import Form
from inference.server.probe import Picture, Unusable, picture, voice_seconds

MAX_PEOPLE = 2
SILENT_SECONDS = 4.0
"""Length of a video without voice and without `seconds`: the default of OpenAI's API."""

_SILENCE_RATE = 16_000


@dataclass(frozen=True, slots=True)
class DraftRules:
    """What this server is willing to make."""

    model: str
    max_seconds: float
    max_pixels: float


@dataclass(frozen=True, slots=True)
class _Voice:
    path: Path
    seconds: float
    """0 for a person who keeps silent, until the silence is written."""


def read_draft(form: Form, folder: Path, rules: DraftRules) -> Draft:
    """Check everything that can be checked before the device is asked."""
    fields = read_fields(form.texts)
    _require_model(fields.model, rules.model)
    image, shown = _read_picture(form.files.get("input_reference", []), rules)
    voices = _read_voices(form.files.get("audio", []), fields)
    seconds = _length(voices, fields, rules)
    voices = [_with_silence(voice, number, folder, seconds) for number, voice in enumerate(voices)]
    boxes = _read_boxes(fields.box, len(voices), shown)
    size = fields.size or ("832x480" if shown.width >= shown.height else "480x832")
    request = GenerationRequest(
        prompt=fields.prompt,
        image=image,
        speakers=tuple(Speaker(voice.path, box) for voice, box in zip(voices, boxes, strict=True)),
        negative_prompt=fields.negative_prompt,
        audio_mode=fields.audio_mode,
        resolution=RESOLUTIONS[size],
        seconds=fields.seconds,
        steps=fields.steps,
        seed=fields.seed,
        text_guidance=fields.text_guidance,
        audio_guidance=fields.audio_guidance,
        shift=fields.shift,
        use_apg=fields.use_apg,
        teacache_threshold=fields.teacache_threshold,
    )
    return Draft(request, model=rules.model, size=size, seconds=seconds)


def _require_model(asked: str | None, served: str) -> None:
    if asked not in (None, served):
        message = f"model: {asked!r} is not served here; use {served!r} or leave the field out."
        raise ApiError(404, "model_not_found", message, param="model")


def _read_picture(paths: list[Path], rules: DraftRules) -> tuple[Path, Picture]:
    if not paths:
        raise invalid("input_reference", "missing_parameter", "is required: the picture with the people who talk.")
    if len(paths) > 1:
        raise invalid("input_reference", "duplicate_parameter", "is given more than once.")
    try:
        return _decode_data_url(paths[0]), picture(paths[0], rules.max_pixels)
    except Unusable as error:
        raise invalid("input_reference", "invalid_image", str(error)) from error


def _read_voices(paths: list[Path], fields: VideoFields) -> list[_Voice]:
    sent = [path for path in paths if path.stat().st_size]  # a browser sends an empty part for no file
    if len(sent) > MAX_PEOPLE:
        raise invalid("audio", "too_many_people", f"{len(sent)} voices; at most {MAX_PEOPLE} people can talk.")
    try:
        voices = [_Voice(path, 0.0 if _is_none(path) else voice_seconds(_decode_data_url(path))) for path in sent]
    except Unusable as error:
        raise invalid("audio", "invalid_audio", str(error)) from error
    if len(voices) == MAX_PEOPLE and fields.audio_mode == "add" and not all(voice.seconds for voice in voices):
        raise invalid(
            "audio_mode", "invalid_value", "add puts one voice after the other; use para with a silent person."
        )
    return voices or [_Voice(Path("none"), 0.0)]


def _is_none(path: Path) -> bool:
    return path.stat().st_size <= 8 and path.read_bytes().strip().lower() == b"none"


def _decode_data_url(path: Path) -> Path:
    """Replace a file that holds a base64 data URL by what that means."""
    with path.open("rb") as file:
        if file.read(5) != b"data:":
            return path
    head, _, payload = path.read_bytes().partition(b",")
    if not head.endswith(b";base64"):
        raise Unusable("is a data URL that is not base64-encoded.")
    try:
        path.write_bytes(base64.b64decode(payload, validate=True))
    except binascii.Error as error:
        raise Unusable(f"is a data URL whose base64 cannot be decoded: {error}.") from error
    return path


def _length(voices: list[_Voice], fields: VideoFields, rules: DraftRules) -> float:
    """How long the video becomes, as far as can be told before it is made."""
    spoken = spoken_seconds([voice.seconds for voice in voices], fields.audio_mode)
    if not spoken:
        length, param = fields.seconds or SILENT_SECONDS, "seconds"
    elif fields.seconds is not None and fields.seconds < spoken:
        length, param = fields.seconds, "seconds"
    else:
        length, param = spoken, "audio"
    if length > rules.max_seconds:
        cure = f"{length:.4g} s is longer than the {rules.max_seconds:g} s that this server makes; shorten it"
        raise invalid(param, "too_long", cure + (" or set seconds." if param == "audio" else "."))
    return length


def spoken_seconds(lengths: list[float], mode: AudioMode) -> float:
    """The length of the sound track."""
    return sum(lengths) if mode == "add" else max(lengths)


def _with_silence(voice: _Voice, number: int, folder: Path, seconds: float) -> _Voice:
    """Give a silent person a track of silence: the engine knows voices only."""
    if voice.seconds:
        return voice
    path = folder / f"silence-{number}.wav"
    with wave.open(str(path), "wb") as track:
        track.setnchannels(1)
        track.setsampwidth(2)
        track.setframerate(_SILENCE_RATE)
        track.writeframes(bytes(2 * round(seconds * _SILENCE_RATE)))
    return _Voice(path, seconds)


def _read_boxes(text: str | None, people: int, shown: Picture) -> list[Box | None]:
    if text is None:
        return [None] * people
    try:
        numbers = [float(part) for part in text.replace("[", "").replace("]", "").split(",")]
    except ValueError as error:
        raise invalid("box", "invalid_value", "must be numbers: top,left,bottom,right for each person.") from error
    if len(numbers) != 4 * people:
        raise invalid("box", "invalid_value", f"has {len(numbers)} numbers; {people} people need {4 * people}.")
    return [_box(numbers[start : start + 4], shown) for start in range(0, len(numbers), 4)]


def _box(numbers: list[float], shown: Picture) -> Box:
    box = Box(*numbers)
    if not (0 <= box.top < box.bottom <= shown.height and 0 <= box.left < box.right <= shown.width):
        raise invalid(
            "box",
            "box_outside_image",
            f"top,left,bottom,right = {','.join(f'{number:g}' for number in numbers)} is not inside the picture, which "
            f"is {shown.height} high and {shown.width} wide.",
        )
    return box
