"""The text fields of POST /v1/videos: names, types, bounds, defaults and descriptions, each declared once.

`model`, `prompt`, `seconds` and `size` are OpenAI's; the others are MultiTalk's and are sent beside them as further
form fields (`extra_body=` in OpenAI's Python client). Those of sampling are declared in `generation.Sampling`. The
picture and the voices are files; here they are only described, for the OpenAPI page, and `request` reads them.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from inference.generation import MAX_SPEAKERS, AudioMode, Resolution, Sampling
from inference.media.limits import CLIP_FORMATS_TEXT, PICTURE_FORMATS_TEXT, SOUND_FORMATS_TEXT
from inference.server.errors import ApiError, invalid
from inference.server.multipart import FILE_FIELDS

Size = Literal["832x480", "480x832", "1280x720", "720x1280", "1024x1792", "1792x1024"]

RESOLUTIONS: dict[str, Resolution] = {
    "832x480": "multitalk-480",
    "480x832": "multitalk-480",
    "1280x720": "multitalk-720",
    "720x1280": "multitalk-720",
    "1024x1792": "multitalk-720",
    "1792x1024": "multitalk-720",
}
"""MultiTalk keeps the shape of the picture and knows two areas; a size chooses the nearer one."""

DRAW_SEED = -1


class VideoFields(BaseModel):
    """The text fields apart from sampling, parsed and bounded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Annotated[str, Field(min_length=1, max_length=4000, description="What the video shows.")]
    model: Annotated[str | None, Field(description="A name from /v1/models; the served model when left out.")] = None
    seconds: Annotated[
        float | None,
        Field(
            ge=0.04,
            allow_inf_nan=False,
            description="Maximum length, at least one frame. Left out: as long as the voices; 4 without any.",
        ),
    ] = None
    size: Annotated[
        Size | None,
        Field(description="Chooses the area, 480p or 720p; the shape is the picture's, and so is the orientation."),
    ] = None
    box: Annotated[
        str | None,
        Field(
            description="Where each person is, in pixels of the picture: top,left,bottom,right for person 1, then "
            "the same for person 2; repeat the field or continue after a comma. With one voice, everybody outside of "
            "its box keeps silent. Left out: left and right half for two, the whole picture for one."
        ),
    ] = None
    audio_mode: Annotated[
        AudioMode, Field(description="Two voices: para at the same time, add one after the other.")
    ] = "para"
    negative_prompt: Annotated[str | None, Field(max_length=4000, description="What the video must not show.")] = None


_SAMPLING = TypeAdapter(Sampling)
SAMPLING_FIELDS = frozenset(field.name for field in dataclasses.fields(Sampling))


def read_fields(texts: dict[str, list[str]], defaults: Sampling) -> tuple[VideoFields, Sampling]:
    """Parse the text parts of a form; raises `ApiError` for the first wrong one. An empty text is no value."""
    given = {name: [value for value in values if value.strip()] for name, values in texts.items()}
    for name, values in given.items():
        if len(values) > 1 and name != "box":
            raise invalid(name, "duplicate_parameter", "is given more than once.")
    joined = {name: ",".join(values) for name, values in given.items() if values}
    sampling = {name: joined.pop(name) for name in SAMPLING_FIELDS & joined.keys()}
    try:
        fields = VideoFields.model_validate(joined)
        wanted = _SAMPLING.validate_python(dataclasses.asdict(defaults) | sampling)
    except ValidationError as error:
        raise _first_problem(error) from error
    seed = secrets.randbelow(2**32) if wanted.seed == DRAW_SEED else wanted.seed
    return fields, dataclasses.replace(wanted, seed=seed)


def _first_problem(error: ValidationError) -> ApiError:
    problem = error.errors(include_url=False, include_context=False)[0]
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        known = ", ".join(sorted(FILE_FIELDS | VideoFields.model_fields.keys() | SAMPLING_FIELDS))
        return invalid(name, "unknown_parameter", f"is not a field of this API; it has {known}.")
    if problem["type"] == "missing":
        return invalid(name, "missing_parameter", "is required.")
    return invalid(name, "invalid_value", f"{problem['msg']}.")


def request_body_schema(defaults: Sampling) -> dict[str, Any]:
    """The form for the OpenAPI page."""
    schema = VideoFields.model_json_schema()
    file_kind = {"type": "string", "contentMediaType": "application/octet-stream"}
    sampling = _SAMPLING.json_schema()["properties"]
    for name, value in dataclasses.asdict(defaults).items():
        sampling[name]["default"] = value
    schema["properties"] |= sampling | {
        "input_reference": file_kind
        | {
            "description": f"The picture with the people: {PICTURE_FORMATS_TEXT}. Where the model's input_modalities "
            f"have video, also a clip, whose people then say something else: {CLIP_FORMATS_TEXT}."
        },
        "audio": {
            "type": "array",
            "items": file_kind,
            "maxItems": MAX_SPEAKERS,
            "description": "The voices: one file per person, in the order of the boxes; repeat it. "
            f"{SOUND_FORMATS_TEXT}; a data URL as text, or the word none for a person who is silent. "
            "Left out: one person who is silent for `seconds`.",
        },
    }
    schema["required"] = ["prompt", "input_reference"]
    return schema
