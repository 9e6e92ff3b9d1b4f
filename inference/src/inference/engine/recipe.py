"""Everything that decides a video, apart from its picture and voices."""

from __future__ import annotations

from dataclasses import dataclass

from inference.engine.sampling.guidance import GuidanceScales
from inference.generation import GenerationRequest, Sampling

SHIFTS = {"multitalk-480": 7.0, "multitalk-720": 11.0}
# Published with the model; guidance was tuned against it.
NEGATIVE_PROMPT = (
    "bright tones, overexposed, static, blurred details, subtitles, style, works, paintings, images, static, "
    "overall gray, worst quality, low quality, JPEG compression residue, ugly, incomplete, extra fingers, "
    "poorly drawn hands, poorly drawn faces, deformed, disfigured, misshapen limbs, fused fingers, still picture, "
    "messy background, three legs, many people in the background, walking backwards"
)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one generation."""

    prompt: str
    negative_prompt: str
    sampling: Sampling
    resolution: str = "multitalk-480"
    colour_strength: float = 1.0
    max_frames: int | None = None
    drop_tail: int = 0
    """Frames cut off at the end of the audio; the original cuts 3."""

    @classmethod
    def from_request(cls, request: GenerationRequest) -> Recipe:
        """Fill in what a request leaves open."""
        return cls(
            prompt=request.prompt,
            negative_prompt=NEGATIVE_PROMPT if request.negative_prompt is None else request.negative_prompt,
            sampling=request.sampling,
            resolution=request.resolution,
        )

    @property
    def shift(self) -> float:
        """The schedule's shift."""
        return SHIFTS[self.resolution] if self.sampling.shift is None else self.sampling.shift

    @property
    def scales(self) -> GuidanceScales:
        """How the passes of a step are joined."""
        sampling = self.sampling
        return GuidanceScales(sampling.text_guidance, sampling.audio_guidance, sampling.use_apg)
