"""The caching check that the original asks for: a first start fetches, a second says at once that all is complete.

Under pytest like any other test, or by itself:

    python tests/test_model_caching.py
    python tests/test_model_caching.py --spec examples/multitalk.yaml --volume /models    # a hub and volume of your own

By itself, without arguments, it uses the local hub with a tiny MultiTalk.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent
sys.path.insert(0, str(TESTS))  # when run as a script; pytest has it there already

from support.checkpoint import tiny_checkpoint  # noqa: E402
from support.hub import LocalHub  # noqa: E402
from support.hub.models import build_multitalk  # noqa: E402
from support.sync import Result, run_sync, tree  # noqa: E402

SPEC = TESTS.parent / "examples" / "multitalk.yaml"
NAMES = ("Base model", "Wav2vec model", "MultiTalk weights")
FIRST = [*(f"{name} complete: False" for name in NAMES), "Some models missing or incomplete, downloading..."]
SECOND = [*(f"{name} complete: True" for name in NAMES), "All models already complete!"]


def test_the_first_start_downloads_and_the_second_is_complete_at_once(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    build_multitalk(tmp_path / "hub", tiny_checkpoint())
    with LocalHub(tmp_path / "hub") as hub:
        first = run_sync(SPEC, tmp_path / "volume", hub)
        fetched = tree(tmp_path / "volume")
        hub.reset_log()
        second = run_sync(SPEC, tmp_path / "volume", hub)

        assert first.returncode == 0, first.stderr
        assert first.lines[: len(FIRST)] == FIRST
        assert second.returncode == 0, second.stderr
        *complete, saved, last = second.lines
        assert [*complete, last] == SECOND
        assert saved.endswith(" on the volume, nothing fetched")
        assert hub.requests == [], "the second start asks nobody"
    assert tree(tmp_path / "volume") == fetched, "the second start changes nothing"


def test_the_pull_request_is_taken_when_main_has_no_safetensors_and_the_log_says_so(tmp_path: Path) -> None:
    (tmp_path / "volume").mkdir()
    build_multitalk(tmp_path / "hub", tiny_checkpoint())
    with LocalHub(tmp_path / "hub") as hub:
        result = run_sync(SPEC, tmp_path / "volume", hub)

    assert "Wav2vec model: model.safetensors is not on main" in result.lines
    assert "Wav2vec model: taking model.safetensors from refs/pr/1 instead" in result.lines
    wav2vec = next(model for model in result.report["models"] if model["name"] == "wav2vec")
    assert wav2vec["chosen"] == {"model.safetensors": "refs/pr/1"}
    assert not (tmp_path / "volume" / "chinese-wav2vec2-base" / "pytorch_model.bin").exists()


def test_run_as_a_script_it_tells_what_it_saw() -> None:
    done = subprocess.run([sys.executable, __file__], capture_output=True, text=True, timeout=50)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "All models already complete!" in done.stdout


def main() -> int:
    """Two starts, and whether they were as they should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", type=Path, help="a manifest of your own; HF_ENDPOINT and HF_TOKEN are honoured")
    parser.add_argument("--volume", type=Path, help="its volume")
    options = parser.parse_args()
    if options.spec and options.volume:
        return judge([start(options.spec, options.volume) for _ in range(2)])
    with tempfile.TemporaryDirectory() as folder:
        volume = Path(folder, "volume")
        volume.mkdir()
        build_multitalk(Path(folder, "hub"), tiny_checkpoint())
        with LocalHub(Path(folder, "hub")) as hub:
            return judge([start(SPEC, volume, hub) for _ in range(2)])


def start(spec: Path, volume: Path, hub: LocalHub | None = None) -> Result:
    began = time.monotonic()
    if hub:
        result = run_sync(spec, volume, hub)
    else:
        command = [sys.executable, "-m", "init_sync", "sync", "--spec", str(spec), "--volume", str(volume)]
        done = subprocess.run(command, capture_output=True, text=True)
        result = Result(done.returncode, done.stdout, done.stderr, {})
    print(result.stdout + result.stderr, end="")
    print(f"--- ended with {result.returncode} after {time.monotonic() - began:.2f} s\n")
    return result


def judge(starts: list[Result]) -> int:
    cached = all(result.returncode == 0 for result in starts) and starts[-1].lines[-1:] == SECOND[-1:]
    print("Caching works: the second start had nothing to do." if cached else "Caching does NOT work.")
    return 0 if cached else 1


if __name__ == "__main__":
    sys.exit(main())
