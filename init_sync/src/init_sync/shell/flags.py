"""Settings, declared once: each field of a ``Settings`` class is a flag, and a variable if there is a prefix.

    class Server(LogSettings):
        PREFIX = "MULTITALK_"
        spec: str = flag("the manifest", metavar="FILE")
        max_seconds: float = flag("longest video", number(0, above=True), default=40.0)

``--max-seconds`` beats ``MULTITALK_MAX_SECONDS``, which beats the default; an empty variable counts as unset. A field
whose default is a tuple takes several values, by commas or by giving the flag again. All mistakes are reported at once,
each by the flag or variable that it came from.

Nothing here is a dataclass or a NamedTuple: making those would slow every warm start of init-sync.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, dataclass_transform

FALLBACK_COLUMNS = 100
ANY_HOST = ""
"""What `listen` takes for every address; here, because a warm start must not import sockets."""
REQUIRED = object()
INFINITE = float("inf")
S = TypeVar("S", bound="Settings")


class Flag:
    """A setting; ``flag`` makes one."""

    name = option = ""

    def __init__(
        self, help: str, parse: Callable[[str], Any], metavar: str, group: str, variable: str, default: Any
    ) -> None:
        self.help, self.parse, self.metavar, self.group = help, parse, metavar, group
        self.variable, self.default = variable, default

    def __set_name__(self, _: type, name: str) -> None:
        self.name, self.option = name, "--" + name.replace("_", "-")


def flag(
    help: str,
    parse: Callable[[str], Any] = str,
    metavar: str = "",
    group: str = "",
    variable: str = "",
    default: Any = REQUIRED,
) -> Any:
    """A field of a ``Settings`` class.

    ``parse`` makes a value of text, and raises ValueError with what is wrong; switches need none. ``group`` is the
    title under which the help lists it. ``variable`` is for where the usual name will not do.
    """
    return Flag(help, parse, metavar, group, variable, default)


class WrongSettings(Exception):
    """All that is wrong, a line each."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))

    def tell(self, program: str) -> int:
        """Print it; returns the exit code."""
        for problem in self.problems:
            print(f"{program}: error: {problem}", file=sys.stderr, flush=True)
        return 2


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(flag,))
class Settings:
    """Base of a declaration; an instance has the values."""

    PREFIX = ""
    """Of the variables; empty: only flags that name one have one."""

    def __init__(self, **values: Any) -> None:
        vars(self).update({each.name: each.default for each in declared(type(self))} | values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name}: settings do not change")

    def replace(self: S, **changes: Any) -> S:
        return type(self)(**{**vars(self), **changes})

    def problems(self) -> Iterable[str]:
        """What is wrong with values that are valid each on its own, with the flags in question."""
        return ()


def declared(settings: type[Settings]) -> Iterator[Flag]:
    """Those of its bases first."""
    for base in reversed(settings.__mro__):
        yield from (each for each in vars(base).values() if isinstance(each, Flag))


def variable_of(each: Flag, settings: type[Settings]) -> str:
    return each.variable or (settings.PREFIX and settings.PREFIX + each.name.upper())


def make_parser(program: str, description: str, epilog: str, version: Callable[[], str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description=description, epilog=epilog, formatter_class=Help)
    text = "show the version and exit"
    parser.add_argument("--version", action=_PrintVersion, nargs=0, const=version, help=text)
    return parser


def add_flags(parser: argparse.ArgumentParser, settings: type[Settings]) -> None:
    groups: dict[str, Any] = {"": parser}
    for each in declared(settings):
        if each.group not in groups:
            groups[each.group] = parser.add_argument_group(each.group)
        kind = _kind(each, variable_of(each, settings))
        groups[each.group].add_argument(each.option, default=None, help=_help(each), **kind)


def read_settings(settings: type[S], options: argparse.Namespace, environment: Mapping[str, str]) -> S:
    """Raises WrongSettings."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    wrong: set[str] = set()
    missing = False
    for each in declared(settings):
        variable = variable_of(each, settings)
        raw, source = getattr(options, each.name), each.option
        if raw is None and environment.get(variable):
            raw, source = environment[variable], variable
        if raw is not None:
            try:
                values[each.name] = _value(each, raw)
            except ValueError as error:
                problems += [f"{source}: {line}" for line in str(error).splitlines()]
                wrong.add(each.option)
        elif each.default is REQUIRED:
            problems.append(f"{each.option} (or {variable}) is required")
        missing |= each.name not in values and each.default is REQUIRED
    found = settings(**values)
    if not missing:
        problems += [each for each in found.problems() if not any(option in each for option in wrong)]
    if problems:
        raise WrongSettings(problems)
    return found


def _value(each: Flag, raw: Any) -> Any:
    if isinstance(raw, bool):
        return raw
    text = ",".join(raw) if isinstance(raw, list) else raw
    return boolean(text) if isinstance(each.default, bool) else each.parse(text)


def _kind(each: Flag, variable: str) -> dict[str, Any]:
    """How argparse reads it: as text, which becomes a value where the environment's does too."""
    if isinstance(each.default, bool):
        return {"action": argparse.BooleanOptionalAction if variable else "store_true"}
    kind: dict[str, Any] = {"metavar": each.metavar or each.name.rpartition("_")[2].upper()}
    if isinstance(each.default, tuple):
        kind["action"] = "append"
    elif each.default is REQUIRED and not variable:
        kind["required"] = True
    return kind


def _help(each: Flag) -> str:
    text = each.help
    if each.default is REQUIRED:
        text += " (required)"
    elif each.default not in (None, "", (), False):
        shown = f"{each.default:g}" if isinstance(each.default, float) else each.default
        text += f" (default: {shown})"
    return text.replace("%", "%%")


class Help(argparse.RawDescriptionHelpFormatter):
    """argparse asks shutil for the width each time a flag is added, and importing that slows every warm start."""

    def __init__(self, prog: str) -> None:
        try:
            width = int(os.environ.get("COLUMNS", "")) or os.get_terminal_size().columns
        except (ValueError, OSError):
            width = FALLBACK_COLUMNS
        super().__init__(prog, width=width - 2)


class _PrintVersion(argparse.Action):
    """argparse's own wants the version when the parser is made, and looking it up would slow every warm start."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        print(f"{parser.prog} {self.const()}")
        parser.exit()


# What text may say


def boolean(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError(f"{text!r} is not valid; use true or false")


def one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is not valid; use {', '.join(words[:-1])} or {words[-1]}")
        return text

    return parse


def number(low: float, high: float = INFINITE, *, above: bool = False, unit: str = "") -> Callable[[str], float]:
    """From ``low`` to ``high``; ``above``: but not ``low`` itself."""
    return _bounded(float, "a number" + (unit and f" of {unit}"), low, high, above)


def whole(low: int, high: float = INFINITE) -> Callable[[str], float]:
    return _bounded(int, "a whole number", low, high, False)


def _bounded(kind: Callable[[str], float], wanted: str, low: float, high: float, above: bool) -> Callable[[str], float]:
    bounds = f"from {low:g} to {high:g}" if high < INFINITE else f"above {low:g}" if above else f"of {low:g} or more"

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = INFINITE
        if not (low < value if above else low <= value) or not value <= high or value == INFINITE:
            raise ValueError(f"{text!r} is not {wanted} {bounds}")
        return value

    return parse


def matching(pattern: str, wanted: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} is not {wanted}")
        return text

    return parse


def several(parse: Callable[[str], Any] = str) -> Callable[[str], tuple[Any, ...]]:
    """By commas."""
    return lambda text: tuple(parse(part.strip()) for part in text.split(",") if part.strip())


PORT = whole(0, 65535)
