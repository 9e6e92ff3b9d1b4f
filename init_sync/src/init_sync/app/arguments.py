"""What the command line accepts, and the help that teaches it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from init_sync.core.settings import SyncOptions

FALLBACK_COLUMNS = 100
Command = Callable[[argparse.Namespace], int]


class Commands(NamedTuple):
    """What carries out each command; takes the parsed arguments, returns the exit code."""

    sync: Command
    verify: Command
    status: Command
    plan: Command


EPILOG = """\
exit codes:
  0  every model is complete
  1  incomplete, and a retry may cure it: hub down, rate limited, stalled, wrong bytes three times, interrupted
  2  incomplete, and no retry will: bad manifest, access refused, nothing of that name, volume too small
"""

PLAN_EPILOG = """\
example:
  init-sync plan --spec examples/multitalk.yaml --volume /models

exit codes:
  0  a plan was made
  1  the hub did not answer; a retry may cure it
  2  no plan can be carried out: bad manifest, access refused, files that cannot lie side by side, too little room
"""

REFRESH_HELP = "look up branches and tags again instead of keeping the pinned commits"

SYNC_EXAMPLES = (
    """\
examples:
  init-sync sync --spec examples/all-minilm.yaml --volume ./models
  HF_TOKEN=hf_... init-sync sync --spec gated.yaml --volume /models --metrics-port 9464
  init-sync sync --spec examples/multitalk.yaml --volume /models --verify deep

environment:
  HF_ENDPOINT  the hub or a mirror of it            HF_TOKEN, HF_TOKEN_PATH  for private and gated repositories
  HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE  as usual

"""
    + EPILOG
)


class _Help(argparse.RawDescriptionHelpFormatter):
    """argparse asks shutil for the width each time an argument is added, and importing that slows every warm start."""

    def __init__(self, prog: str) -> None:
        try:
            width = int(os.environ.get("COLUMNS", "")) or os.get_terminal_size().columns
        except (ValueError, OSError):
            width = FALLBACK_COLUMNS
        super().__init__(prog, width=width - 2)


def make_parser(run: Commands, chosen: str | None = None) -> argparse.ArgumentParser:
    """``chosen`` is the command that will be parsed, if it is known: the others cost time on every warm start."""
    parser = argparse.ArgumentParser(
        prog="init-sync",
        description="Make a volume hold exactly the model files that a ModelCache manifest names, and prove it.",
        epilog=EPILOG,
        formatter_class=_Help,
    )
    parser.add_argument("--version", action=_PrintVersion, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, prog="init-sync")
    adders = {"sync": _add_sync, "verify": _add_verify, "status": _add_status, "plan": _add_plan}
    for name, add in adders.items():
        if chosen in (name, None) or chosen not in adders:
            add(commands, run)
    return parser


def _add_sync(commands: argparse._SubParsersAction[argparse.ArgumentParser], run: Commands) -> None:
    sync = _add(commands, "sync", "fetch what is missing or damaged, verify it, and write receipts", run.sync)
    sync.epilog = SYNC_EXAMPLES
    _add_sync_options(sync)


def _add_verify(commands: argparse._SubParsersAction[argparse.ArgumentParser], run: Commands) -> None:
    verify = _add(commands, "verify", "check a volume against its receipts, without network", run.verify)
    verify.add_argument("--deep", action="store_true", help="re-hash every file instead of trusting size and time")


def _add_status(commands: argparse._SubParsersAction[argparse.ArgumentParser], run: Commands) -> None:
    status = _add(commands, "status", "show what is on a volume, without network", run.status)
    status.add_argument("--json", action="store_true", help="print the report as one JSON object")


def _add_plan(commands: argparse._SubParsersAction[argparse.ArgumentParser], run: Commands) -> None:
    plan = _add(commands, "plan", "show what a sync would do; nothing is written", run.plan, volume_required=False)
    plan.epilog = PLAN_EPILOG
    plan.add_argument("--refresh", action="store_true", help=REFRESH_HELP)
    plan.add_argument("--json", action="store_true", help="print the plan as one JSON object, file by file")
    plan.add_argument("--report", metavar="FILE", help="where to write the plan without its files, at most 4096 bytes")


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    command: Command,
    volume_required: bool = True,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=EPILOG,
        formatter_class=_Help,
    )
    parser.add_argument("--spec", required=True, metavar="FILE", help="ModelCache manifest, YAML or JSON")
    root = "root of the volume" if volume_required else "root of the volume; without it, the plan for an empty one"
    parser.add_argument("--volume", required=volume_required, metavar="DIR", help=root)
    parser.set_defaults(command=command)
    return parser


def _add_sync_options(sync: argparse.ArgumentParser) -> None:
    sync.add_argument(
        "--verify",
        choices=("fast", "deep"),
        default="fast",
        help="fast (default): trust files with the size and time of their receipt; deep: re-hash every file first",
    )
    sync.add_argument("--refresh", action="store_true", help=REFRESH_HELP)
    sync.add_argument("--log-format", choices=("text", "json"), default="text", help="default: text")
    sync.add_argument(
        "--report", metavar="FILE", help="where to write the JSON report (default: the container's termination log)"
    )
    sync.add_argument(
        "--metrics-port", type=_port, metavar="N", help="serve /metrics and /status while syncing; 0 picks a free port"
    )
    _add_tuning(sync.add_argument_group("tuning"))


def _add_tuning(tuning: argparse._ArgumentGroup) -> None:
    defaults = SyncOptions()
    tuning.add_argument(
        "--connections",
        type=_connections,
        metavar="N",
        default=defaults.settings.connections,
        help="to the hub, at most (default: %(default)s)",
    )
    tuning.add_argument(
        "--stall-timeout",
        type=_seconds,
        metavar="S",
        default=defaults.settings.stall_timeout_s,
        help="reconnect when a connection is silent for this long (default: %(default)g)",
    )
    tuning.add_argument(
        "--give-up-after",
        type=_seconds,
        metavar="S",
        default=defaults.settings.give_up_s,
        help="end the run when nothing has come for this long (default: %(default)g)",
    )
    tuning.add_argument(
        "--lock-expiry",
        type=_seconds,
        metavar="S",
        default=defaults.lock_expiry_s,
        help="take over from a syncing process on another node that has been silent for this long "
        "(default: %(default)g)",
    )


class _PrintVersion(argparse.Action):
    """argparse's own wants the version when the parser is made, and looking it up would slow every warm start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        from init_sync import __version__

        print(f"init-sync {__version__}")
        parser.exit()


def _port(text: str) -> int:
    return int(_number(text, int, 0, 65535, "a port from 0 to 65535"))


def _connections(text: str) -> int:
    return int(_number(text, int, 1, 64, "a whole number from 1 to 64"))


def _seconds(text: str) -> float:
    return _number(text, float, 0.1, 86_400, "seconds, from 0.1 to 86400")


def _number(text: str, kind: Callable[[str], float], lowest: float, highest: float, wanted: str) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = float("nan")
    if not lowest <= value <= highest:
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value
