"""What only a GPU can show; `make test-gpu` runs it, anywhere else it is skipped.

The checkpoints are small ones: numbers against the CPU, weights that travel, memory that comes back.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from inference.engine import EngineError, MultiTalkEngine, load_engine
from inference.engine.checkpoint.staging import Staging
from inference.engine.checkpoint.store import SafetensorsStore
from inference.engine.known_frames import known_mask
from inference.engine.offload import compile_blocks
from inference.engine.predictor import Prompts, WindowInputs, WindowPredictor
from inference.engine.sampling.guidance import THREE_PASSES
from inference.engine.sampling.schedule import timesteps
from inference.generation import Cancelled, GenerationRequest, Sampling, Speaker
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference.server.metrics import DeviceMemory
from inference_engine.sounds import write_sound
from multitalk_checkpoint.tiny import TinySizes, write_tiny
from multitalk_checkpoint.weights import rule_weight

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: see `make test-gpu`"),
    pytest.mark.timeout(300),  # the first kernels of a process are compiled and loaded
]

MEDIUM = TinySizes(dim=768, heads=6, layers=6)
"""Large enough that blocks, not the allocator's granules, are what fills memory."""


@pytest.fixture(scope="session")
def tiny_volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def medium_volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("medium"), MEDIUM)


@pytest.fixture(autouse=True)
def _whole_device() -> Iterator[None]:
    """An engine bounds its process; the next test starts without a bound."""
    yield
    gc.collect()
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@pytest.fixture
def exact() -> Iterator[None]:
    """Convolutions in float32, as on the CPU, not in the 19 bits that they have by default."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture
def film(tmp_path: Path) -> GenerationRequest:
    time = np.arange(9600) / 16_000
    voice = write_sound(tmp_path / "voice.wav", 0.3 * np.sin(2 * np.pi * 220 * time), 16_000)
    picture = tmp_path / "picture.png"
    rows, columns = np.mgrid[0:90, 0:160] / 160
    Image.fromarray((np.stack((rows, columns, 1 - columns), -1) * 255).astype(np.uint8)).save(picture)
    return GenerationRequest("a person talks", picture, (Speaker(voice),), sampling=Sampling(steps=3))


def load(volume: Path, device: str = "cuda", dtype: str | None = None, limit: int | None = None) -> MultiTalkEngine:
    return load_engine(
        volume, base=BASE, wav2vec=WAV2VEC, audio=AUDIO, device=device, dtype=dtype, memory_limit_bytes=limit
    )


def one_by_one(engine: MultiTalkEngine) -> MultiTalkEngine:
    """Without batches, whose kernels round in another order."""
    engine._pipeline._batch_passes = lambda _tokens, _passes: False
    return engine


def make(engine: MultiTalkEngine, request: GenerationRequest, path: Path) -> bytes:
    engine.generate(request, path, on_progress=lambda _: None, cancelled=lambda: False)
    return path.read_bytes()


def given(name: str, *shape: int) -> Tensor:
    return rule_weight("gpu", "input", f"{name}.token_embedding.weight", shape)


def off_by(found: Tensor, expected: Tensor) -> float:
    """Relative error."""
    error: float = ((found.double().cpu() - expected.double().cpu()).norm() / expected.double().norm().cpu()).item()
    return error


def predictor(engine: MultiTalkEngine, people: int, device: str) -> WindowPredictor:
    dit = engine._parts.dit
    latents, dim = given("latents", 16, 3, 4, 6), dit.config.image_dim
    features = given("features", people, 9, 5, 3, 32)
    masks = torch.tensor([[1, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 1], [0, 1, 0, 0, 1, 0]]).bool()
    inputs = WindowInputs(
        torch.cat((known_mask(1, 9, latents), latents)).to(device),
        given("picture", 1, 257, dim).to(device),
        features.to(device),
        masks.to(device),
    )
    prompts = Prompts(given("yes", 5, 32).to(device), given("no", 3, 32).to(device))
    with torch.inference_mode():
        time = dit.time_conditioning(timesteps(3, 7.0)[:-1].to(device))
        return WindowPredictor(dit, inputs, prompts, THREE_PASSES, time, None)


def velocities(engine: MultiTalkEngine, people: int, device: str) -> Tensor:
    latent = given("latent", 16, 3, 4, 6).to(device)
    return torch.stack(list(predictor(engine, people, device).velocities(latent, 1)))


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 5e-4), ("bfloat16", 3e-2), ("float16", 5e-3)])
def test_the_transformer_computes_what_the_cpu_does(
    medium_volume: Path, people: int, dtype: str, allowed: float
) -> None:
    expected = velocities(load(medium_volume, "cpu"), people, "cpu")
    found = velocities(load(medium_volume, dtype=dtype), people, "cuda")
    assert off_by(found, expected) < allowed


@pytest.mark.usefixtures("exact")
def test_the_other_networks_compute_what_the_cpu_does(tiny_volume: Path) -> None:
    frames, latent = given("frames", 3, 9, 64, 96).clamp(-1, 1), given("latent", 16, 3, 8, 12)
    results: list[list[Tensor]] = []
    for device in ("cpu", "cuda"):
        parts = load(tiny_volume, device, "float32")._parts
        results.append(
            [
                torch.cat(parts.text.encode(["two people talk", "a man"])),
                parts.clip.encode(frames[:, 0][None].to(device)),
                parts.vae.encode(frames),
                parts.vae.decode(latent),
                parts.voice(given("wave", 16_000).to(device), 25),
            ]
        )
    for expected, found in zip(*results, strict=True):
        assert off_by(found, expected) < 2e-3


def test_tensors_pass_through_page_locked_buffers_unchanged(tmp_path: Path) -> None:
    content = {f"{size}": torch.randn(size) for size in (1, 1000, 300_000, 2_000_000)}
    save_file(content, tmp_path / "a.safetensors")
    store = SafetensorsStore([tmp_path / "a.safetensors"])
    staging = Staging(torch.device("cuda", 0), chunk_bytes=100_000, buffers=3)
    with ThreadPoolExecutor(4) as pool:
        names = list(content) * 20
        found = pool.map(lambda name: staging.upload(store, name), names)
        for name, upload in zip(names, found, strict=True):
            assert torch.equal(upload.use().cpu(), content[name])


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_a_memory_limit_holds(tiny_volume: Path, device: str) -> None:
    limit = 10**9
    engine = load(tiny_volume, device, limit=limit)
    assert engine.plan.limit_bytes == limit
    with pytest.raises(torch.OutOfMemoryError):
        torch.empty(limit, dtype=torch.uint8, device="cuda")


def test_a_step_never_waits_for_the_device(medium_volume: Path) -> None:
    made = predictor(load(medium_volume), 2, "cuda")
    latent = given("latent", 16, 3, 4, 6).cuda()
    made.velocities(latent, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        made.velocities(latent, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_same_seed_gives_the_same_film(tiny_volume: Path, film: GenerationRequest, tmp_path: Path) -> None:
    engine = load(tiny_volume)
    first = make(engine, film, tmp_path / "1.mp4")
    assert make(engine, film, tmp_path / "2.mp4") == first
    assert make(engine, replace(film, sampling=Sampling(steps=3, seed=7)), tmp_path / "3.mp4") != first


def test_weights_that_wait_on_the_host_make_the_same_film(
    medium_volume: Path, film: GenerationRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Limits of a few hundred megabytes are finer than the allocator's 20 MiB; the plan is what is asked for here.
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *_: None)
    free = one_by_one(load(medium_volume))
    expected = frames(make_file(free, film, tmp_path / "free.mp4"))
    limit = 2 * free.plan.resident_bytes
    del free
    while True:  # until some blocks, not all, are away
        limit = int(limit * 0.97)
        engine = one_by_one(load(medium_volume, limit=limit))
        if engine.plan.host_blocks >= 2:
            break
    assert engine.plan.encoders_on_host
    found = frames(make_file(engine, film, tmp_path / "limited.mp4"))
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() < 3  # of 255; one block left out makes it 26


def test_memory_comes_back_after_a_film_and_after_a_cancelled_one(
    tiny_volume: Path, film: GenerationRequest, tmp_path: Path
) -> None:
    engine = load(tiny_volume)
    make(engine, film, tmp_path / "warm.mp4")
    gc.collect()
    before = torch.cuda.memory_allocated()
    make(engine, film, tmp_path / "again.mp4")
    gc.collect()
    assert torch.cuda.memory_allocated() == before
    asked = iter([False] * 4)
    with pytest.raises(Cancelled):
        engine.generate(film, tmp_path / "no.mp4", on_progress=lambda _: None, cancelled=lambda: next(asked, True))
    gc.collect()
    assert torch.cuda.memory_allocated() == before


def test_running_out_of_memory_is_told_and_survived(tiny_volume: Path, film: GenerationRequest, tmp_path: Path) -> None:
    engine = load(tiny_volume)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 2**20) / total)
    with pytest.raises(EngineError, match="memory does not suffice"):
        make(engine, film, tmp_path / "no.mp4")
    torch.cuda.set_per_process_memory_fraction(1.0)
    with av.open(str(make_file(engine, film, tmp_path / "yes.mp4"))) as container:
        assert sum(1 for _ in container.decode(video=0)) == 15


def frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]).astype(float)


def make_file(engine: MultiTalkEngine, request: GenerationRequest, path: Path) -> Path:
    make(engine, request, path)
    return path


def test_the_metrics_show_the_device(tiny_volume: Path) -> None:
    torch.cuda.reset_peak_memory_stats()
    engine = load(tiny_volume)
    (family,) = DeviceMemory().collect()
    found = {sample.labels["kind"]: sample.value for sample in family.samples}
    assert 0 < engine.plan.resident_bytes // 2 < found["allocated"] <= found["peak"]
    assert found["allocated"] <= found["reserved"]


@pytest.mark.filterwarnings("ignore")
def test_compiled_blocks_compute_the_same(medium_volume: Path) -> None:
    engine = load(medium_volume)
    expected = velocities(engine, 2, "cuda")
    compile_blocks(engine._parts.dit.blocks)
    assert off_by(velocities(engine, 2, "cuda"), expected) < 2e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_device_rounds_as_a_prepared_copy_was_rounded(dtype: torch.dtype) -> None:
    """Originals are cast on the device, a copy was cast on a CPU: any bits but those of no number."""
    bits = torch.randint(-(2**31), 2**31, (2**22,), dtype=torch.int64, generator=torch.Generator().manual_seed(1))
    values = bits.to(torch.int32).view(torch.float32)
    values = values[~values.isnan()]
    there = values.cuda().to(dtype).cpu()
    assert torch.equal(there.view(torch.int16), values.to(dtype).view(torch.int16))
