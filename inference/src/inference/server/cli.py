"""`multitalk-server` and `python -m inference.server`: settings from flags and the environment, then the process.

A flag beats its environment variable, which beats the default. Exit codes: 0 stopped as asked; 1 the volume is
incomplete, the model could not be loaded or the address could not be bound; 2 the settings cannot work.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from importlib.metadata import version
from typing import Any, get_type_hints

from inference.server.config import ConfigError, ServerConfig, Setting

_EPILOG = """\
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


def build_parser() -> argparse.ArgumentParser:
    """One flag per field of `ServerConfig`, with its help and its default."""
    parser = argparse.ArgumentParser(
        prog="multitalk-server",
        description="Serve MultiTalk from a complete model volume through OpenAI's Videos API.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"multitalk-server {version('modelcache-inference')}")
    for option in _options():
        _add_flag(parser, option)
    return parser


@dataclass(frozen=True, slots=True)
class _Option:
    """One field of `ServerConfig` as a flag and as an environment variable."""

    name: str
    setting: Setting
    default: object

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return self.setting.variable or "MULTITALK_" + self.name.upper()

    @property
    def required(self) -> bool:
        return self.default is MISSING


def _options() -> list[_Option]:
    hints = get_type_hints(ServerConfig, include_extras=True)
    return [_Option(item.name, hints[item.name].__metadata__[0], item.default) for item in fields(ServerConfig)]


def _add_flag(parser: argparse.ArgumentParser, option: _Option) -> None:
    default = "required" if option.required else f"default: {_shown(option.default)}"
    told = option.default is None and "default:" in option.setting.help
    text = (option.setting.help if told else f"{option.setting.help} ({default})").replace("%", "%%")
    if isinstance(option.default, bool):
        parser.add_argument(option.flag, action=argparse.BooleanOptionalAction, default=None, help=text)
    else:
        parser.add_argument(option.flag, metavar=option.name.rsplit("_", 1)[-1].upper(), default=None, help=text)


def _shown(default: object) -> str:
    return "none" if default is None or default == () else str(default)


def read_config(argv: Sequence[str], environ: Mapping[str, str]) -> ServerConfig:
    """The validated settings; raises one `ConfigError` for all that is missing or wrong."""
    given = vars(build_parser().parse_args(argv))
    values: dict[str, Any] = {}
    problems: list[str] = []
    for option in _options():
        raw, source = given[option.name], option.flag
        if raw is None and environ.get(option.variable):
            raw, source = environ[option.variable], option.variable
        if raw is None and option.required:
            problems.append(f"{option.flag} (or {option.variable}) is required")
        elif raw is not None:
            try:
                values[option.name] = option.setting.parse(raw) if isinstance(raw, str) else raw
            except ValueError as error:
                problems.append(f"{source}: {error}")
    if problems:
        raise ConfigError(problems)
    return ServerConfig(**values).validated()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the server until it is told to stop; the exit code is the module's contract."""
    try:
        config = read_config(sys.argv[1:] if argv is None else argv, os.environ)
    except ConfigError as error:
        for problem in error.problems:
            print(f"multitalk-server: {problem}", file=sys.stderr)
        return 2
    from inference.server.engines import load_multitalk
    from inference.server.lifecycle import run
    from inference.server.volume import verify_receipts

    return run(config, verify=verify_receipts, load=load_multitalk)
