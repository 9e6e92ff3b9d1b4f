"""The engine that a server holds: requests with files in, an MP4 out.

Order of a generation: read and check all inputs (mistakes show before any work), voice features, then window by window
frames that are encoded as they come. Everything random follows from the request's seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from torch import nn

from inference.engine.audio_tracks import AudioTracks
from inference.engine.checkpoint.streaming import LoadReport
from inference.engine.components import Components, check_fit
from inference.engine.errors import EngineError
from inference.engine.geometry import Geometry
from inference.engine.inputs import check_request, read_tracks
from inference.engine.known_frames import latent_size
from inference.engine.loading import OnProgress, open_loader
from inference.engine.memory import MemoryPlan
from inference.engine.offload import compile_blocks, lent
from inference.engine.pipeline import Hooks, Pipeline, Scene
from inference.engine.recipe import Recipe
from inference.engine.sampling.noise import SeededNoise
from inference.engine.video.frames import resize_crop, to_pixels, to_uint8
from inference.engine.video.regions import check_boxes, check_regions, latent_masks, whole_picture
from inference.generation import Cancelled, GenerationRequest, InvalidInput, LoraFile, Progress
from inference.media.image_file import decode_image
from inference.media.limits import DEFAULT_LIMITS, MediaLimits
from inference.media.mp4 import Mp4Writer


class MultiTalkEngine:
    """MultiTalk, loaded; implements `inference.generation.VideoEngine`."""

    def __init__(
        self,
        parts: Components,
        geometry: Geometry,
        device: torch.device,
        plan: MemoryPlan,
        loads: Sequence[LoadReport] = (),
        limits: MediaLimits = DEFAULT_LIMITS,
    ) -> None:
        check_fit(parts)
        self._limits = limits
        self.loads = tuple(loads)
        self._parts = parts
        self._geometry = geometry
        self._device = device
        self.plan = plan
        lend: Callable[[nn.Module], AbstractContextManager[None]] = lambda _: nullcontext()  # noqa: E731
        if plan.encoders_on_host:
            lend = partial(lent, move=lambda tensor: tensor.to(device, non_blocking=True))
        self._pipeline = Pipeline(parts, geometry, device, batch_passes=plan.batches, lend=lend)

    def generate(
        self,
        request: GenerationRequest,
        output: Path,
        *,
        on_progress: Callable[[Progress], None],
        cancelled: Callable[[], bool],
    ) -> None:
        """Write a complete MP4 at `output`, or nothing."""
        check_request(request)
        on_progress(Progress("reading", 0, 1, 0, request.sampling.steps))
        tracks = read_tracks(request, self._limits)
        if cancelled():
            raise Cancelled
        try:
            scene, size = self._scene(request, tracks)
            recipe, noise = Recipe.from_request(request), SeededNoise(request.sampling.seed)
            frames = self._pipeline.run(scene, recipe, noise, Hooks(on_progress, cancelled))
            with Mp4Writer(output, *size, tracks.mix) as video:
                for chunk in frames:
                    video.add(to_uint8(chunk))
        except torch.OutOfMemoryError as e:
            raise EngineError(
                "generating: the device's memory does not suffice. Set a memory limit, so that weights wait on the "
                "host, or choose a smaller resolution"
            ) from e

    def _scene(self, request: GenerationRequest, tracks: AudioTracks) -> tuple[Scene, tuple[int, int]]:
        image = decode_image(request.image, self._limits)
        source = (image.height, image.width)
        size = self._geometry.output_size(*source, request.resolution)
        self._check_room(math.prod(size))
        latent = latent_size(*size)
        boxes = check_boxes([speaker.box for speaker in request.speakers], *source)
        masks = whole_picture(latent)
        if len(request.speakers) > 1:
            masks = latent_masks(source, size, latent, boxes)
            check_regions(masks)
        waves = [torch.from_numpy(wave).to(self._device) for wave in tracks.people]
        features = torch.stack([self._parts.voice(wave, tracks.frames).float() for wave in waves])
        return Scene(to_pixels(resize_crop(image, *size)), features, masks), size

    def _check_room(self, pixels: int) -> None:
        # Said now, not after an hour of steps when the frames are decoded.
        short = self.plan.shortage(self._geometry.tokens(pixels), pixels)
        if short:
            raise InvalidInput(
                "size",
                f"this device lacks {short / 1e9:.1f} GB for it; choose a smaller one, or start the server with "
                "--room-for multitalk-720, so that more weights wait on the host",
            )


def load_engine(
    volume: Path,
    *,
    base: str,
    wav2vec: str,
    audio: str,
    device: str,
    dtype: str | None = None,
    memory_limit_bytes: int | None = None,
    loras: Sequence[LoraFile] = (),
    compile: bool = False,
    on_progress: OnProgress | None = None,
    room_for: str = "multitalk-480",
    limits: MediaLimits = DEFAULT_LIMITS,
) -> MultiTalkEngine:
    """Load MultiTalk from three model directories below `volume`.

    `dtype` defaults to bfloat16 on CUDA and float32 on the CPU. `memory_limit_bytes` bounds the device's memory;
    weights that do not fit wait on the host, so that videos of the resolution `room_for` find the room that they need;
    larger ones are refused where they do not. `limits` bound pictures and voices. `compile` makes the first step of
    every new size slow, the others faster.
    """
    loader = open_loader(volume, base, wav2vec, audio, device, dtype, memory_limit_bytes, loras, on_progress, room_for)
    parts, plan = loader.load()
    if compile:
        compile_blocks(parts.dit.blocks)
    return MultiTalkEngine(parts, loader.geometry, loader.device, plan, loader.reports, limits)
