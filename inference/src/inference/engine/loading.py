"""From a volume to an engine: find the files, plan the memory, load the five networks in turn."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch

from inference.engine import components
from inference.engine.checkpoint.files import ModelFiles, check_index, find_files, read_settings
from inference.engine.checkpoint.lora import Lora
from inference.engine.checkpoint.other_layouts import foreign_names
from inference.engine.checkpoint.prepared import PreparedWeights, open_prepared
from inference.engine.checkpoint.store import SafetensorsStore, TensorStore, TorchStore
from inference.engine.checkpoint.streaming import READ_AHEAD, Home, LoadReport
from inference.engine.components import Components
from inference.engine.device import DTYPES, apply_memory_limit, choose_device, choose_dtype
from inference.engine.dit.config import DitConfig
from inference.engine.dit.model import MultiTalkDiT
from inference.engine.dit.parallel import ALONE
from inference.engine.encoders.clip import PREFIX as PICTURE_PREFIX
from inference.engine.encoders.text import read_tokenizer
from inference.engine.encoders.vae import VaeSizes
from inference.engine.errors import CheckpointError, EngineError
from inference.engine.geometry import Geometry
from inference.engine.group import Group
from inference.engine.memory import MemoryPlan, ModelBytes, plan_memory, work_bytes
from inference.engine.offload import BlockPlacement
from inference.engine.video.buckets import SIZES
from inference.generation import FindCopy, LoadProgress, LoraFile, PreparedCopy

log = logging.getLogger(__name__)

T = TypeVar("T")
OnProgress = Callable[[LoadProgress], None]


class Loader:
    """Loads the networks of one volume to one device."""

    def __init__(
        self,
        files: ModelFiles,
        device: torch.device,
        dtype: torch.dtype,
        memory_limit_bytes: int | None,
        loras: Sequence[LoraFile],
        on_progress: OnProgress | None,
        room_for: str,
        find_copy: FindCopy,
        group: Group | None,
    ) -> None:
        self._files = files
        self.device = device
        self._dtype = dtype
        self._limit = memory_limit_bytes
        self._loras = loras
        self._on_progress = on_progress
        self._room_for = room_for
        self._find_copy = find_copy
        self._group = group
        self.settings = read_settings(files.config)
        self.geometry = Geometry.from_settings(self.settings, files.variant)
        self.reports: list[LoadReport] = []

    def load(self) -> tuple[Components, MemoryPlan]:
        """Load everything, the largest last, so that mistakes in the small ones show early."""
        started = time.monotonic()
        dit_store = self._open_transformer()
        config = DitConfig.from_checkpoint(dit_store.shapes, self.settings)
        loras = [Lora(file, dit_store.shapes) for file in self._loras]
        stores = {
            "vae": TorchStore(self._files.vae),
            "voice": open_store(self._files.wav2vec),
            "clip": TorchStore(self._files.clip),
            "text": TorchStore(self._files.text),
        }
        plan = self._plan(config, dit_store, stores)
        if self._group:
            self._group.tell(plan)
        encoder_device = torch.device("cpu") if plan.encoders_on_host else self.device
        parts = self._load_parts(config, dit_store, stores, plan, encoder_device, loras)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # the pieces that tensors passed through are of no use to a generation
        seconds = time.monotonic() - started
        found = {
            "components": len(self.reports),
            "bytes": sum(report.bytes_read for report in self.reports),
            "seconds": round(seconds, 2),
            "encoders_on_host": plan.encoders_on_host,
            "host_blocks": plan.host_blocks,
        }
        if self._group:
            found |= {"devices": self._group.shards.size, "shared_blocks": plan.shared_blocks}
            self._group.meet()
        log.info("all components loaded", extra={"fields": found})
        return parts, plan

    def load_transformer(self) -> MultiTalkDiT | None:
        """Load what a process needs that follows another, by the plan of that one; None if it has ended."""
        assert self._group is not None
        plan = self._group.hear()
        if plan is None:
            return None
        dit_store = self._open_transformer()
        dit = self._load_dit(dit_store, plan, [Lora(file, dit_store.shapes) for file in self._loras])
        self._group.meet()
        return dit

    def _open_transformer(self) -> TensorStore:
        """The prepared copy where there is one to take, else the models' own files."""
        originals = SafetensorsStore(self._files.transformer)
        problem = check_index(self._files.index, {name: originals.origin(name) for name in originals.shapes})
        if problem:
            log.warning("%s", problem)
        _refuse_foreign(originals)
        return self._prepared(originals) or originals

    def _load_parts(
        self,
        config: DitConfig,
        dit_store: TensorStore,
        stores: dict[str, TensorStore],
        plan: MemoryPlan,
        encoder_device: torch.device,
        loras: Sequence[Lora],
    ) -> Components:
        # The autoencoder and the voice encoder need float32; they are small.
        wide = Home(self.device, torch.float32)
        tokenizer = read_tokenizer(self._files.tokenizer, stores["text"].shapes["token_embedding.weight"][0])
        voice_settings = read_settings(self._files.wav2vec_config)
        vae = self._keep(components.load_vae(stores["vae"], home=wide, on_bytes=self._bytes("video autoencoder")))
        voice = self._keep(
            components.load_voice(stores["voice"], voice_settings, home=wide, on_bytes=self._bytes("voice encoder"))
        )
        picture_home = Home(encoder_device, self._picture_dtype())
        clip = self._keep(
            components.load_clip(stores["clip"], home=picture_home, on_bytes=self._bytes("picture encoder"))
        )
        text_home = Home(encoder_device, self._dtype)
        on_text = self._bytes("text encoder")
        text = self._keep(
            components.load_text(stores["text"], tokenizer, config.text_len, home=text_home, on_bytes=on_text)
        )
        return Components(self._load_dit(dit_store, plan, loras), text, clip, vae, voice)

    def _load_dit(self, store: TensorStore, plan: MemoryPlan, loras: Sequence[Lora]) -> MultiTalkDiT:
        return self._keep(
            components.load_dit(
                store,
                self.settings,
                home=Home(self.device, self._dtype),
                placement=BlockPlacement(plan.host_blocks, plan.shared_blocks, self._group),
                loras=loras,
                on_bytes=self._bytes("transformer"),
            )
        )

    def _prepared(self, originals: TensorStore) -> TensorStore | None:
        """The prepared copy, if there is one and it gives the very values that the originals would give."""
        name = str(self._dtype).removeprefix("torch.")
        found = self._find_copy(name, self._files.transformer)
        if found.files and self._loras:
            found = PreparedCopy(reason="LoRA files are merged into the stored values, which it has rounded")
        if found.files:
            try:
                store = open_prepared(found.files, originals, self._dtype)
            except CheckpointError as error:
                found = PreparedCopy(reason=f"{error}. Prepare it again")
            else:
                where = {"directory": str(found.files[0].parent), "files": len(found.files)}
                log.info("loading prepared %s copy", name, extra={"fields": where})
                return store
        if found.reason:
            log.info("the prepared copy is not taken", extra={"fields": {"reason": found.reason}})
        return None

    def _keep(self, loaded: tuple[T, LoadReport]) -> T:
        self.reports.append(loaded[1])
        return loaded[0]

    def _bytes(self, component: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            if self._on_progress:
                self._on_progress(LoadProgress(component, done, total))

        return report

    def _picture_dtype(self) -> torch.dtype:
        # The picture encoder was published for half precision; bfloat16 would cost it three bits of mantissa.
        return torch.float32 if self._dtype == torch.float32 else torch.float16

    def _plan(self, config: DitConfig, dit_store: TensorStore, stores: dict[str, TensorStore]) -> MemoryPlan:
        size = self._dtype.itemsize
        shards = self._group.shards if self._group else ALONE
        shards.check_heads(config.num_heads)
        block = _elements(dit_store, "blocks.0.")
        sizes = ModelBytes(
            dit=_elements(dit_store, "") * size,
            block=block * size,
            blocks=config.num_layers,
            encoders=(
                _elements(stores["text"], "") * size,
                _elements(stores["clip"], PICTURE_PREFIX) * self._picture_dtype().itemsize,
            ),
            always=(_elements(stores["vae"], "") + _elements(stores["voice"], "")) * 4,
            # As stored, and the one that is being brought into the wanted type.
            arriving=(READ_AHEAD + 1) * max(map(dit_store.size_bytes, dit_store.shapes)),
        )
        work = work_bytes(config, size, VaeSizes.from_shapes(stores["vae"].shapes).dim, shards.size)
        pixels = self.geometry.most_pixels(self._room_for)
        return plan_memory(self._limit, sizes, work, self.geometry.tokens(pixels), pixels, shards.size)


def open_loader(
    volume: Path,
    base: str,
    wav2vec: str,
    audio: str,
    device: str,
    dtype: str | None,
    memory_limit_bytes: int | None,
    loras: Sequence[LoraFile],
    on_progress: OnProgress | None,
    room_for: str,
    find_copy: FindCopy,
    group: Group | None = None,
) -> Loader:
    """Check the settings and find the files; each process of a group does, and the smallest limit counts."""
    if room_for not in SIZES:
        raise EngineError(f"planning the memory: {room_for!r} is not one of {', '.join(SIZES)}")
    files = find_files(volume, base, wav2vec, audio)
    target = choose_device(device)
    limit = apply_memory_limit(memory_limit_bytes, target)
    if group:
        limit = group.least(limit)
    return Loader(files, target, choose_dtype(dtype, target), limit, loras, on_progress, room_for, find_copy, group)


def open_weights(volume: Path, base: str, wav2vec: str, audio: str, dtype: str) -> tuple[ModelFiles, PreparedWeights]:
    """What a prepared copy of the transformer holds, and the files that it is made of."""
    files = find_files(volume, base, wav2vec, audio)
    store = SafetensorsStore(files.transformer)
    _refuse_foreign(store)
    return files, PreparedWeights(store, DTYPES[dtype])


def open_store(path: Path) -> TensorStore:
    """Open a checkpoint file of either format."""
    return SafetensorsStore([path]) if path.suffix == ".safetensors" else TorchStore(path)


def _refuse_foreign(store: TensorStore) -> None:
    if reason := foreign_names(store.shapes):
        raise CheckpointError(f"reading {store.origin(next(iter(store.shapes)))}: {reason}")


def _elements(store: TensorStore, prefix: str) -> int:
    return sum(torch.Size(shape).numel() for name, shape in store.shapes.items() if name.startswith(prefix))
