"""The text fields of POST /v1/videos: names, types, bounds, defaults and words for people, each said once.

`model`, `prompt`, `seconds` and `size` are OpenAI's; the rest is MultiTalk's and goes beside them as further form
fields (`extra_body=` in OpenAI's Python client). The picture and the voices are files; they are described here only
for the OpenAPI page, and read by `draft`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.generation import Resolution
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

_Guidance = Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)]


class VideoFields(BaseModel):
    """The text fields, parsed and bounded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Annotated[str, Field(min_length=1, max_length=4000, description="What the video shows.")]
    model: Annotated[str | None, Field(description="A name from /v1/models; the served model when left out.")] = None
    seconds: Annotated[
        float | None,
        Field(
            ge=0.04,
            allow_inf_nan=False,
            description="Longest length, at least one frame. Left out: as long as the voices; 4 without any.",
        ),
    ] = None
    size: Annotated[
        Size | None,
        Field(description="Chooses the area, 480p or 720p; the shape is the picture's."),
    ] = None
    box: Annotated[
        str | None,
        Field(
            description="Where each person is, in pixels of the picture: top,left,bottom,right for person 1, then "
            "the same for person 2; repeat the field or go on after a comma. Left out: left and right half."
        ),
    ] = None
    audio_mode: Annotated[
        Literal["para", "add"], Field(description="Two voices: para at the same time, add one after the other.")
    ] = "para"
    negative_prompt: Annotated[str | None, Field(max_length=4000, description="What the video must not show.")] = None
    steps: Annotated[int, Field(ge=1, le=100, description="Sampling steps.")] = 40
    seed: Annotated[int, Field(ge=0, le=2**32 - 1, description="The same seed gives the same video.")] = 42
    text_guidance: Annotated[_Guidance, Field(description="How strictly the prompt is followed.")] = 5.0
    audio_guidance: Annotated[_Guidance, Field(description="How strictly the lips follow the voice.")] = 4.0
    shift: Annotated[
        float | None, Field(ge=0.1, le=30, allow_inf_nan=False, description="Schedule shift; default suits the size.")
    ] = None
    use_apg: Annotated[bool, Field(description="Adaptive projected guidance: fewer burnt colours.")] = False
    teacache_threshold: Annotated[
        float,
        Field(ge=0, le=1, allow_inf_nan=False, description="0 computes every step; 0.2 is faster."),
    ] = 0.0


def read_fields(texts: dict[str, list[str]]) -> VideoFields:
    """Parse the text parts of a form; raises `ApiError` for the first wrong one. An empty text is no value."""
    given = {name: [value for value in values if value.strip()] for name, values in texts.items()}
    for name, values in given.items():
        if len(values) > 1 and name != "box":
            raise invalid(name, "duplicate_parameter", "is given more than once.")
    try:
        return VideoFields.model_validate({name: ",".join(values) for name, values in given.items() if values})
    except ValidationError as error:
        raise _first_problem(error) from error


def _first_problem(error: ValidationError) -> ApiError:
    problem = error.errors(include_url=False, include_context=False)[0]
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        known = ", ".join(sorted(FILE_FIELDS | VideoFields.model_fields.keys()))
        return invalid(name, "unknown_parameter", f"is not a field of this API; it has {known}.")
    if problem["type"] == "missing":
        return invalid(name, "missing_parameter", "is required.")
    return invalid(name, "invalid_value", f"{problem['msg']}.")


def request_body_schema() -> dict[str, Any]:
    """The form for the OpenAPI page."""
    schema = VideoFields.model_json_schema()
    file_kind = {"type": "string", "contentMediaType": "application/octet-stream"}
    schema["properties"] |= {
        "input_reference": file_kind | {"description": "The picture with the people: PNG, JPEG, WEBP, BMP or TIFF."},
        "audio": {
            "type": "array",
            "items": file_kind,
            "maxItems": 2,
            "description": "The voices: one file per person, at most two, in the order of the boxes; repeat it. "
            "WAV, MP3, FLAC, OGG, M4A or a video with sound; a data URL as text, or the word none for a person "
            "who keeps silent. Left out: one person who keeps silent for `seconds`.",
        },
    }
    schema["required"] = ["prompt", "input_reference"]
    return schema
