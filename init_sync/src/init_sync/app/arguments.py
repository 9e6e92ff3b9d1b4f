"""The commands and their settings, and the help that teaches them."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable

from init_sync.core.settings import PEER_PORT, SYNC_PORT, SyncOptions
from init_sync.shell.flags import (
    ANY_HOST,
    PORT,
    Help,
    Settings,
    add_flags,
    flag,
    make_parser,
    matching,
    number,
    one_of,
    read_settings,
    several,
    whole,
)
from init_sync.shell.log_settings import LogSettings

EPILOG = """\
exit codes:
  0  every model is complete
  1  incomplete, and a retry may cure it: hub down, rate limited, stalled, wrong bytes three times, interrupted
  2  incomplete, and no retry will: bad manifest, access refused, nothing of that name, volume too small
"""

PLAN_EPILOG = """\
examples:
  init-sync plan --spec examples/multitalk.yaml --volume /models
  init-sync plan --spec examples/multitalk.yaml --json    # of an empty volume: how large must it be?
  init-sync status --spec examples/multitalk.yaml --volume /models --json | tee pins.json
  init-sync plan --spec examples/multitalk.yaml --compare-to pins.json    # what has the branch for us, and how much?

exit codes:
  0  a plan was made
  1  the hub did not answer; a retry may cure it
  2  no plan can be carried out: bad manifest, access refused, files that cannot lie side by side, too little room
"""

SERVE_EPILOG = f"""\
example:
  init-sync serve --volume /models
  HF_ENDPOINT=http://that-host:{PEER_PORT} hf download Wan-AI/Wan2.1-I2V-14B-480P

exit codes:
  0  ended by SIGTERM or SIGINT
  2  the volume or the token cannot be read, or the address cannot be had
"""

SCRUB_EPILOG = """\
examples:
  init-sync scrub --spec examples/multitalk.yaml --volume /models    # what is a week old, at 50 MiB/s
  init-sync scrub --spec examples/multitalk.yaml --volume /models --older-than 0s --rate 1Gi

It reads from the disk at idle priority, and leaves the page cache as it is where the file system lets it. It may be
ended at any time, and goes on where it was: receipts say when each file was last verified. status, verify and sync see
what it found; a sync fetches the damaged files again, and no others.

exit codes:
  0  nothing is damaged
  1  a model is damaged or incomplete, which a sync cures; or another process kept the volume's lock; or interrupted
  2  bad manifest, or the volume cannot be read or written to
"""

PRUNE_EPILOG = """\
example:
  init-sync prune --spec examples/multitalk.yaml --volume /models --dry-run    # says what would go, removes nothing

A file goes if a sync of the cache of this name put it there, it was not changed since, and neither the manifest nor a
receipt on the volume needs it. Other caches' files and those that were there before stay.

exit codes:
  0  nothing that is unused is left, or (--dry-run) it was told
  1  another process is writing to the volume, or a file could not be removed
  2  bad manifest, or nobody can tell what is needed on the volume
"""

SUMS_EPILOG = """\
example:
  init-sync sums --spec examples/all-minilm.yaml --volume /models | sha256sum    # the digest of its one model

exit codes:
  0  the text of every model was printed
  1  a model is not complete
  2  bad manifest, or no model of that name
"""

SYNC_EPILOG = f"""\
examples:
  init-sync sync --spec examples/all-minilm.yaml --volume ./models
  HF_TOKEN=hf_... init-sync sync --spec gated.yaml --volume /models --metrics-port {SYNC_PORT}
  init-sync sync --spec examples/multitalk.yaml --volume /models --verify deep

environment:
  HF_ENDPOINT  the hub or a mirror of it            HF_TOKEN, HF_TOKEN_PATH  for private and gated repositories
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE  as usual
  MODELCACHE_PEERS  like --peer, separated by commas      MODELCACHE_PEER_TOKEN  for peers that want one

{EPILOG}"""

DEFAULTS = SyncOptions()
LEAST_RATE = 64 << 10
SECONDS = number(0.1, 86_400, unit="seconds")


def peer_address(text: str) -> str:
    """Of a server: what it serves is below its root."""
    if not re.fullmatch(r"https?://[^\s/?#@]+/?", text):
        raise ValueError(f"{text!r} is not the address of a peer; use http://HOST:PORT")
    return text.rstrip("/")


def rate(text: str) -> str:
    """Of bytes in a second, as a quantity."""
    from init_sync.core.fields import quantity_bytes
    from init_sync.core.manifest_rules import QUANTITY

    if not QUANTITY.allows(text) or quantity_bytes(text) < LEAST_RATE:
        raise ValueError(f"{text!r} is not a rate of 64Ki or more, such as 50Mi")
    return text


VOLUME: str = flag("root of the volume", metavar="DIR")
REFRESH: bool = flag("look up branches and tags again instead of keeping the pinned commits", default=False)


class OnManifest(Settings):
    """What every command wants."""

    spec: str = flag("ModelCache manifest, YAML or JSON", metavar="FILE")


class OnVolume(OnManifest):
    """And what most of them want."""

    volume: str = VOLUME


class Sync(LogSettings, OnVolume):
    """Fetch what is missing or damaged, verify it, and write receipts."""

    verify: str = flag(
        "fast: trust files with the size and time of their receipt; deep: re-hash every file first",
        one_of("fast", "deep"),
        "DEPTH",
        default="fast",
    )
    refresh: bool = REFRESH
    report: str | None = flag(
        "where to write the JSON report (default: the container's termination log)", metavar="FILE", default=None
    )
    peer: tuple[str, ...] = flag(
        "server of a copy (init-sync serve), asked before the hub; may be given again",
        several(peer_address),
        "URL",
        variable="MODELCACHE_PEERS",
        default=(),
    )
    pins: str | None = flag(
        "have the content of another copy: its report (init-sync status --json)", metavar="FILE", default=None
    )
    metrics_port: int | None = flag(
        "serve /metrics and /status while syncing; 0 picks a free port", PORT, "N", default=None
    )

    connections: int = flag("to the hub, at most", whole(1, 64), "N", "tuning", default=DEFAULTS.settings.connections)
    stall_timeout: float = flag(
        "reconnect when a connection is silent for this long",
        SECONDS,
        "S",
        "tuning",
        default=DEFAULTS.settings.stall_timeout_s,
    )
    give_up_after: float = flag(
        "end the run when nothing has come for this long", SECONDS, "S", "tuning", default=DEFAULTS.settings.give_up_s
    )
    lock_expiry: float = flag(
        "take over from a process on another node that has been silent for this long",
        SECONDS,
        "S",
        "tuning",
        default=DEFAULTS.lock_expiry_s,
    )


class Verify(OnVolume):
    """Check a volume against its receipts, without network."""

    deep: bool = flag("re-hash every file instead of trusting size and time", default=False)


class Status(OnVolume):
    """Show what is on a volume, without network."""

    json: bool = flag("print the report as one JSON object", default=False)


class Plan(OnManifest):
    """Show what a sync would do; nothing is written."""

    volume: str | None = flag(
        "root of the volume; without it, the plan is for an empty one", metavar="DIR", default=None
    )
    refresh: bool = REFRESH
    compare_to: str | None = flag(
        "without a volume: count only what a copy of these pins lacks: its report (init-sync status --json)",
        metavar="FILE",
        default=None,
    )
    json: bool = flag("print the plan as one JSON object, file by file", default=False)
    report: str | None = flag(
        "where to write the plan without its files, or why there is none, at most 4096 bytes "
        "(default: the container's termination log)",
        metavar="FILE",
        default=None,
    )

    def problems(self) -> Iterable[str]:
        if self.compare_to and self.volume:
            yield "--compare-to: is for a plan without --volume; with one, the plan is compared with what is on it"


class Prune(LogSettings, OnVolume):
    """Remove files that syncs of this cache put on the volume and nothing needs any more."""

    dry_run: bool = flag("only say what would be removed", default=False)
    json: bool = flag("print what was removed as one JSON object", default=False)
    report: str | None = flag(
        "where to write the same, at most 4096 bytes (default: the container's termination log)",
        metavar="FILE",
        default=None,
    )


class Scrub(LogSettings, OnVolume):
    """Read files again whose verification is old, at a limited rate, and record what is damaged."""

    rate: str = flag(
        "bytes read each second, at most: 64Ki or more",
        rate,
        "RATE",
        default="50Mi",
    )
    older_than: str = flag(
        "read files that were last verified so long ago; 0s: all",
        matching(r"(?=[0-9])([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?", "a time such as 168h"),
        "TIME",
        default="168h",
    )
    report: str | None = flag(
        "where to write the JSON report (default: the container's termination log)", metavar="FILE", default=None
    )
    metrics_port: int | None = flag(
        "serve /metrics and /status while scrubbing; 0 picks a free port", PORT, "N", default=None
    )


class Serve(LogSettings):
    """Offer what receipts prove on a volume to other copies, in the hub's API."""

    volume: str = VOLUME
    host: str = flag("address to listen on; default: every address, IPv4 and IPv6", default=ANY_HOST)
    port: int = flag("0 picks a free one", PORT, "N", default=PEER_PORT)
    token_file: str | None = flag(
        "a token that clients must send; read again when it changes", metavar="FILE", default=None
    )


class Sums(OnVolume):
    """Print the SHA256SUMS text of each model, from receipts."""

    model: str | None = flag("of this model alone, without a heading", metavar="NAME", default=None)


COMMANDS: dict[str, tuple[type[Settings], str]] = {
    "sync": (Sync, SYNC_EPILOG),
    "verify": (Verify, EPILOG),
    "status": (Status, EPILOG),
    "plan": (Plan, PLAN_EPILOG),
    "sums": (Sums, SUMS_EPILOG),
    "prune": (Prune, PRUNE_EPILOG),
    "scrub": (Scrub, SCRUB_EPILOG),
    "serve": (Serve, SERVE_EPILOG),
}


def read_arguments(arguments: list[str]) -> Settings:
    """Those of the command. Raises WrongSettings; argparse ends the process for ``--help`` and wrong usage."""
    options = command_parser(arguments[0] if arguments else "").parse_args(arguments)
    return read_settings(COMMANDS[options.command][0], options, os.environ)


def command_parser(chosen: str = "") -> argparse.ArgumentParser:
    """``chosen`` is the command that will be parsed, if it is known: the others cost time on every warm start."""
    description = "Make a volume hold exactly the model files that a ModelCache manifest names, and prove it."
    parser = make_parser("init-sync", description, EPILOG, _version)
    commands = parser.add_subparsers(
        title="commands", dest="command", metavar="COMMAND", required=True, prog="init-sync"
    )
    for name, (settings, epilog) in COMMANDS.items():
        if chosen == name or chosen not in COMMANDS:
            text = settings.__doc__ or ""
            summary = text[0].lower() + text[1:].rstrip(".")
            command = commands.add_parser(name, help=summary, description=text, epilog=epilog, formatter_class=Help)
            add_flags(command, settings)
    return parser


def _version() -> str:
    from init_sync import __version__

    return __version__
