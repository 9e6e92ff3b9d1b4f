"""The settings of a server, each a flag and a variable: `--max-seconds` is MULTITALK_MAX_SECONDS."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from inference.generation import LoraFile, Sampling
from inference.media.limits import DEFAULT_LIMITS, MediaLimits
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference.server.hosts import host_name
from inference.server.presets import PRESETS, lora_file, sampling_defaults
from init_sync.shell import flags
from init_sync.shell.flags import ANY_HOST, PORT, flag, number, one_of, several, whole
from init_sync.shell.log_settings import LogSettings

MIB = 2**20
GIB = 2**30

EPILOG = """\
every flag can also be set in the environment: --max-seconds is MULTITALK_MAX_SECONDS.

examples:
  multitalk-server --spec /etc/modelcache/modelcache.yaml --volume /models
  multitalk-server --spec examples/multitalk.yaml --volume ./models --device cpu --port 8080
  multitalk-server prepare --spec examples/multitalk.yaml --volume ./models    # once, for faster starts; see its --help

then:
  curl localhost:8000/readyz
  curl localhost:8000/v1/videos -F prompt='A woman talks' -F input_reference=@face.png -F audio=@voice.wav
  curl localhost:8000/v1/videos/VIDEO_ID
  curl localhost:8000/v1/videos/VIDEO_ID/content -o video.mp4

exit codes: 0 stopped as asked, 1 volume incomplete, loading failed or a GPU lost, 2 settings that cannot work
"""


def _temporary_folder() -> str:
    """On a read-only file system without any, --help and a --scratch elsewhere still have to work."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return "/tmp"  # noqa: S108 - only a default; that it cannot be used is said when it is


def gpu_count(text: str) -> float | Literal["all"]:
    """For the flag."""
    if text == "all":
        return "all"
    try:
        return whole(1)(text)
    except ValueError as error:
        raise ValueError(f"{error}, or all") from error


POSITIVE, NOT_NEGATIVE = number(0, above=True), number(0)
DEFAULT_SCRATCH = Path(_temporary_folder()) / "multitalk"


class ModelSettings(LogSettings):
    """Which models are used: of a server, and of what prepares their copy."""

    PREFIX = "MULTITALK_"

    spec: Path = flag("the ModelCache manifest whose receipts must be on the volume", Path)
    volume: Path = flag("directory where the model volume is mounted; a server only reads it", Path)
    base_dir: str = flag("directory of the base model on the volume", default=BASE)
    wav2vec_dir: str = flag("directory of the speech model on the volume", default=WAV2VEC)
    audio_dir: str = flag("directory of the MultiTalk or InfiniteTalk weights on the volume", default=AUDIO)


class ServerConfig(ModelSettings):
    """The settings of one server process."""

    device: str = flag("torch device that generates: cuda, cuda:1, cpu", default="cuda")
    gpus: int | Literal["all"] = flag(
        "GPUs that make one video together, each in a process of its own; all: every one that is visible",
        gpu_count,
        default=1,
    )
    dtype: str | None = flag(
        "bfloat16, float16 or float32; default: what suits the device",
        one_of("bfloat16", "float16", "float32"),
        default=None,
    )
    memory_limit_gib: float | None = flag("most memory that the engine may use of each device", POSITIVE, default=None)
    room_for: str = flag(
        "largest resolution that must find room: multitalk-480 or multitalk-720",
        one_of("multitalk-480", "multitalk-720"),
        default="multitalk-480",
    )
    lora: tuple[LoraFile, ...] = flag(
        "LoRA files merged at load, separated by commas; each may say how strongly: FILE=0.8, without: 1",
        several(lora_file),
        default=(),
    )
    preset: str | None = flag(
        "steps, guidance and shift for requests that name none: fusionx or lightx2v, as these LoRAs need",
        one_of(*PRESETS),
        default=None,
    )
    compile: bool = flag("compile the transformer: slower first request, faster steps", default=False)

    model: str = flag("model name in the API", default="multitalk")
    host: str = flag("address to listen on; default: every address, IPv4 and IPv6", default=ANY_HOST)
    # Kubernetes sets MULTITALK_PORT=tcp://... in every pod beside a Service that is named multitalk.
    port: int = flag(
        "port to listen on; 0 takes a free one and logs it; in the environment MULTITALK_LISTEN_PORT",
        PORT,
        variable="MULTITALK_LISTEN_PORT",
        default=8000,
    )

    allowed_hosts: tuple[str, ...] = flag(
        "further names under which clients may ask, separated by commas: a Service's, an ingress's, "
        ".example.com with all below it, or * for any; localhost and addresses always may",
        several(host_name),
        default=(),
    )

    api_key_file: Path | None = flag(
        "file with keys, one on each line; /v1 is then for clients that send one of them as a bearer token",
        Path,
        default=None,
    )

    queue: int = flag("videos that may wait while one is generated; beyond that 429", whole(0), default=8)
    max_upload_mib: float = flag("largest request body", POSITIVE, default=64.0)
    max_seconds: float = flag(
        "maximum length of a video, of each voice and of a clip", POSITIVE, default=DEFAULT_LIMITS.seconds
    )
    max_megapixels: float = flag(
        "maximum size of a picture; each megapixel takes 24 MB of memory", POSITIVE, default=DEFAULT_LIMITS.pixels / 1e6
    )
    upload_timeout_s: float = flag("a request body must arrive within this time", POSITIVE, default=120.0)

    scratch: Path = flag(
        "directory for uploads and results, of one server alone; results in it are served again after a restart",
        Path,
        default=DEFAULT_SCRATCH,
    )
    scratch_gib: float = flag("most that the scratch directory may hold", POSITIVE, default=4.0)
    max_results: int = flag("finished videos kept; the oldest go first", whole(1), default=100)
    result_ttl_s: float = flag("how long a finished video is kept", POSITIVE, default=3600.0)

    grace_s: float = flag("after SIGTERM, the running video may take this long to finish", NOT_NEGATIVE, default=270.0)
    linger_s: float = flag(
        "after that, the time for the engine to end its step, and for the client to download",
        NOT_NEGATIVE,
        default=20.0,
    )

    @property
    def max_jobs(self) -> int:
        """Unfinished jobs at any time: those that wait and the one that runs."""
        return self.queue + 1

    @property
    def max_upload_bytes(self) -> int:
        return int(self.max_upload_mib * MIB)

    @property
    def results_budget_bytes(self) -> int:
        """Room on the scratch directory beside the uploads of all unfinished jobs."""
        return int(self.scratch_gib * GIB) - self.max_jobs * self.max_upload_bytes

    @property
    def sampling(self) -> Sampling:
        """Of requests that say nothing else."""
        return sampling_defaults(self.preset)

    @property
    def media_limits(self) -> MediaLimits:
        return MediaLimits(round(self.max_megapixels * 1e6), self.max_seconds)

    def problems(self) -> Iterator[str]:
        if self.results_budget_bytes <= 0:
            yield (
                f"--scratch-gib {self.scratch_gib:g} has no room for results: {self.max_jobs} uploads of up to "
                f"{self.max_upload_mib:g} MiB may wait at once; raise it, or lower --queue or --max-upload-mib"
            )


def make_parser() -> argparse.ArgumentParser:
    description = "Serve MultiTalk from a complete model volume through OpenAI's Videos API."
    parser = flags.make_parser("multitalk-server", description, EPILOG, lambda: version("modelcache-inference"))
    flags.add_flags(parser, ServerConfig)
    return parser


def read_config(arguments: Sequence[str], environment: Mapping[str, str]) -> ServerConfig:
    """Raises WrongSettings; ``--help`` and unknown flags end the process as argparse does."""
    return flags.read_settings(ServerConfig, make_parser().parse_args(arguments), environment)
