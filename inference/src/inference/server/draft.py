"""A form made into a `Draft`, or refused: people are counted, files are looked into, boxes are laid on the picture.

Errors are `ApiError`s with these codes: missing_parameter, unknown_parameter, invalid_value, model_not_found,
invalid_image, invalid_audio, too_many_people, too_long, box_outside_image.
"""

from __future__ import annotations

import base64
import binascii
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from inference.generation import AudioMode, Box, GenerationRequest, InvalidInput, Speaker
from inference.multitalk import SAMPLE_RATE
from inference.server.errors import ApiError, invalid
from inference.server.fields import RESOLUTIONS, VideoFields, read_fields
from inference.server.jobs import Draft
from inference.server.multipart import Form
from inference.server.prober import Media, MediaFiles, Prober

MAX_PEOPLE = 2
SILENT_SECONDS = 4.0
"""Length of a video without voice and without `seconds`: the default of OpenAI's API."""

_DATA_URL_HEAD = 256
_DATA_URL_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class DraftRules:
    """What this server is willing to make."""

    model: str
    max_seconds: float


async def read_draft(form: Form, folder: Path, rules: DraftRules, prober: Prober) -> Draft:
    """Check everything that can be checked before the device is asked."""
    fields = read_fields(form.texts)
    _require_model(fields.model, rules.model)
    files = await run_in_threadpool(_choose_files, form, fields.audio_mode)
    try:
        media = await prober.look(files)
    except InvalidInput as error:
        param, code = _REFUSED[error.field]
        raise invalid(param, code, error.message) from error
    return await run_in_threadpool(_draft, fields, files, media, folder, rules)


_REFUSED = {"image": ("input_reference", "invalid_image"), "audio": ("audio", "invalid_audio")}


def _draft(fields: VideoFields, files: MediaFiles, media: Media, folder: Path, rules: DraftRules) -> Draft:
    seconds = _length(media, fields, rules)
    voices = [path or _silence(folder / f"silence-{n}.wav", seconds) for n, path in enumerate(files.voices)]
    boxes = _read_boxes(fields.box, len(voices), media)
    size = fields.size or ("832x480" if media.width >= media.height else "480x832")
    request = GenerationRequest(
        prompt=fields.prompt,
        image=files.picture,
        speakers=tuple(Speaker(path, box) for path, box in zip(voices, boxes, strict=True)),
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


def _choose_files(form: Form, mode: AudioMode) -> MediaFiles:
    pictures = form.files.get("input_reference", [])
    if not pictures:
        raise invalid("input_reference", "missing_parameter", "is required: the picture with the people who talk.")
    if len(pictures) > 1:
        raise invalid("input_reference", "duplicate_parameter", "is given more than once.")
    sent = [path for path in form.files.get("audio", []) if path.stat().st_size]  # a browser's empty part is no file
    if len(sent) > MAX_PEOPLE:
        raise invalid("audio", "too_many_people", f"{len(sent)} voices; at most {MAX_PEOPLE} people can talk.")
    voices = [None if _is_none(path) else path for path in sent] or [None]
    if len(voices) == MAX_PEOPLE and mode == "add" and None in voices:
        raise invalid(
            "audio_mode", "invalid_value", "add puts one voice after the other; use para with a silent person."
        )
    for field, paths in (("image", pictures), ("audio", sent)):
        for path in paths:
            _decode_data_url(path, *_REFUSED[field])
    return MediaFiles(pictures[0], tuple(voices))


def _is_none(path: Path) -> bool:
    return path.stat().st_size <= 8 and path.read_bytes().strip().lower() == b"none"


def _decode_data_url(path: Path, param: str, code: str) -> None:
    """Replace a file that holds a base64 data URL by what that means, in pieces: uploads are large and many."""
    with path.open("rb") as file, path.open("r+b") as same:
        head = file.read(_DATA_URL_HEAD)
        if not head.startswith(b"data:"):
            return
        kind, comma, _ = head.partition(b",")
        if not comma or not kind.endswith(b";base64"):
            raise invalid(param, code, "is a data URL that is not base64-encoded.")
        file.seek(len(kind) + 1)
        try:
            while piece := file.read(_DATA_URL_PIECE):  # what is written is shorter than what was read
                same.write(base64.b64decode(piece, validate=True))
        except binascii.Error as error:
            raise invalid(param, code, f"is a data URL whose base64 cannot be decoded: {error}.") from error
        same.truncate()


def _length(media: Media, fields: VideoFields, rules: DraftRules) -> float:
    """How long the video becomes, as far as can be told before it is made."""
    spoken = spoken_seconds(media.seconds, fields.audio_mode)
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


def spoken_seconds(lengths: Sequence[float], mode: AudioMode) -> float:
    """The length of the sound track."""
    return sum(lengths) if mode == "add" else max(lengths)


def _silence(path: Path, seconds: float) -> Path:
    """A track for a person who keeps silent: the engine knows voices only."""
    with wave.open(str(path), "wb") as track:
        track.setnchannels(1)
        track.setsampwidth(2)
        track.setframerate(SAMPLE_RATE)
        track.writeframes(bytes(2 * round(seconds * SAMPLE_RATE)))
    return path


def _read_boxes(text: str | None, people: int, shown: Media) -> list[Box | None]:
    if text is None:
        return [None] * people
    try:
        numbers = [float(part) for part in text.replace("[", "").replace("]", "").split(",")]
    except ValueError as error:
        raise invalid("box", "invalid_value", "must be numbers: top,left,bottom,right for each person.") from error
    if len(numbers) != 4 * people:
        raise invalid("box", "invalid_value", f"has {len(numbers)} numbers; {people} people need {4 * people}.")
    return [_box(numbers[start : start + 4], shown) for start in range(0, len(numbers), 4)]


def _box(numbers: list[float], shown: Media) -> Box:
    box = Box(*numbers)
    if not (0 <= box.top < box.bottom <= shown.height and 0 <= box.left < box.right <= shown.width):
        raise invalid(
            "box",
            "box_outside_image",
            f"top,left,bottom,right = {','.join(f'{number:g}' for number in numbers)} is not inside the picture, which "
            f"is {shown.height} high and {shown.width} wide.",
        )
    return box
