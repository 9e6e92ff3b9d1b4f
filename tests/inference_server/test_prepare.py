"""``multitalk-server prepare`` and what a server makes of the copy, on the tiny checkpoint."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="the engine needs torch")
pytest.importorskip("diffusers", reason="the engine needs diffusers")

from safetensors.torch import load_file, save_file  # noqa: E402

from inference.engine import CheckpointError  # noqa: E402
from inference.engine.checkpoint import prepared as layout  # noqa: E402
from inference.generation import LoraFile  # noqa: E402
from inference.multitalk import AUDIO, BASE, INDEX_FILE, PREPARED_FORMAT, WAV2VEC  # noqa: E402
from inference.server.__main__ import main  # noqa: E402
from inference.server.engines import load_multitalk  # noqa: E402
from inference.server.prepared_copy import preparation  # noqa: E402
from inference_server.harness import config_for  # noqa: E402
from init_sync.volume.lock import LockTimings  # noqa: E402
from support.checkpoint import tiny_checkpoint  # noqa: E402
from support.hub import LocalHub, RepoBuilder  # noqa: E402
from support.sync import manifest, model, run_command, run_sync  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
SINGLE = "InfiniteTalk/single"
LINKS = [
    {"file": "multitalk.safetensors", "at": f"{BASE}/multitalk.safetensors"},
    {"file": INDEX_FILE, "at": f"{BASE}/{INDEX_FILE}"},
]
SPEC = manifest(
    model("base", "owner/base", path=BASE),
    model("wav2vec", "owner/wav2vec", path=WAV2VEC),
    model("multitalk", "owner/multitalk", path=AUDIO, links=LINKS),
    model("infinitetalk", "owner/infinitetalk", path="InfiniteTalk"),
    name="tiny",
)
BFLOAT16 = {"dtype": "bfloat16"}
TAKEN = "loading prepared bfloat16 copy"
Weights = dict[str, Any]


@dataclass(frozen=True)
class Ground:
    """A hub with the tiny models, and a volume on which they are complete."""

    hub: LocalHub
    folder: Path

    def repo(self, name: str) -> RepoBuilder:
        return RepoBuilder(self.folder / "hub", f"owner/{name}")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder, tiny = tmp_path_factory.mktemp("prepare"), tiny_checkpoint()
    (folder / "synced").mkdir()
    with LocalHub(folder / "hub") as hub:
        made = Ground(hub, folder)
        for name, directory in (("base", BASE), ("wav2vec", WAV2VEC), ("multitalk", AUDIO)):
            made.repo(name).commit(below(tiny / directory))
        made.repo("infinitetalk").commit({"single/infinitetalk.safetensors": tiny / AUDIO / "multitalk.safetensors"})
        assert run_sync(SPEC, folder / "synced", hub).returncode == 0
        yield made


def below(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def volume(ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete volume; copies have several files, and nothing waits."""
    monkeypatch.setattr(layout, "SHARD_BYTES", 100_000)
    monkeypatch.setattr(preparation, "LockTimings", lambda: LockTimings(poll_s=0.001))
    monkeypatch.setattr("inference.server.prepared_copy.command.end_at_signals", lambda *_: None)
    monkeypatch.setattr(
        "inference.server.prepared_copy.command.logs.set_up", lambda *_: None
    )  # it would take pytest's handlers away
    (tmp_path / "modelcache.yaml").write_text(json.dumps(SPEC))
    return Path(shutil.copytree(ground.folder / "synced", tmp_path / "volume", symlinks=True))


@pytest.fixture
def prepare(volume: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[..., int]:
    """Run the command; its exit code."""
    caplog.set_level(logging.INFO, "inference")

    def run(*arguments: str) -> int:
        spec = volume.parent / "modelcache.yaml"
        words = ["multitalk-server", "prepare", "--spec", str(spec), "--volume", str(volume), *arguments]
        monkeypatch.setattr("sys.argv", words)
        return main()

    return run


@pytest.fixture
def load(volume: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., tuple[Weights, list[str]]]:
    """Load as the server does; the transformer's weights, and what the log says of copies."""

    def run(**settings: Any) -> tuple[Weights, list[str]]:
        caplog.clear()
        caplog.set_level(logging.INFO, "inference")
        config = config_for(volume.parent, **{"device": "cpu", **settings})
        engine: Any = load_multitalk(config, lambda _: None)
        told = [
            f"{record.message}: {getattr(record, 'fields', {}).get('reason', '')}".rstrip(": ")
            for record in caplog.records
            if "prepared" in record.message
        ]
        return dict(engine._parts.dit.named_parameters()), told

    return run


def copies(volume: Path) -> list[Path]:
    return sorted((volume / "prepared").glob("*/*"))


def same(one: Weights, other: Mapping[str, Any]) -> bool:
    """Bit for bit, the sign of zero included."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype and torch.equal(one[name].view(torch.int16), other[name].view(torch.int16))
        for name in one
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("audio", [AUDIO, SINGLE], ids=["MultiTalk", "InfiniteTalk"])
def test_every_parameter_from_the_copy_is_the_original_cast_bit_for_bit(
    volume: Path, prepare: Callable[..., int], load: Callable[..., tuple[Weights, list[str]]], audio: str, dtype: str
) -> None:
    originals, told = load(audio_dir=audio, dtype=dtype)
    assert told == []
    assert prepare("--audio-dir", audio, "--dtype", dtype) == 0
    assert len(copies(volume)) > 3
    loaded, told = load(audio_dir=audio, dtype=dtype)
    assert told == [f"loading prepared {dtype} copy"]
    assert same(loaded, originals)
    stored = {name: tensor for path in copies(volume) for name, tensor in load_file(path).items()}
    assert same(stored, originals), "safetensors' own reader sees the same"


def test_the_copies_of_both_variants_and_types_lie_side_by_side(
    volume: Path, prepare: Callable[..., int], load: Callable[..., tuple[Weights, list[str]]]
) -> None:
    for flags in ([], ["--audio-dir", SINGLE], ["--dtype", "float16"]):
        assert prepare(*flags) == 0
    assert len({path.parent for path in copies(volume)}) == 3
    assert load(**BFLOAT16)[1] == [TAKEN]
    assert load(**BFLOAT16, audio_dir=SINGLE)[1] == [TAKEN]
    assert load(dtype="float16")[1] == ["loading prepared float16 copy"]


def test_the_copy_halves_what_is_read(
    prepare: Callable[..., int], load: Callable[..., tuple[Weights, list[str]]], caplog: pytest.LogCaptureFixture
) -> None:
    def read() -> int:
        load(**BFLOAT16)
        (found,) = [each for each in caplog.records if getattr(each, "fields", {}).get("component") == "transformer"]
        return int(found.fields["bytes"])  # type: ignore[attr-defined]

    before = read()
    prepare()
    assert read() * 2 == before


def replace_base(ground: Ground, volume: Path) -> None:
    """A sync brings another commit of the base model."""
    files: dict[str, Any] = below(tiny_checkpoint() / BASE)
    files["config.json"] = files["config.json"].read_bytes() + b"\n"
    ground.repo("base").commit(files)
    try:
        assert run_sync(SPEC, volume, ground.hub, "--refresh").returncode == 0
    finally:
        ground.repo("base").commit(below(tiny_checkpoint() / BASE))


def rewrite(path: Path, change: Callable[[Weights], object]) -> None:
    """Other content under the old size and time, as no stat shows."""
    state, tensors = path.stat(), load_file(path)
    change(tensors)
    save_file(tensors, path)
    os.truncate(path, state.st_size) if path.stat().st_size > state.st_size else None
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def first(volume: Path) -> Path:
    return copies(volume)[0]


def receipt(volume: Path) -> Path:
    (path,) = (volume / ".modelcache/receipts").glob("prepared--*")
    return path


OTHER = "none on the volume is of these models as they are, in"
NOT_AS_RECORDED = "is not as its receipt says. Prepare it again"
NEVER: dict[str, tuple[Callable[[Ground, Path], object], dict[str, Any], str]] = {
    "the models were updated": (replace_base, BFLOAT16, f"{OTHER} bfloat16"),
    "of another type": (lambda *_: None, {"dtype": "float16"}, f"{OTHER} float16"),
    "float32 is wanted": (lambda *_: None, {"dtype": "float32"}, f"{OTHER} float32"),
    "the CPU's own type": (lambda *_: None, {}, f"{OTHER} float32"),
    "of the other variant": (lambda *_: None, {**BFLOAT16, "audio_dir": SINGLE}, f"{OTHER} bfloat16"),
    "a file is cut": (lambda _, volume: os.truncate(first(volume), 100), BFLOAT16, NOT_AS_RECORDED),
    "a file is touched": (lambda _, volume: os.utime(first(volume)), BFLOAT16, NOT_AS_RECORDED),
    "a file is gone": (lambda _, volume: first(volume).unlink(), BFLOAT16, NOT_AS_RECORDED),
    "the folder is gone": (lambda _, volume: shutil.rmtree(volume / "prepared"), BFLOAT16, NOT_AS_RECORDED),
    "it has no receipt": (lambda _, volume: receipt(volume).unlink(), BFLOAT16, ""),
    "its receipt is damaged": (lambda _, volume: receipt(volume).write_bytes(b"{}"), BFLOAT16, ""),
    "a header is damaged": (
        lambda _, volume: rewrite(first(volume), lambda tensors: tensors.popitem()), BFLOAT16, "Prepare it again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NEVER.values(), ids=NEVER.keys())
def test_a_copy_is_never_taken_when(
    ground: Ground,
    volume: Path,
    prepare: Callable[..., int],
    load: Callable[..., tuple[Weights, list[str]]],
    case: tuple[Callable[[Ground, Path], object], dict[str, Any], str],
) -> None:
    change, settings, reason = case
    assert prepare() == 0
    change(ground, volume)
    loaded, told = load(**settings)
    assert [line for line in told if line.startswith("loading")] == []
    assert all("is not taken" in line and reason in line for line in told)
    assert len(told) == (1 if reason else 0)
    shutil.rmtree(volume / "prepared", ignore_errors=True)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in load(**settings)[0].items())


def test_with_a_lora_the_originals_are_merged_and_rounded_once(
    volume: Path, prepare: Callable[..., int], load: Callable[..., tuple[Weights, list[str]]], tmp_path: Path
) -> None:
    name = "blocks.0.self_attn.q.weight"
    plain, _ = load(**BFLOAT16)
    save_file(
        {f"{name.removesuffix('.weight')}.diff": torch.full(plain[name].shape, 1e-3)}, tmp_path / "lora.safetensors"
    )
    lora = {"lora": (LoraFile(tmp_path / "lora.safetensors"),)}
    assert load(**BFLOAT16, **lora)[1] == []
    before, _ = load(**BFLOAT16, **lora)
    assert prepare() == 0
    after, told = load(**BFLOAT16, **lora)
    assert told == [
        "the prepared copy is not taken: LoRA files are merged into the stored values, which it has rounded"
    ]
    assert same(after, before)


def test_a_second_run_says_that_it_is_prepared(
    volume: Path, prepare: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    assert prepare() == 0
    assert caplog.messages == ["preparing", *["file written"] * len(copies(volume)), "prepared"]
    before = {path: path.stat().st_mtime_ns for path in copies(volume)}
    assert prepare() == 0
    assert caplog.messages[-1] == "already prepared"
    assert {path: path.stat().st_mtime_ns for path in copies(volume)} == before


def test_weights_that_are_stored_as_they_are_used_give_no_copy(
    volume: Path, prepare: Callable[..., int], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in [*(volume / BASE).glob("diffusion*.safetensors"), volume / AUDIO / "multitalk.safetensors"]:
        save_file({name: tensor.bfloat16() for name, tensor in load_file(path).items()}, path.resolve())
    monkeypatch.setattr("inference.server.prepared_copy.command.verify_receipts", lambda _: None)
    assert prepare() == 0
    assert caplog.messages == ["nothing to prepare: the weights are not stored larger"]
    assert not (volume / "prepared").exists()


def test_an_incomplete_volume_is_refused(
    volume: Path, prepare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    next((volume / BASE).glob("diffusion*.safetensors")).unlink()
    assert prepare() == 1
    assert "model 'base': FileMissing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--base-dir", "elsewhere"], 1, "missing elsewhere/config.json"),
        (["--dtype", "float32"], 2, "--dtype: 'float32' is not valid; use bfloat16 or float16"),
        (["--volume", "/nowhere"], 1, "/nowhere does not exist"),
        (["--spec", "/nowhere.yaml"], 2, "/nowhere.yaml: cannot be read"),
    ],
    ids=["another folder", "another type", "no volume", "no manifest"],
)
def test_what_cannot_be_prepared_is_said_with_the_cure(
    prepare: Callable[..., int], capsys: pytest.CaptureFixture[str], flags: list[str], code: int, words: str
) -> None:
    assert prepare(*flags) == code
    assert words in capsys.readouterr().err


def test_a_file_that_is_cut_while_it_is_read_ends_it_in_one_line(
    volume: Path, prepare: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(*_: object) -> None:
        raise CheckpointError("reading multitalk.safetensors: the file ends at byte 7, it was cut meanwhile")

    monkeypatch.setattr("inference.engine.checkpoint.store.SafetensorsStore.read_into", cut)
    assert prepare() == 1
    assert capsys.readouterr().err.endswith(
        "error: reading multitalk.safetensors: the file ends at byte 7, it was cut meanwhile\n"
    )
    assert list((volume / ".modelcache/tmp").iterdir()) == []


def test_files_that_no_model_of_the_manifest_names_are_refused(
    volume: Path, prepare: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(volume / AUDIO, volume / "mine")
    assert prepare("--audio-dir", "mine") == 2
    assert "belongs to no model of" in capsys.readouterr().err


def test_a_prune_removes_the_copy_of_an_older_commit(ground: Ground, volume: Path, prepare: Callable[..., int]) -> None:
    assert prepare() == 0
    assert run_command("prune", SPEC, volume, "--json").report["files"] == 0
    replace_base(ground, volume)
    told = run_command("prune", SPEC, volume, "--json").report
    assert told["filesRemoved"] >= len(told["paths"]) > 3
    assert not (volume / "prepared").exists()


def test_the_layout_is_that_of_its_format_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of two versions continue each other's copies: raise PREPARED_FORMAT where this hash changes."""
    from inference.engine.checkpoint.prepared import PreparedWeights
    from inference.engine.checkpoint.store import SafetensorsStore

    monkeypatch.setattr(layout, "SHARD_BYTES", 40)
    save_file({"b": torch.zeros(4, 4), "a": torch.zeros(3), "c.d": torch.zeros(2, 5)}, tmp_path / "it.safetensors")
    shards = PreparedWeights(SafetensorsStore([tmp_path / "it.safetensors"]), torch.bfloat16).shards
    heads = hashlib.sha256(b"".join(each.header for each in shards)).hexdigest()
    assert (PREPARED_FORMAT, len(shards), heads[:16]) == (1, 2, "06647b0a736f9bd1")


def test_memory_does_not_grow_with_the_largest_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No piece is larger than the bound, whatever the tensor."""
    from inference.engine.checkpoint.prepared import PreparedWeights
    from inference.engine.checkpoint.store import SafetensorsStore

    monkeypatch.setattr(layout, "PIECE_ELEMENTS", 1000)
    tensors = {"large": torch.randn(100, 101), "one": torch.randn(()), "none": torch.zeros(0, 3)}
    save_file(tensors, tmp_path / "it.safetensors")
    weights = PreparedWeights(SafetensorsStore([tmp_path / "it.safetensors"]), torch.bfloat16)
    (shard,) = weights.shards
    pieces = [bytes(piece) for piece in weights.content(shard)]
    assert max(map(len, pieces[1:])) == 2000
    assert sum(map(len, pieces)) == shard.size
    (tmp_path / "copy.safetensors").write_bytes(b"".join(pieces))
    copy = load_file(tmp_path / "copy.safetensors")
    assert all(torch.equal(copy[name], tensor.bfloat16()) for name, tensor in tensors.items())
