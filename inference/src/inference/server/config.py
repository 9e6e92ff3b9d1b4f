"""Everything that can be set, in one frozen record that is filled once (by `cli`) and validated once (here).

Each field carries the text of its flag; the flag is the field's name with dashes, the environment variable the same
name in capitals behind `MULTITALK_`, but for the port. Units are in the names.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from inference.media.limits import DEFAULT_LIMITS, MediaLimits
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference.server.hosts import parse_hosts

MIB = 2**20
GIB = 2**30


def _temporary_folder() -> str:
    """On a read-only file system without any, --help and a --scratch elsewhere still have to work."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return "/tmp"  # noqa: S108 - only a default; that it cannot be used is said when it is


DEFAULT_SCRATCH = Path(_temporary_folder()) / "multitalk"


class ConfigError(ValueError):
    """Settings that cannot work, all of them at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Setting:
    """What `cli` needs to know of a field: the help of its flag, and how its text becomes a value."""

    help: str
    parse: Callable[[str], object] = str
    variable: str | None = None
    """Name of the environment variable where the usual one will not do."""


def parse_bool(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def parse_paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(",") if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """The settings of one server process."""

    spec: Annotated[Path, Setting("the ModelCache manifest whose receipts must be on the volume", Path)]
    volume: Annotated[Path, Setting("directory where the model volume is mounted (read-only is enough)", Path)]
    base_dir: Annotated[str, Setting("directory of the base model on the volume")] = BASE
    wav2vec_dir: Annotated[str, Setting("directory of the speech model on the volume")] = WAV2VEC
    audio_dir: Annotated[str, Setting("directory of the MultiTalk weights on the volume")] = AUDIO

    device: Annotated[str, Setting("torch device that generates: cuda, cuda:1, cpu")] = "cuda"
    dtype: Annotated[str | None, Setting("bfloat16, float16 or float32; default: what suits the device")] = None
    memory_limit_gib: Annotated[float | None, Setting("most device memory that the engine may use", float)] = None
    room_for: Annotated[str, Setting("largest resolution that must find room: multitalk-480 or multitalk-720")] = (
        "multitalk-480"
    )
    lora: Annotated[tuple[Path, ...], Setting("LoRA files merged at load, separated by commas", parse_paths)] = ()
    compile: Annotated[bool, Setting("compile the transformer: slower first request, faster steps", parse_bool)] = False

    model: Annotated[str, Setting("model name in the API")] = "multitalk"
    host: Annotated[str, Setting("address to listen on")] = "0.0.0.0"  # noqa: S104 - a pod is reached from outside
    # Kubernetes sets MULTITALK_PORT=tcp://... in every pod beside a Service that is named multitalk.
    port: Annotated[
        int,
        Setting(
            "port to listen on; 0 takes a free one and logs it; in the environment MULTITALK_LISTEN_PORT",
            int,
            variable="MULTITALK_LISTEN_PORT",
        ),
    ] = 8000

    allowed_hosts: Annotated[
        tuple[str, ...],
        Setting(
            "further names under which clients may ask, separated by commas: a Service's, an ingress's, "
            ".example.com with all below it, or * for any; localhost and addresses always may",
            parse_hosts,
        ),
    ] = ()

    queue: Annotated[int, Setting("videos that may wait while one is generated; beyond that 429", int)] = 8
    max_upload_mib: Annotated[float, Setting("largest request body", float)] = 64.0
    max_seconds: Annotated[float, Setting("maximum length of a video, and of each voice", float)] = (
        DEFAULT_LIMITS.seconds
    )
    max_megapixels: Annotated[
        float, Setting("maximum size of a picture; each megapixel takes 24 MB of memory", float)
    ] = DEFAULT_LIMITS.pixels / 1e6
    upload_timeout_s: Annotated[float, Setting("a request body must arrive within this time", float)] = 120.0

    scratch: Annotated[
        Path, Setting("directory for uploads and results; emptied at start, used by one server alone", Path)
    ] = DEFAULT_SCRATCH
    scratch_gib: Annotated[float, Setting("most that the scratch directory may hold", float)] = 4.0
    max_results: Annotated[int, Setting("finished videos kept; the oldest go first", int)] = 100
    result_ttl_s: Annotated[float, Setting("how long a finished video is kept", float)] = 3600.0

    grace_s: Annotated[float, Setting("after SIGTERM, the running video may take this long to finish", float)] = 270.0
    linger_s: Annotated[float, Setting("after that, its client has this long to download it", float)] = 20.0
    log_level: Annotated[str, Setting("debug, info, warning or error")] = "info"

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
    def media_limits(self) -> MediaLimits:
        return MediaLimits(round(self.max_megapixels * 1e6), self.max_seconds)

    def validated(self) -> ServerConfig:
        """This configuration, or one `ConfigError` that lists all that is wrong with it."""
        problems = [message for broken, message in _rules(self) if broken]
        if problems:
            raise ConfigError(problems)
        return self


def _rules(config: ServerConfig) -> list[tuple[bool, str]]:
    positive = ("max_upload_mib", "max_seconds", "max_megapixels", "upload_timeout_s", "scratch_gib", "result_ttl_s")
    not_negative = ("queue", "grace_s", "linger_s")
    return [  # "not greater" rather than "less or equal": nan is neither
        *((not getattr(config, name) > 0, f"{_flag(name)} must be greater than 0") for name in positive),
        *((not getattr(config, name) >= 0, f"{_flag(name)} must not be negative") for name in not_negative),
        (config.max_results < 1, "--max-results must be at least 1, or no video could be downloaded"),
        (
            config.room_for not in ("multitalk-480", "multitalk-720"),
            f"--room-for {config.room_for!r} is neither multitalk-480 nor multitalk-720",
        ),
        (not 0 <= config.port <= 65535, f"--port {config.port} is not between 0 and 65535"),
        (
            config.log_level not in ("debug", "info", "warning", "error"),
            f"--log-level {config.log_level!r} is not one of debug, info, warning, error",
        ),
        (
            config.results_budget_bytes <= 0,
            f"--scratch-gib {config.scratch_gib:g} has no room for results: {config.max_jobs} uploads of up to "
            f"{config.max_upload_mib:g} MiB may wait at once; raise it, or lower --queue or --max-upload-mib",
        ),
    ]


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
