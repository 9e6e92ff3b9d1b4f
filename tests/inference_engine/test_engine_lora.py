"""LoRA files at load: what they change in each dialect, at which strength, and which are refused."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from inference.engine import CheckpointError, MultiTalkEngine, load_engine
from inference.engine.checkpoint.files import find_files
from inference.engine.checkpoint.lora import Lora
from inference.engine.checkpoint.store import SafetensorsStore, Shape
from inference.generation import LoraFile
from inference.multitalk import AUDIO, BASE, WAV2VEC

TARGET = "blocks.0.self_attn.q"
RANK = 2
DIFFUSERS = {
    "blocks.0.self_attn.q": "blocks.0.attn1.to_q",
    "blocks.0.self_attn.o": "blocks.0.attn1.to_out.0",
    "blocks.0.cross_attn.k": "blocks.0.attn2.to_k",
    "blocks.0.cross_attn.k_img": "blocks.0.attn2.add_k_proj",
    "blocks.0.cross_attn.v_img": "blocks.0.attn2.add_v_proj",
    "blocks.0.ffn.0": "blocks.0.ffn.net.0.proj",
    "blocks.1.ffn.2": "blocks.1.ffn.net.2",
    "text_embedding.0": "condition_embedder.text_embedder.linear_1",
    "time_embedding.2": "condition_embedder.time_embedder.linear_2",
    "time_projection.1": "condition_embedder.time_proj",
    "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
    "head.head": "proj_out",
}


@pytest.fixture(scope="session")
def parameters(tiny_volume: Path) -> Mapping[str, Shape]:
    files = find_files(tiny_volume, BASE, WAV2VEC, AUDIO)
    return SafetensorsStore([*files.shards, files.audio_layers]).shapes


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., Path]:
    def save(tensors: dict[str, Tensor], name: str = "one.safetensors", **metadata: str) -> Path:
        save_file(tensors, tmp_path / name, metadata=metadata or None)
        return tmp_path / name

    return save


def pairs(parameters: Mapping[str, Shape], modules: tuple[str, ...] = (TARGET,)) -> dict[str, tuple[Tensor, Tensor]]:
    """By module: down and up, whose product has the same value everywhere."""
    made = {}
    for module in modules:
        rows, columns = parameters[f"{module}.weight"]
        made[module] = torch.full((RANK, columns), 0.5), torch.full((rows, RANK), 0.25)
    return made


PRODUCT = RANK * 0.5 * 0.25


def plain(parameters: Mapping[str, Shape], prefix: str = "diffusion_model.") -> dict[str, Tensor]:
    down, up = pairs(parameters)[TARGET]
    return {f"{prefix}{TARGET}.lora_down.weight": down, f"{prefix}{TARGET}.lora_up.weight": up}


def added(path: Path, parameters: Mapping[str, Shape], strength: float = 1.0) -> dict[str, float]:
    """What a file adds to each parameter: it must be one number for all of it."""
    lora = Lora(LoraFile(path, strength), parameters)
    found = {}
    for name in lora.changes:
        merged = lora.merge(name, torch.zeros(parameters[name]))
        assert merged.min() == merged.max(), name
        found[name] = merged.max().item()
    return found


@pytest.mark.parametrize("strength", [1.0, 1.2, 0.5, -1.0])
def test_a_pair_adds_its_product_times_the_strength(
    saved: Callable[..., Path], parameters: Mapping[str, Shape], strength: float
) -> None:
    found = added(saved(plain(parameters)), parameters, strength)
    assert found == pytest.approx({f"{TARGET}.weight": strength * PRODUCT})


def kohya(name: str) -> str:
    return "lora_unet_" + name.replace(".", "_")


DIALECTS: dict[str, tuple[Callable[[str], str], str, str]] = {
    "the official code, FusionX, lightx2v": (lambda name: f"diffusion_model.{name}", "lora_down", "lora_up"),
    "PEFT, diffusion-pipe, ai-toolkit": (lambda name: f"diffusion_model.{name}", "lora_A", "lora_B"),
    "no prefix": (lambda name: name, "lora_down", "lora_up"),
    "a model's file of PEFT": (lambda name: f"base_model.model.{name}", "lora_A", "lora_B"),
    "PEFT with an adapter's name": (lambda name: f"base_model.model.{name}", "lora_A.default", "lora_B.default"),
    "DiffSynth": (lambda name: f"pipe.dit.{name}", "lora_A.default", "lora_B.default"),
    "kohya, musubi": (kohya, "lora_down", "lora_up"),
    "diffusers": (lambda name: f"transformer.{DIFFUSERS[name]}", "lora_A", "lora_B"),
    "diffusers, older": (lambda name: f"transformer.{DIFFUSERS[name]}", "lora.down", "lora.up"),
    "diffusers through kohya": (lambda name: kohya(DIFFUSERS[name]), "lora_down", "lora_up"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_names_the_same_parameters(
    saved: Callable[..., Path], parameters: Mapping[str, Shape], dialect: str
) -> None:
    name_of, down_name, up_name = DIALECTS[dialect]
    tensors = {}
    for module, (down, up) in pairs(parameters, tuple(DIFFUSERS)).items():
        tensors[f"{name_of(module)}.{down_name}.weight"] = down
        tensors[f"{name_of(module)}.{up_name}.weight"] = up
    assert added(saved(tensors), parameters) == {f"{module}.weight": PRODUCT for module in DIFFUSERS}


@pytest.mark.parametrize("alpha", [RANK, RANK / 4, 1.0, 32.0])
def test_alpha_over_rank_scales_pairs(
    saved: Callable[..., Path], parameters: Mapping[str, Shape], alpha: float
) -> None:
    for number, shape in enumerate(((), (1,))):
        tensors = plain(parameters) | {f"diffusion_model.{TARGET}.alpha": torch.full(shape, alpha)}
        found = added(saved(tensors, f"{number}.safetensors"), parameters)
        assert found == pytest.approx({f"{TARGET}.weight": PRODUCT * alpha / RANK})


@pytest.mark.parametrize(
    ("settings", "factor"),
    [({"lora_alpha": 1, "r": RANK}, 0.5), ({"lora_alpha": 8, "use_rslora": True}, 8 / RANK**0.5), ({}, 1.0)],
    ids=["alpha and rank", "by the root of the rank", "none"],
)
def test_alpha_is_read_where_peft_and_diffusers_keep_it(
    saved: Callable[..., Path],
    tmp_path: Path,
    parameters: Mapping[str, Shape],
    settings: dict[str, object],
    factor: float,
) -> None:
    wanted = pytest.approx({f"{TARGET}.weight": PRODUCT * factor})
    (tmp_path / "adapter_config.json").write_text(json.dumps(settings))
    assert added(saved(plain(parameters), "adapter_model.safetensors"), parameters) == wanted
    assert added(saved(plain(parameters)), parameters) == {f"{TARGET}.weight": PRODUCT}  # the settings are not its own
    text = json.dumps({f"transformer.{key}": value for key, value in settings.items()})
    assert added(saved(plain(parameters), lora_adapter_metadata=text), parameters) == wanted


def test_additions_as_they_are_reach_weight_bias_and_modulation(
    saved: Callable[..., Path], parameters: Mapping[str, Shape]
) -> None:
    names = {
        "diffusion_model.blocks.0.norm3.diff": "blocks.0.norm3.weight",
        "diffusion_model.blocks.0.norm3.diff_b": "blocks.0.norm3.bias",
        "diffusion_model.blocks.0.diff_m": "blocks.0.modulation",
        "diffusion_model.head.diff_m": "head.modulation",
        "transformer.blocks.1.norm2.diff": "blocks.1.norm3.weight",  # diffusers' numbers
        "diffusion_model.patch_embedding.diff": "patch_embedding.weight",
    }
    tensors = {key: torch.full(parameters[name], 0.5) for key, name in names.items()}
    assert added(saved(tensors), parameters, 0.5) == dict.fromkeys(names.values(), 0.25)


def test_a_bias_of_peft_goes_with_its_pair(saved: Callable[..., Path], parameters: Mapping[str, Shape]) -> None:
    tensors = {
        key.replace("lora_down", "lora_A").replace("lora_up", "lora_B"): t for key, t in plain(parameters).items()
    }
    tensors[f"diffusion_model.{TARGET}.lora_B.bias"] = torch.ones(parameters[f"{TARGET}.bias"])
    tensors[f"diffusion_model.{TARGET}.alpha"] = torch.tensor(1.0)
    assert added(saved(tensors), parameters) == {f"{TARGET}.weight": PRODUCT / 2, f"{TARGET}.bias": 0.5}


ANY = torch.zeros(RANK)
REFUSED: dict[str, tuple[dict[str, Tensor], str]] = {
    "half a pair": (
        {f"diffusion_model.{TARGET.replace('q', 'k')}.lora_down.weight": torch.zeros(RANK, 64)},
        r"1 keys of pairs without their other half: diffusion_model\.blocks\.0\.self_attn\.k\.lora_down\.weight",
    ),
    "DoRA": ({f"diffusion_model.{TARGET}.dora_scale": ANY}, r"1 keys of DoRA: .*dora_scale: only plain LoRA"),
    "DoRA of PEFT": (
        {f"base_model.model.{TARGET}.lora_magnitude_vector.weight": ANY},
        "1 keys of DoRA",
    ),
    "LoKr": ({f"diffusion_model.{TARGET}.lokr_w1": ANY}, "1 keys of LoKr"),
    "LoHa": ({"lycoris_blocks_0.hada_w1_a": ANY}, "1 keys of LoHa"),
    "a middle tensor": ({f"diffusion_model.{TARGET}.lora_mid.weight": ANY}, "1 keys of LoCon with a middle tensor"),
    "a block too many": (
        {"diffusion_model.blocks.9.self_attn.q.diff": ANY},
        r"the model has no blocks\.9\.self_attn\.q\.weight \(1 such keys\)",
    ),
    "a bias that is none": (
        {"diffusion_model.blocks.0.self_attn.norm_q.diff_b": ANY},
        r"no blocks\.0\.self_attn\.norm_q\.bias",
    ),
    "a whole weight": ({f"diffusion_model.{TARGET}.weight": ANY}, "1 keys of unknown meaning"),
    "the same twice": ({f"{TARGET}.lora_up.weight": torch.zeros(64, RANK)}, "1 keys of changes that are in it twice"),
    "another shape": (
        {"diffusion_model.blocks.0.ffn.0.diff": torch.zeros(64, 64)},
        r"the change of blocks\.0\.ffn\.0\.weight is \[64, 64\], not \[128, 64\]",
    ),
    "unequal ranks": (
        {f"{TARGET[:-1]}v.lora_down.weight": torch.zeros(4, 64), f"{TARGET[:-1]}v.lora_up.weight": torch.zeros(64, 3)},
        r"the halves of the change of blocks\.0\.self_attn\.v\.weight have ranks 3 and 4",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_fits_in_part_is_refused(
    saved: Callable[..., Path], parameters: Mapping[str, Shape], case: str
) -> None:
    more, reason = REFUSED[case]
    with pytest.raises(CheckpointError, match=rf"^merging one\.safetensors: .*{reason}"):
        Lora(LoraFile(saved(plain(parameters) | more)), parameters)


@pytest.mark.parametrize(
    "keys",
    [
        ("unet.down.lora_down.weight", "unet.down.lora_up.weight"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight",),
    ],
    ids=["an older picture model", "another video model"],
)
def test_a_file_for_another_model_is_refused(
    saved: Callable[..., Path], parameters: Mapping[str, Shape], keys: tuple[str, ...]
) -> None:
    with pytest.raises(CheckpointError, match=r"merging one\.safetensors: .*no key fits: it is for another model"):
        Lora(LoraFile(saved({key: torch.zeros(2, 4) for key in keys})), parameters)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [({"use_dora": True}, "DoRA"), ({"alpha_pattern": {"q": 4}}, "alpha_pattern")],
    ids=["DoRA", "alpha by pattern"],
)
def test_settings_that_cannot_be_followed_are_refused(
    saved: Callable[..., Path], parameters: Mapping[str, Shape], settings: dict[str, object], reason: str
) -> None:
    path = saved(plain(parameters), lora_adapter_metadata=json.dumps(settings))
    with pytest.raises(CheckpointError, match=reason):
        Lora(LoraFile(path), parameters)


def test_an_alpha_that_is_no_number_is_refused(saved: Callable[..., Path], parameters: Mapping[str, Shape]) -> None:
    path = saved(plain(parameters) | {f"diffusion_model.{TARGET}.alpha": torch.tensor(float("nan"))})
    with pytest.raises(CheckpointError, match=r"self_attn\.q\.alpha is not a number"):
        Lora(LoraFile(path), parameters)


def test_what_can_be_left_out_is_told(
    saved: Callable[..., Path], parameters: Mapping[str, Shape], caplog: pytest.LogCaptureFixture
) -> None:
    """A text encoder's changes; and those of text-to-video models, whose pictures come in with fewer channels."""
    dim, channels, *patch = parameters["patch_embedding.weight"]
    more = {
        "lora_te_encoder_q.lora_up.weight": ANY,
        "diffusion_model.patch_embedding.diff": torch.zeros(dim, channels - 20, *patch),
    }
    with caplog.at_level(logging.WARNING):
        assert added(saved(plain(parameters) | more), parameters) == {f"{TARGET}.weight": PRODUCT}
    assert [record.getMessage() for record in caplog.records] == [
        "merging one.safetensors: not used: 1 keys for a text encoder: lora_te_encoder_q.lora_up.weight",
        "merging one.safetensors: not used: 1 keys for text-to-video models: diffusion_model.patch_embedding.diff",
    ]


def test_the_log_says_what_is_merged(
    saved: Callable[..., Path], parameters: Mapping[str, Shape], caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(plain(parameters) | {f"diffusion_model.{TARGET}.alpha": torch.tensor(1.0)})
    with caplog.at_level(logging.INFO):
        Lora(LoraFile(path, 0.8), parameters)
    (record,) = caplog.records
    found = {"lora": "one.safetensors", "parameters": 1, "strength": 0.8, "alpha_over_rank": "0.5"}
    assert (record.getMessage(), vars(record)["fields"]) == ("merging", found)


def load(volume: Path, *files: LoraFile) -> MultiTalkEngine:
    return load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu", loras=files)


def test_files_add_up_each_at_its_strength_and_other_parameters_stay(
    engine: MultiTalkEngine, tiny_volume: Path, saved: Callable[..., Path], parameters: Mapping[str, Shape]
) -> None:
    path = saved(plain(parameters))
    merged = load(tiny_volume, LoraFile(path), LoraFile(path, 0.5))._parts.dit.state_dict()
    before = engine._parts.dit.state_dict()
    assert [name for name in before if not torch.equal(before[name], merged[name])] == [f"{TARGET}.weight"]
    change = merged[f"{TARGET}.weight"] - before[f"{TARGET}.weight"]
    assert torch.allclose(change, torch.full_like(change, 1.5 * PRODUCT), atol=1e-6)


def test_a_wrong_file_is_refused_before_anything_is_loaded(tiny_volume: Path, tmp_path: Path) -> None:
    read: list[object] = []
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        load_engine(
            tiny_volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu",
            loras=[LoraFile(tmp_path / "absent.safetensors")], on_progress=read.append,
        )  # fmt: skip
    assert not read
