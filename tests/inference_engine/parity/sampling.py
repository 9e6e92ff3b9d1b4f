"""Runs of schedule, guidance, caching and of whole generations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from inference.engine.continuation import Opening
from inference.engine.encoders.vae import SPACE_STRIDE, TIME_STRIDE
from inference.engine.geometry import Geometry
from inference.engine.known_frames import known_mask, latent_frames
from inference.engine.pipeline import Hooks, Pipeline
from inference.engine.predictor import Prompts, WindowInputs, WindowPredictor
from inference.engine.recipe import Recipe
from inference.engine.sampling.guidance import GuidanceScales
from inference.engine.sampling.sampler import Predictor, sample
from inference.engine.sampling.schedule import timesteps
from inference.engine.sampling.teacache import ALWAYS_COMPUTED, plan_steps
from inference.engine.scene import FeatureTable, Scene, Still
from inference.engine.video.frames import resize_crop, to_pixels
from inference.engine.video.regions import token_masks, whole_picture
from inference.engine.video.windows import gather, plan_windows
from inference.generation import Sampling
from inference_engine.parity import models
from inference_engine.parity.golden import Case
from inference_engine.parity.media import masks_of
from inference_engine.parity.modules import Outputs

CPU = torch.device("cpu")
PREDICTOR: Callable[..., Predictor] = WindowPredictor
"""What computes the steps of whole generations."""


class RecordedNoise:
    """Noise in the recorded order; asking for more, or for another shape, fails."""

    def __init__(self, case: Case, specs: Sequence[dict[str, object]]) -> None:
        self._draws = iter([case.given(spec) for spec in specs])

    def normal(self, shape: Sequence[int]) -> Tensor:
        noise = next(self._draws)
        assert tuple(noise.shape) == tuple(shape)
        return noise

    def assert_used_up(self) -> None:
        assert next(self._draws, None) is None, "fewer draws than recorded"


class Trace:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.latents: list[Tensor] = []
        self.predictions: list[Tensor] = []

    def latent(self, step: int, latent: Tensor) -> None:
        self.latents.append(latent.clone())

    def predicted(self, step: int, velocities: Sequence[Tensor]) -> None:
        self.predictions.append(torch.stack(list(velocities)))


class RecordedPredictions:
    """A model whose answers follow from names."""

    def __init__(self, case: Case, window: int, shape: list[int]) -> None:
        self._case, self._window, self._shape = case, window, shape

    def velocities(self, latent: Tensor, step: int) -> list[Tensor]:
        names = [f"{self._case.id}.pred.{self._window}.{step}.{n}" for n in range(len(self._case.args["passes"]))]
        return [self._case.given(name, self._shape) for name in names]


def scales_of(case: Case, text: str, audio: str, apg: str) -> GuidanceScales:
    args = case.args
    limits = {"apg_momentum": args["apg_momentum"], "apg_norm_limit": args["apg_norm_threshold"]}
    if not args[apg]:
        assert set(limits.values()) == {None}
        limits = {}
    scales = GuidanceScales(text=args[text], audio=args[audio], apg=bool(args[apg]), **limits)
    assert [one.value for one in scales.passes] == args["passes"]
    return scales


def sampler(case: Case) -> Outputs:
    args = case.args
    noise_specs = case.record["inputs"]["noise (in order of use)"]
    noise = RecordedNoise(case, noise_specs)
    shape = noise_specs[0]["shape"]
    times = timesteps(args["steps"], args["shift"])
    assert torch.allclose(times, torch.tensor(args["timesteps"]), atol=1e-3)
    scales = scales_of(case, "text_scale", "audio_scale", "apg")
    assert latent_frames(args["frame_num"]) == shape[1]
    held = latent_frames(args["motion_frame"])
    outputs = {}
    for window in range(args["windows"]):
        cond_latent = case.given(f"{case.id}.cond_latent.{window}", shape)
        trace = Trace()
        sample(
            shape,
            times,
            RecordedPredictions(case, window, shape),
            scales,
            noise,
            known=cond_latent[:, :held] if window else None,
            device=CPU,
            observer=trace,
        )
        outputs[f"latents.{window}"] = torch.stack(trace.latents)
    noise.assert_used_up()
    return outputs


def timesteps_case(case: Case) -> Outputs:
    return {f"shift{c['shift']}_steps{c['steps']}": timesteps(c["steps"], c["shift"]) for c in case.args["cases"]}


def window_plan(case: Case) -> Outputs:
    outputs = {}
    for c in case.args["cases"]:
        # The original drops the last 3 frames of the audio.
        plan = plan_windows(c["audio_frames"], c["frame_num"], c["motion_frame"], c["max_frames"], drop_tail=3)
        assert (len(plan.windows), plan.output_frames) == (c["windows"], c["output_frames"])
        outputs[c["name"]] = torch.tensor([window.rows for window in plan.windows])
    return outputs


def teacache_plan(case: Case) -> Outputs:
    model = models.dit(case)
    assert case.args["warmup_steps"] == ALWAYS_COMPUTED
    outputs = {}
    for c in case.args["cases"]:
        times = timesteps(c["steps"], c["shift"])[:-1]
        with torch.inference_mode():
            plan = plan_steps(model.time_conditioning(times).blocks, c["size"], c["threshold"])
        computed = torch.tensor([float(step.compute) for step in plan])
        assert 3 * int(computed.sum()) == c["computed"]
        outputs[c["name"]] = computed[:, None].expand(-1, 3)
        outputs[f"{c['name']}.accumulated"] = torch.tensor([step.accumulated for step in plan])
        outputs[f"{c['name']}.rel_l1"] = torch.tensor([step.change for step in plan])
    return outputs


def teacache_run(case: Case) -> Outputs:
    args, model = case.args, models.dit(case)
    latents = case.input("cond_latent")
    condition = torch.cat((known_mask(1, args["frame_num"], latents), latents))
    features = torch.stack([case.given(spec) for spec in case.record["inputs"]["audio_embeddings"]])
    assert len(features) == args["people"]
    window = plan_windows(features.shape[1], args["frame_num"], 1, args["frame_num"]).windows[0]
    masks = token_masks(whole_picture((latents.shape[-2], latents.shape[-1])), model.grid(latents.shape)[1:])
    inputs = WindowInputs(condition, case.input("clip_fea"), gather(features, window), masks)
    times = timesteps(args["steps"], args["shift"])
    scales = GuidanceScales(args["text_scale"], args["audio_scale"])
    with torch.inference_mode():
        time = model.time_conditioning(times[:-1])
        plan = plan_steps(time.blocks, args["size"], args["threshold"])
        prompts = Prompts(case.input("context"), case.input("context_null"))
        predictor = WindowPredictor(model, inputs, prompts, scales.passes, time, plan)
        noise = RecordedNoise(case, [case.record["inputs"]["noise"]])
        trace = Trace()
        sample(latents.shape, times, predictor, scales, noise, known=None, device=CPU, observer=trace)
    computed = torch.tensor([float(step.compute) for step in plan])[:, None].expand(-1, 3)
    return {"latents": torch.stack(trace.latents), "computed": computed, "y": condition}


class Recorder:
    """A pipeline observer that collects what the recorded generations hold."""

    def __init__(self) -> None:
        self.outputs: Outputs = {}
        self.traces: list[Trace] = []

    def window(self, number: int, opening: Opening, inputs: WindowInputs) -> Trace:
        self.outputs[f"y.{number}"] = inputs.condition
        self.outputs[f"cond_pixels.{number}"] = opening.shown
        self.outputs[f"clip.{number}"] = inputs.image_features[:, ::32, ::16]
        self.outputs[f"audio.{number}"] = inputs.voice_features[:, :, :, 0, :2]
        self.traces.append(Trace())
        return self.traces[-1]

    def decoded(self, number: int, frames: Tensor) -> None:
        self.outputs[f"raw.{number}"] = frames

    def finish(self) -> Outputs:
        for number, trace in enumerate(self.traces):
            self.outputs[f"latents.{number}"] = torch.stack(trace.latents)
            self.outputs[f"pred.{number}"] = trace.predictions[0]
        return self.outputs


def recipe_of(case: Case) -> Recipe:
    """The settings of a recorded generation."""
    args = case.args
    recipe = Recipe(
        prompt=args["prompt"],
        negative_prompt=args["negative_prompt"],
        sampling=Sampling(
            steps=args["sampling_steps"],
            text_guidance=args["text_guide_scale"],
            audio_guidance=args["audio_guide_scale"],
            shift=args["shift"],
            use_apg=bool(args["apg_on"]),
            teacache_threshold=args.get("teacache_threshold", 0.0),
        ),
        resolution=args.get("teacache_size", "multitalk-480").replace("infinitetalk", "multitalk"),
        colour_strength=args["color_correction_strength"],
        max_frames=args["max_frames_num"],
    )
    assert recipe.scales == scales_of(case, "text_guide_scale", "audio_guide_scale", "apg_on")
    return recipe


def generate(case: Case) -> Outputs:
    args, parts = case.args, models.all_parts(case)
    image = case.stored("image").to(torch.uint8).numpy()
    height, width = args["target_size"]
    assert (args["vae_stride"], args["patch_size"]) == ([TIME_STRIDE, SPACE_STRIDE, SPACE_STRIDE], [1, 2, 2])
    features = torch.stack([case.given(spec) for spec in case.record["inputs"]["audio_embeddings"]])
    assert len(features) == args["people"]
    masks = masks_of(args["people"], args.get("bbox"), image.shape[:2], (height, width))
    scene = Scene(Still(to_pixels(resize_crop(Image.fromarray(image), height, width))), FeatureTable(features), masks)
    recipe = replace(recipe_of(case), drop_tail=3)
    noise = RecordedNoise(case, case.record["inputs"]["noise (in order of use)"])
    recorder = Recorder()
    pipeline = Pipeline(parts, Geometry(args["frame_num"], args["motion_frame"]), CPU, predictor=PREDICTOR)
    video = torch.cat(list(pipeline.run(scene, recipe, noise, Hooks(observer=recorder))), dim=1)
    noise.assert_used_up()
    contexts = parts.text.encode([args["prompt"], args["negative_prompt"]])
    return recorder.finish() | {
        "video": video,
        "masks": masks,
        "timesteps": timesteps(args["sampling_steps"], args["shift"]),
        "context": contexts[0],
        "context_null": contexts[1],
    }
