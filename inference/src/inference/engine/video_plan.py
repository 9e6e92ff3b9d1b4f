"""What will be made of a request: size, length and regions, or why it cannot be made.

It follows from the request and from what is known of the files; no network is asked. The server plans before a request
waits, the engine again when it has read the files.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from inference.engine.geometry import Geometry
from inference.engine.inputs import check_request
from inference.engine.known_frames import latent_size
from inference.engine.memory import MemoryPlan
from inference.engine.video.buckets import SIZES, Size, nearest_size
from inference.engine.video.regions import check_boxes, check_regions, speaker_masks
from inference.engine.video.windows import plan_windows
from inference.generation import MAX_SPEAKERS, GenerationRequest, InvalidInput, MediaInfo, VideoPlan
from inference.media.limits import INVALID, MediaLimits
from inference.media.timing import Timing, time_voices

MOST_CUT = 0.2
"""Share of a picture that may be cut off to get the shape of a video."""


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """A plan as the engine needs it."""

    size: Size
    timing: Timing
    people: int
    """Two also where one voice has a box: the second person is everybody outside of it, and silent."""
    masks: Tensor
    """Person 1, person 2 and background on the latents' grid."""
    windows: int

    @property
    def video(self) -> VideoPlan:
        height, width = self.size
        return VideoPlan(width, height, self.timing.frames, self.timing.seconds, self.windows)


def plan_scene(
    request: GenerationRequest, media: MediaInfo, geometry: Geometry, memory: MemoryPlan, limits: MediaLimits
) -> ScenePlan:
    """Plan a video; raises `InvalidInput`."""
    check_request(request)
    timing = time_voices(media.voices, request.audio_mode, request.seconds, limits)
    source = (media.height, media.width)
    _check_shape(source, request.resolution)
    size = geometry.output_size(*source, request.resolution)
    _check_room(memory, geometry, math.prod(size))
    masks = _regions(request, source, size, geometry)
    people = 1 if len(request.speakers) == 1 and bool(masks[0].all()) else MAX_SPEAKERS
    windows = plan_windows(timing.frames, geometry.frame_num, geometry.motion_frames).windows
    return ScenePlan(size, timing, people, masks, len(windows))


def _check_shape(source: Size, resolution: str) -> None:
    """By the sizes that the model knows; a checkpoint that is scaled down rounds them further."""
    height, width = nearest_size(*source, resolution)
    given, made = source[1] / source[0], width / height
    cut = 1 - min(given / made, made / given)
    if cut > MOST_CUT:
        shapes = [wide / high for high, wide in SIZES[resolution]]
        widest, tallest = max(shapes) / (1 - MOST_CUT), 1 / min(shapes) / (1 - MOST_CUT)
        raise InvalidInput(
            "input_reference",
            f"has {source[1]} x {source[0]} pixels, and the nearest video {width} x {height}: {cut:.0%} of it would be "
            f"cut off; crop it or add borders, to a shape between {widest:.3g} : 1 (wide) and 1 : {tallest:.3g}",
            INVALID["input_reference"],
        )


def _check_room(memory: MemoryPlan, geometry: Geometry, pixels: int) -> None:
    short = memory.shortage(geometry.tokens(pixels), pixels)
    if short:
        raise InvalidInput(
            "size",
            f"this device lacks {short / 1e9:.1f} GB for it; choose a smaller one, or start the server with "
            "--room-for multitalk-720, so that more weights wait on the host",
        )


def _regions(request: GenerationRequest, source: Size, size: Size, geometry: Geometry) -> Tensor:
    boxes = [speaker.box for speaker in request.speakers]
    check_boxes(boxes, *source)
    if boxes[0] is not None and not any(speaker.audio for speaker in request.speakers):
        raise InvalidInput("box", "makes no difference where nobody speaks; leave it out")
    masks = speaker_masks(source, size, latent_size(*size), boxes)
    check_regions(masks[: len(boxes)], geometry.token_grid(size))
    if len(boxes) > 1 and bool((masks[0] == masks[1]).all()):
        raise InvalidInput("box", "is the same for both people; each needs a place of their own")
    return masks
