"""The engine that a server holds: requests with files in, an MP4 out.

Order of a generation: read and check all inputs (mistakes show before any work), voice features, then window by window
frames that are encoded as they come. Everything random follows from the request's seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

import torch
from PIL.Image import Image
from torch import nn

from inference.engine.audio_tracks import level, on_time_line
from inference.engine.checkpoint.streaming import LoadReport
from inference.engine.components import Components, check_fit
from inference.engine.errors import EngineError
from inference.engine.geometry import Geometry
from inference.engine.group import Group
from inference.engine.inputs import check_request
from inference.engine.loading import OnProgress, open_loader
from inference.engine.memory import MemoryPlan
from inference.engine.offload import compile_blocks, lent
from inference.engine.pipeline import Hooks, Pipeline
from inference.engine.predictor import WindowPredictor
from inference.engine.recipe import Recipe
from inference.engine.sampling.noise import SeededNoise
from inference.engine.scene import Film, Scene, Source, Still, Voices
from inference.engine.sharing import SharedPredictor, follow
from inference.engine.video.buckets import Size
from inference.engine.video.frames import resize_crop, to_pixels, to_uint8
from inference.engine.video_plan import ScenePlan, plan_scene
from inference.engine.voice_features import voice_features
from inference.generation import (
    Cancelled,
    FindCopy,
    GenerationRequest,
    LoraFile,
    MediaInfo,
    PreparedCopy,
    Progress,
    VideoPlan,
)
from inference.media.audio_file import Voice, decode_audio
from inference.media.clip_file import Clip
from inference.media.limits import DEFAULT_LIMITS, MediaLimits
from inference.media.mp4 import Mp4Writer
from inference.media.reference import open_reference
from inference.media.soundtrack import Upload, mix
from inference.media.timing import Timing
from inference.multitalk import SAMPLE_RATE, SAMPLES_PER_FRAME, Variant


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
        group: Group | None = None,
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
        predictor = partial(SharedPredictor, group) if group else WindowPredictor
        self._pipeline = Pipeline(parts, geometry, device, batch_passes=plan.batches, lend=lend, predictor=predictor)

    @property
    def takes_clips(self) -> bool:
        """InfiniteTalk's weights do."""
        return self._geometry.variant is Variant.INFINITETALK

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
        voices = [decode_audio(speaker.audio, self._limits) if speaker.audio else None for speaker in request.speakers]
        if cancelled():
            raise Cancelled
        try:
            with open_reference(request.image, self._limits, clips=self.takes_clips) as reference:
                media = MediaInfo(*reference.size, tuple(voice.info if voice else None for voice in voices))
                plan = self._plan_scene(request, media)
                sound = mix(_uploads(request, voices, plan.timing), plan.timing.frames, self._limits)
                features = self._features(voices, plan)
                scene = Scene(_source(reference, plan.size), features, plan.masks)
                recipe, noise = Recipe.from_request(request), SeededNoise(request.sampling.seed)
                frames = self._pipeline.run(scene, recipe, noise, Hooks(on_progress, cancelled))
                with Mp4Writer(output, *plan.size, sound) as video:
                    for chunk in frames:
                        video.add(to_uint8(chunk))
        except torch.OutOfMemoryError as e:
            raise EngineError(
                "generating: the device's memory does not suffice. Set a memory limit, so that weights wait on the "
                "host, or choose a smaller resolution"
            ) from e

    def plan_video(self, request: GenerationRequest, media: MediaInfo) -> VideoPlan:
        """Say what `generate` would make, or raise `InvalidInput`."""
        return self._plan_scene(request, media).video

    def _plan_scene(self, request: GenerationRequest, media: MediaInfo) -> ScenePlan:
        return plan_scene(request, media, self._geometry, self.plan, self._limits)

    def _features(self, voices: list[Voice | None], plan: ScenePlan) -> Voices:
        """Empties the list: of long voices there is no copy to spare."""
        waves = level([voice.wave if voice else None for voice in voices])
        voices.clear()
        waves += [None] * (plan.people - len(waves))
        starts = (*plan.timing.starts, 0.0)
        samples = plan.timing.frames * SAMPLES_PER_FRAME
        tracks = [on_time_line(wave, round(at * SAMPLE_RATE), samples) for wave, at in zip(waves, starts, strict=False)]
        del waves
        heard = [torch.from_numpy(track).to(self._device) for track in tracks]
        return voice_features(self._parts.voice, heard, plan.timing.frames)


def _source(reference: Image | Clip, size: Size) -> Source:
    if isinstance(reference, Clip):
        return Film(reference, size)
    return Still(to_pixels(resize_crop(reference, *size)))


def _uploads(request: GenerationRequest, voices: Sequence[Voice | None], timing: Timing) -> list[Upload]:
    together = zip(request.speakers, voices, timing.starts, strict=True)
    return [Upload(who.audio, voice.form, start) for who, voice, start in together if who.audio and voice]


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
    find_copy: FindCopy = lambda *_: PreparedCopy(),
    group: Group | None = None,
) -> MultiTalkEngine:
    """Load MultiTalk from three model directories below `volume`.

    `dtype` defaults to bfloat16 on CUDA and float32 on the CPU. `memory_limit_bytes` bounds the device's memory;
    weights that do not fit wait on the host, so that videos of the resolution `room_for` find the room that they need;
    larger ones are refused where they do not. `limits` bound pictures and voices. `compile` makes the first step of
    every new size slow, the others faster. `find_copy` looks for a prepared copy of the transformer. With a `group` its
    first process has the engine, each of the others calls `follow_engine` with the same arguments.
    """
    loader = open_loader(
        volume, base, wav2vec, audio, device, dtype, memory_limit_bytes, loras, on_progress, room_for, find_copy, group
    )
    parts, plan = loader.load()
    if compile:
        compile_blocks(parts.dit.blocks)
    return MultiTalkEngine(parts, loader.geometry, loader.device, plan, loader.reports, limits, group)


def follow_engine(
    volume: Path,
    *,
    base: str,
    wav2vec: str,
    audio: str,
    device: str,
    group: Group,
    dtype: str | None = None,
    memory_limit_bytes: int | None = None,
    loras: Sequence[LoraFile] = (),
    compile: bool = False,
    room_for: str = "multitalk-480",
    find_copy: FindCopy = lambda *_: PreparedCopy(),
) -> None:
    """Load the transformer and take part in the steps of the group's first process, until that one has ended."""
    loader = open_loader(
        volume, base, wav2vec, audio, device, dtype, memory_limit_bytes, loras, None, room_for, find_copy, group
    )
    dit = loader.load_transformer()
    if dit is None:
        return
    if compile:
        compile_blocks(dit.blocks)
    follow(group, dit, loader.device)
