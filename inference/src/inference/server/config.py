"""The settings of a server, each a flag and a variable: `--max-seconds` is MULTITALK_MAX_SECONDS."""

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

from inference.media.limits import DEFAULT_LIMITS, MediaLimits
from inference.multitalk import AUDIO, BASE, WAV2VEC
from inference.server.hosts import host_name
from init_sync.shell import flags
from init_sync.shell.flags import PORT, Flag, number, one_of, several, whole
from init_sync.shell.listen import ANY_HOST
from init_sync.shell.log_settings import LogSettings

MIB = 2**20
GIB = 2**30

EPILOG = """\
every flag can also be set in the environment: --max-seconds is MULTITALK_MAX_SECONDS.

examples:
  multitalk-server --spec /etc/modelcache/modelcache.yaml --volume /models
  multitalk-server --spec examples/multitalk.yaml --volume ./models --device cpu --port 8080

then:
  curl localhost:8000/readyz
  curl localhost:8000/v1/videos -F prompt='A woman talks' -F input_reference=@face.png -F audio=@voice.wav
  curl localhost:8000/v1/videos/VIDEO_ID
  curl localhost:8000/v1/videos/VIDEO_ID/content -o video.mp4

exit codes: 0 stopped as asked, 1 volume incomplete or loading failed, 2 settings that cannot work
"""


def _temporary_folder() -> str:
    """On a read-only file system without any, --help and a --scratch elsewhere still have to work."""
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return "/tmp"  # noqa: S108 - only a default; that it cannot be used is said when it is


POSITIVE, NOT_NEGATIVE = number(0, above=True), number(0)
DEFAULT_SCRATCH = Path(_temporary_folder()) / "multitalk"


class ServerConfig(LogSettings):
    """The settings of one server process."""

    PREFIX = "MULTITALK_"

    spec: Annotated[Path, Flag("the ModelCache manifest whose receipts must be on the volume", Path)]
    volume: Annotated[Path, Flag("directory where the model volume is mounted (read-only is enough)", Path)]
    base_dir: Annotated[str, Flag("directory of the base model on the volume")] = BASE
    wav2vec_dir: Annotated[str, Flag("directory of the speech model on the volume")] = WAV2VEC
    audio_dir: Annotated[str, Flag("directory of the MultiTalk weights on the volume")] = AUDIO

    device: Annotated[str, Flag("torch device that generates: cuda, cuda:1, cpu")] = "cuda"
    dtype: Annotated[
        str | None,
        Flag("bfloat16, float16 or float32; default: what suits the device", one_of("bfloat16", "float16", "float32")),
    ] = None
    memory_limit_gib: Annotated[float | None, Flag("most device memory that the engine may use", POSITIVE)] = None
    room_for: Annotated[
        str,
        Flag(
            "largest resolution that must find room: multitalk-480 or multitalk-720",
            one_of("multitalk-480", "multitalk-720"),
        ),
    ] = "multitalk-480"
    lora: Annotated[tuple[Path, ...], Flag("LoRA files merged at load, separated by commas", several(Path))] = ()
    compile: Annotated[bool, Flag("compile the transformer: slower first request, faster steps")] = False

    model: Annotated[str, Flag("model name in the API")] = "multitalk"
    host: Annotated[str, Flag("address to listen on; default: every address, IPv4 and IPv6")] = ANY_HOST
    # Kubernetes sets MULTITALK_PORT=tcp://... in every pod beside a Service that is named multitalk.
    port: Annotated[
        int,
        Flag(
            "port to listen on; 0 takes a free one and logs it; in the environment MULTITALK_LISTEN_PORT",
            PORT,
            variable="MULTITALK_LISTEN_PORT",
        ),
    ] = 8000

    allowed_hosts: Annotated[
        tuple[str, ...],
        Flag(
            "further names under which clients may ask, separated by commas: a Service's, an ingress's, "
            ".example.com with all below it, or * for any; localhost and addresses always may",
            several(host_name),
        ),
    ] = ()

    queue: Annotated[int, Flag("videos that may wait while one is generated; beyond that 429", whole(0))] = 8
    max_upload_mib: Annotated[float, Flag("largest request body", POSITIVE)] = 64.0
    max_seconds: Annotated[float, Flag("maximum length of a video, and of each voice", POSITIVE)] = (
        DEFAULT_LIMITS.seconds
    )
    max_megapixels: Annotated[
        float, Flag("maximum size of a picture; each megapixel takes 24 MB of memory", POSITIVE)
    ] = DEFAULT_LIMITS.pixels / 1e6
    upload_timeout_s: Annotated[float, Flag("a request body must arrive within this time", POSITIVE)] = 120.0

    scratch: Annotated[
        Path, Flag("directory for uploads and results; emptied at start, used by one server alone", Path)
    ] = DEFAULT_SCRATCH
    scratch_gib: Annotated[float, Flag("most that the scratch directory may hold", POSITIVE)] = 4.0
    max_results: Annotated[int, Flag("finished videos kept; the oldest go first", whole(1))] = 100
    result_ttl_s: Annotated[float, Flag("how long a finished video is kept", POSITIVE)] = 3600.0

    grace_s: Annotated[float, Flag("after SIGTERM, the running video may take this long to finish", NOT_NEGATIVE)] = (
        270.0
    )
    linger_s: Annotated[float, Flag("after that, its client has this long to download it", NOT_NEGATIVE)] = 20.0

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
