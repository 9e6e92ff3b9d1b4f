"""Runs of what InfiniteTalk does in its own way: windows, known latents, and whole generations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor

from inference.engine.components import Components
from inference.engine.continuation import Opening
from inference.engine.encoders.vae import SPACE_STRIDE, TIME_STRIDE
from inference.engine.geometry import Geometry
from inference.engine.known_frames import latent_frames
from inference.engine.pipeline import Hooks, Pipeline
from inference.engine.predictor import WindowInputs, WindowPredictor
from inference.engine.sampling.sampler import Predictor, sample
from inference.engine.sampling.schedule import timesteps
from inference.engine.sampling.teacache import plan_steps
from inference.engine.scene import FeatureTable, Scene
from inference.engine.video.colour import match_colours
from inference.engine.video.frames import resize_crop, to_pixels
from inference.engine.video.windows import heard_rows, plan_windows
from inference.multitalk import Variant
from inference_engine.parity import models
from inference_engine.parity.golden import Case
from inference_engine.parity.media import masks_of
from inference_engine.parity.modules import Outputs
from inference_engine.parity.sampling import (
    CPU,
    RecordedNoise,
    RecordedPredictions,
    Recorder,
    Trace,
    recipe_of,
    scales_of,
)

NOISE = "noise (in order of use)"
PREDICTOR: Callable[..., Predictor] = WindowPredictor
"""What computes the steps of whole generations."""


def drawn(case: Case) -> RecordedNoise:
    """The recorded noise without that of motion frames, which the original draws and overwrites."""
    return RecordedNoise(case, [spec for spec in case.record["inputs"][NOISE] if ".motion_noise." not in spec["rule"]])


def window_plan(case: Case) -> Outputs:
    outputs: Outputs = {}
    for c in case.args["cases"]:
        # Ours gives all voices one length; here each has its own: the first decides the windows, the last the end.
        first, *_, last = c["audio_frames"] * 2
        plan = plan_windows(first, c["frame_num"], c["motion_frame"], c["max_frames"])
        ends = plan.windows[-1].stop
        mirrored = any(frames <= ends for frames in c["audio_frames"]) and ends >= min(first, c["max_frames"])
        length = min(ends, c["max_frames"], last) if mirrored else min(ends, c["max_frames"])
        assert (len(plan.windows), length) == (c["windows"], c["output_frames"])
        rows = [
            [
                heard_rows(w.start, w.stop, frames, mirrored=w is plan.windows[-1] and frames <= w.stop)
                for frames in c["audio_frames"]
            ]
            for w in plan.windows
        ]
        heard = torch.tensor(rows)
        available = c["video_frames"] or 1
        assert (c["source"] == "video") == (c["video_frames"] is not None)
        assert len(c["audio_frames"]) == c["people"]
        assert [min(w.start, available - 1) for w in plan.windows] == c["reference_frames"]
        outputs[f"{c['name']}.audio5"] = heard
        outputs[f"{c['name']}.audio"] = heard[..., 2]
        outputs[f"{c['name']}.windows"] = torch.tensor(
            [
                [w.start, w.stop, w.start, min(w.start, available - 1), motion, latent_frames(motion or 1)]
                for w in plan.windows
                for motion in [c["motion_frame"] if w.number else 0]
            ]
        )
    return outputs


def sampler(case: Case) -> Outputs:
    args, noise = case.args, drawn(case)
    shape = case.record["inputs"][NOISE][0]["shape"]
    times = timesteps(args["steps"], args["shift"])
    assert shape[1] == latent_frames(args["frame_num"])
    scales = scales_of(case, "text_scale", "audio_scale", "apg")
    assert [one.value for one in scales.passes] == args["passes"]
    outputs: Outputs = {"timesteps": times}
    for window in range(args["windows"]):
        known = case.given(case.record["inputs"]["motion_latent"][window])
        assert known.shape[1] == latent_frames(args["motion_frame"] if window else 1)
        trace = Trace()
        predictions = RecordedPredictions(case, window, shape)
        sample(shape, times, predictions, scales, noise, known=known, noise_known=False, device=CPU, observer=trace)
        outputs[f"latents.{window}"] = torch.stack(trace.latents)
    noise.assert_used_up()
    return outputs


class RecordedSource:
    """The stored picture or video; past its end the last frame stays."""

    def __init__(self, case: Case, size: tuple[int, int]) -> None:
        stored = case.stored(case.args["source"]).to(torch.uint8).numpy()
        self._frames = stored if stored.ndim == 4 else stored[None]
        self._size = size
        self.shown: list[tuple[int, int]] = []

    @property
    def height_width(self) -> tuple[int, int]:
        height, width = self._frames.shape[1:3]
        return height, width

    def frame(self, number: int) -> Tensor:
        found = min(number, len(self._frames) - 1)
        self.shown.append((number, found))
        return to_pixels(resize_crop(Image.fromarray(self._frames[found]), *self._size))


class OpeningRecorder(Recorder):
    """Collects what windows start from, too."""

    def window(self, number: int, opening: Opening, inputs: WindowInputs) -> Trace:
        self.outputs[f"reference_pixels.{number}"] = opening.shown
        assert opening.known is not None
        self.outputs[f"motion_latent.{number}"] = opening.known
        return super().window(number, opening, inputs)


def generate(case: Case) -> Outputs:
    return _generate(case, models.all_parts(case))


def condition(case: Case) -> Outputs:
    """The same with a transformer whose velocity is zero."""
    parts = models.all_parts(case)
    unembed = parts.dit.unembed
    parts.dit.unembed = lambda *given: unembed(*given) * 0  # type: ignore[method-assign]
    return _generate(case, parts)


def _generate(case: Case, parts: Components) -> Outputs:
    args, noise, recorder = case.args, drawn(case), OpeningRecorder()
    size = args["target_size"][0], args["target_size"][1]
    source = RecordedSource(case, size)
    assert (args["vae_stride"], args["patch_size"]) == ([TIME_STRIDE, SPACE_STRIDE, SPACE_STRIDE], [1, 2, 2])
    masks = masks_of(args["people"], args["bbox"], source.height_width, size)
    features = torch.stack([case.given(spec) for spec in case.record["inputs"]["audio_embeddings"]])
    recipe = recipe_of(case)
    assert [one.value for one in recipe.scales.passes] == args["passes"]
    geometry = Geometry(args["frame_num"], args["motion_frame"], variant=Variant.INFINITETALK)
    pipeline = Pipeline(parts, geometry, CPU, predictor=PREDICTOR)
    scene = Scene(source, FeatureTable(features), masks)
    made = list(pipeline.run(scene, recipe, noise, Hooks(observer=recorder)))
    noise.assert_used_up()
    assert (len(features), len(made)) == (args["people"], args["windows"])
    contexts = parts.text.encode([args["prompt"], args["negative_prompt"]])
    times = timesteps(args["sampling_steps"], args["shift"])
    outputs = recorder.finish() | {
        "video": torch.cat(made, dim=1),
        "masks": masks,
        "timesteps": times,
        "context": contexts[0],
        "context_null": contexts[1],
        "reference_frames": torch.tensor(source.shown[1:]),  # the first is for colours
    }
    for number in range(1, len(made)):
        frames = match_colours(outputs[f"raw.{number - 1}"], source.frame(0), recipe.colour_strength)
        outputs[f"motion_pixels.{number}"] = frames[:, -args["motion_frame"] :]
    if threshold := args.get("teacache_threshold"):
        with torch.inference_mode():
            plan = plan_steps(parts.dit.time_conditioning(times[:-1]).blocks, recipe.resolution, threshold)
        computed = torch.tensor([float(step.compute) for step in plan])
        outputs["computed"] = computed[None, :, None].expand(args["windows"], -1, len(args["passes"]))
    return outputs
