"""What a loader accepts, what it refuses, and what it says."""

from __future__ import annotations

import json
import logging
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from inference.engine import CheckpointError, EngineError, MultiTalkEngine, load_engine
from inference.engine.checkpoint.files import find_files
from inference.engine.loading import Loader
from inference.generation import LoadProgress, PreparedCopy
from inference.multitalk import AUDIO, BASE, INDEX_FILE, WAV2VEC
from inference_engine.parity.golden import folder
from inference_engine.parity.golden import weight as golden_weight

SHARD = f"{BASE}/diffusion_pytorch_model-00002-of-00007.safetensors"
Change = Callable[[dict[str, Tensor]], object]


def load(volume: Path, **settings: object) -> MultiTalkEngine:
    return load_engine(volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="cpu", **settings)  # type: ignore[arg-type]


def rewrite(path: Path, change: Change) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def rewrite_pth(path: Path, change: Change) -> None:
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)


def test_every_parameter_is_the_files_tensor(volume: Path) -> None:
    files = [*(volume / BASE).glob("*.safetensors"), volume / AUDIO / "multitalk.safetensors"]
    stored = {name: tensor for file in files for name, tensor in load_file(file).items()}
    loaded = dict(load(volume)._parts.dit.named_parameters())
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(loaded[name], stored[name]) for name in stored)


def test_sizes_follow_from_the_checkpoint(volume: Path) -> None:
    config = load(volume)._parts.dit.config
    assert (config.dim, config.num_layers, config.audio.tokens, config.text_dim) == (64, 2, 4, 32)


def test_a_missing_tensor_is_named(volume: Path) -> None:
    rewrite(volume / SHARD, lambda tensors: tensors.pop("blocks.1.cross_attn.q.weight", None))
    rewrite(volume / AUDIO / "multitalk.safetensors", lambda tensors: tensors.pop("blocks.0.norm_x.bias"))
    with pytest.raises(CheckpointError, match=r"missing: .*blocks\.0\.norm_x\.bias"):
        load(volume)


def test_an_unexpected_tensor_is_named(volume: Path) -> None:
    rewrite(volume / SHARD, lambda tensors: tensors.update({"blocks.1.mystery.weight": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match=r"1 unexpected: blocks\.1\.mystery\.weight"):
        load(volume)


def test_a_misshaped_tensor_is_named_with_both_shapes(volume: Path) -> None:
    def widen(tensors: dict[str, Tensor]) -> None:
        tensors["blocks.1.norm_x.bias"] = torch.zeros(65)

    rewrite(volume / AUDIO / "multitalk.safetensors", widen)
    with pytest.raises(CheckpointError, match=r"blocks\.1\.norm_x\.bias is \[65\] instead of \[64\]"):
        load(volume)


def test_a_tensor_in_two_files_is_refused(volume: Path) -> None:
    rewrite(volume / SHARD, lambda tensors: tensors.update({"audio_proj.norm.bias": torch.zeros(24)}))
    with pytest.raises(CheckpointError, match=r"audio_proj\.norm\.bias is in .*00002.* too"):
        load(volume)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("models_t5_umt5-xxl-enc-bf16.pth", "blocks.1.attn.k.weight"),
        ("models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth", "visual.transformer.1.attn.to_qkv.bias"),
        ("Wan2.1_VAE.pth", "decoder.middle.1.proj.weight"),
    ],
)
def test_a_missing_tensor_of_an_encoder_is_named(volume: Path, file: str, name: str) -> None:
    rewrite_pth(volume / BASE / file, lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError, match=f"1 missing: {name}"):
        load(volume)


@pytest.mark.parametrize(
    "missing",
    [
        SHARD,
        f"{BASE}/config.json",
        f"{BASE}/Wan2.1_VAE.pth",
        f"{BASE}/google/umt5-xxl/tokenizer.json",
        f"{WAV2VEC}/model.safetensors",
        f"{AUDIO}/multitalk.safetensors",
    ],
)
def test_a_missing_file_is_named(volume: Path, missing: str) -> None:
    (volume / missing).unlink()
    with pytest.raises(CheckpointError, match=f"missing .*{missing}"):
        load(volume)


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
@pytest.mark.parametrize("file", [SHARD, f"{BASE}/models_t5_umt5-xxl-enc-bf16.pth"])
def test_a_cut_file_is_refused_before_anything_is_loaded(volume: Path, file: str, keep: int) -> None:
    path = volume / file
    path.write_bytes(path.read_bytes()[:keep])
    seen: list[LoadProgress] = []
    with pytest.raises(CheckpointError, match=path.name):
        load(volume, on_progress=seen.append)
    assert not seen


def test_the_audio_layers_may_be_linked_into_the_base_directory(volume: Path) -> None:
    (volume / AUDIO / "multitalk.safetensors").rename(volume / BASE / "multitalk.safetensors")
    shutil.rmtree(volume / AUDIO)
    assert load(volume).loads


@pytest.mark.parametrize("state", ["base", "merged", "absent", "garbage", "moved"])
def test_the_index_is_not_needed_and_reported_when_wrong(
    volume: Path, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    index = volume / BASE / INDEX_FILE
    if state == "merged":
        shutil.copy(volume / AUDIO / INDEX_FILE, index)
    elif state == "absent":
        index.unlink()
    elif state == "garbage":
        index.write_bytes(b"\0\0")
    elif state == "moved":
        merged = json.loads((volume / AUDIO / INDEX_FILE).read_bytes())
        merged["weight_map"]["head.modulation"] = "elsewhere.safetensors"
        index.write_text(json.dumps(merged))
    with caplog.at_level(logging.WARNING):
        load(volume)
    warned = [record.message for record in caplog.records if INDEX_FILE in record.message]
    assert bool(warned) == (state not in ("merged", "absent"))
    if state == "base":
        assert "26 tensors not listed" in warned[0]


def test_progress_counts_every_byte_of_every_component(tiny_volume: Path) -> None:
    seen: list[LoadProgress] = []
    engine = load(tiny_volume, on_progress=seen.append)
    for report in engine.loads:
        steps = [p for p in seen if p.component == report.component]
        assert [p.bytes_done for p in steps] == sorted(p.bytes_done for p in steps)
        assert steps[-1].bytes_done == steps[-1].bytes_total == report.bytes_read > 0
    assert {report.component for report in engine.loads} == {p.component for p in seen}


def test_loading_logs_seconds_and_rate(tiny_volume: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        load(tiny_volume)
    found = [record.__dict__.get("fields", {}) for record in caplog.records]
    (transformer,) = [fields for fields in found if fields.get("component") == "transformer"]
    assert {"tensors", "bytes", "seconds", "gb_per_second"} <= transformer.keys()


def test_weights_take_the_wanted_type(tiny_volume: Path) -> None:
    parts = load(tiny_volume, dtype="bfloat16")._parts
    assert {p.dtype for p in parts.dit.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in parts.vae.model.parameters()} == {torch.float32}
    with pytest.raises(EngineError, match="'int8' is not one of"):
        load(tiny_volume, dtype="int8")


def test_the_voice_encoder_falls_back_to_the_pickle_of_the_main_branch(volume: Path, tiny_volume: Path) -> None:
    path = volume / WAV2VEC / "model.safetensors"
    torch.save(load_file(path), path.with_name("pytorch_model.bin"))
    path.unlink()
    expected = dict(load(tiny_volume)._parts.voice.named_parameters())
    assert all(torch.equal(p, expected[name]) for name, p in load(volume)._parts.voice.named_parameters())


def test_a_pickle_of_before_the_zip_format_is_read(volume: Path) -> None:
    path = volume / BASE / "Wan2.1_VAE.pth"
    torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)
    assert load(volume).loads


def test_the_new_spelling_of_weight_norm_is_read(volume: Path, tiny_volume: Path) -> None:
    def respell(tensors: dict[str, Tensor]) -> None:
        for number, old in enumerate(("weight_g", "weight_v")):
            name = f"wav2vec2.encoder.pos_conv_embed.conv.{old}"
            tensors[name.replace(old, f"parametrizations.weight.original{number}")] = tensors.pop(name)

    rewrite(volume / WAV2VEC / "model.safetensors", respell)
    expected = load(tiny_volume)._parts.voice.encoder.pos_conv_embed.conv.weight_g
    assert torch.equal(load(volume)._parts.voice.encoder.pos_conv_embed.conv.weight_g, expected)


class Malice:
    """Unpickles by calling a function."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_a_pickle_that_calls_functions_is_refused(volume: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = volume / BASE / "Wan2.1_VAE.pth"
    path.write_bytes(pickle.dumps({"weight": Malice()}, protocol=2))
    with pytest.raises(CheckpointError, match=r"reading Wan2\.1_VAE\.pth"):
        load(volume)
    torch.save({"weight": Malice()}, path)
    with pytest.raises(CheckpointError, match=r"reading Wan2\.1_VAE\.pth"):
        load(volume)
    assert "executed" not in capsys.readouterr().out


def test_models_that_do_not_belong_together_are_refused(volume: Path) -> None:
    def narrow(tensors: dict[str, Tensor]) -> None:
        for name in ("proj1.weight", "proj1_vf.weight"):
            tensors[f"audio_proj.{name}"] = tensors[f"audio_proj.{name}"][:, ::2].contiguous()

    rewrite(volume / AUDIO / "multitalk.safetensors", narrow)
    with pytest.raises(EngineError, match=r"voice features \(layers x width\) 96, the transformer expects 48"):
        load(volume)


def test_an_unknown_device_is_refused(tiny_volume: Path) -> None:
    with pytest.raises(EngineError, match="'gpu' is no device"):
        load_engine(tiny_volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device="gpu")


@pytest.mark.skipif(folder("multitalk") is None, reason="no reference folder: set MULTITALK_GOLDEN")
def test_the_reference_layout_is_accepted(tmp_path: Path) -> None:
    source = folder("multitalk")
    assert source is not None
    layout = json.loads((source / "checkpoint_layout.json").read_bytes())
    salt = json.loads((source / "cases.json").read_bytes())["salt"]
    base, voice = tmp_path / layout["base_dir"], tmp_path / layout["wav2vec_dir"]
    (base / "google/umt5-xxl").mkdir(parents=True)
    voice.mkdir()
    shutil.copyfile(source / "tokenizer.json", base / "google/umt5-xxl/tokenizer.json")
    (base / "config.json").write_text(json.dumps(layout["config_json"]))
    (base / INDEX_FILE).write_text(json.dumps(layout["merged_index"]))
    (voice / "config.json").write_text(json.dumps(layout["wav2vec"]["config"]))
    for name, file in layout["files"].items():
        model = file["weights_model"]
        tensors = {key: golden_weight(salt, model, key, shape) for key, shape in file["tensors"].items()}
        (save_file if name.endswith(".safetensors") else torch.save)(tensors, base / name)
    for name, shapes in layout["wav2vec"]["files"].items():
        tensors = {k: golden_weight(salt, "wav2vec2", k.removeprefix("wav2vec2."), s) for k, s in shapes.items()}
        save_file(tensors, voice / name)
    files = find_files(tmp_path, layout["base_dir"], layout["wav2vec_dir"], layout["base_dir"])
    loader = Loader(
        files, torch.device("cpu"), torch.float32, None, [], None, "multitalk-480", lambda *_: PreparedCopy(), None
    )
    parts, _ = loader.load()
    loaded = dict(parts.dit.named_parameters())
    assert loaded.keys() == layout["merged_index"]["weight_map"].keys()


PEAK = """
import resource, sys, torch
from pathlib import Path
from inference.engine.checkpoint.store import SafetensorsStore
from inference.engine.checkpoint.streaming import Home
from inference.engine.components import load_dit
settings = {"num_heads": 8}
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
load_dit(SafetensorsStore([Path(sys.argv[1])]), settings, home=Home(torch.device("cpu"), torch.bfloat16))  # warms up
before = peak()
model, report = load_dit(
    SafetensorsStore([Path(sys.argv[2])]), settings, home=Home(torch.device("cpu"), torch.bfloat16))
kept = sum(p.nbytes for p in model.parameters())
print(peak() - before, kept, report.bytes_read)
"""


def test_the_host_holds_only_a_few_tensors_beyond_what_stays(tmp_path: Path) -> None:
    from dataclasses import replace

    from inference.engine.dit.model import MultiTalkDiT
    from multitalk_checkpoint.tiny import TinySizes, dit_config

    largest = 0
    for name, dim, layers in (("small", 64, 1), ("large", 1024, 5)):
        config = replace(dit_config(TinySizes(dim=dim, layers=layers)), num_heads=8)
        with torch.device("meta"):
            shapes = {n: p.shape for n, p in MultiTalkDiT(config).named_parameters()}
        largest = max(4 * shape.numel() for shape in shapes.values())
        save_file({n: torch.zeros(shape) for n, shape in shapes.items()}, tmp_path / f"{name}.safetensors")
    command = [sys.executable, "-c", PEAK, *(str(tmp_path / f"{name}.safetensors") for name in ("small", "large"))]
    result = subprocess.run(command, check=True, capture_output=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    grown, kept, on_disk = map(int, result.stdout.split())
    assert kept * 2 == on_disk > 300e6
    # Three tensors are read ahead, one is being cast; the rest is the allocator's slack.
    assert grown < kept + 5 * largest + 16e6
