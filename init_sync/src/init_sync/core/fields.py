"""The kinds of fields that a manifest has. Each reads a value of a parsed document and reports every problem.

``manifest_schema`` declares the manifest as a tree of these. The command and the operator read with it, and ``tools``
makes the custom resource definition of the same tree. Reading goes on after a problem, with a neutral value, so that
one pass over the document finds them all.

These are plain classes, not dataclasses: a warm start defines all of them, and each dataclass takes half a millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from init_sync.core.problems import Problems, child, is_unicode, shown, type_name
from init_sync.core.volumepath import path_problem


class Rule:
    """What a text may be: a pattern, in the syntax that Python and RE2 share, and the parts, endings and texts not
    allowed."""

    def __init__(
        self,
        pattern: str,
        cure: str,
        without: tuple[str, ...] = (),
        not_ending: tuple[str, ...] = (),
        reserved: tuple[str, ...] = (),
    ):
        self.pattern = pattern
        self.cure = cure
        self.without = without
        self.not_ending = not_ending
        self.reserved = reserved

    def allows(self, text: str) -> bool:
        if text in self.reserved or any(part in text for part in self.without) or text.endswith(self.not_ending):
            return False
        return re.fullmatch(self.pattern, text) is not None


class Field:
    """What all kinds have. The attributes of a class are the options of its constructor."""

    required: bool = False
    default: Any = None
    hint: str = ""
    """What to do if it is missing."""
    unset_in_definition: bool = False
    """The API server does not fill its default in: whether it was set must stay visible."""
    of_pod: bool = False
    """The sync Job's pod has a field of this name, and gets the value as it is."""
    cel: tuple[tuple[str, str], ...] = ()
    """Rules over several fields for the custom resource definition, each with its message; ``manifest`` has them in
    Python."""
    neutral: ClassVar[Any] = None
    """What stands for a value that is absent and has no default."""

    def __init__(self, description: str, **options: Any) -> None:
        self.description = description
        for name, value in options.items():
            getattr(self, name)  # a misspelt option is an error
            setattr(self, name, value)

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        """The value, or the default; an explicit null counts as absent, as Kubernetes has it."""
        if value is not None:
            return self.check(value, path, problems)
        if self.required:
            problems.add(path, f"is required{f'; {self.hint}' if self.hint else ''}")
        return self.neutral if self.default is None else self.default

    def check(self, value: Any, path: str, problems: Problems) -> Any:  # noqa: ARG002 - other kinds use them
        """The value, or a neutral one after a problem."""
        return value


class Text(Field):
    """A string."""

    rule: Rule | None = None
    min_length: int = 1
    max_length: int | None = 253
    neutral = ""

    def __init__(self, description: str, **options: Any) -> None:
        super().__init__(description, **options)
        if self.rule and not self.hint:
            self.hint = self.rule.cure

    def check(self, value: Any, path: str, problems: Problems) -> str:
        if not isinstance(value, str):
            problems.add(path, f"must be a string, not {type_name(value)} ({shown(value)}); put it in quotes")
            return ""
        problem = self.problem(value)
        if problem:
            problems.add(path, problem)
        return value

    def problem(self, value: str) -> str | None:
        if len(value) < self.min_length:
            return "must not be empty"
        if not is_unicode(value):
            return f"{shown(value)} holds half of an escaped character; write the whole character"
        if self.max_length is not None and len(value) > self.max_length:
            return f"is {len(value)} characters long; at most {self.max_length} are allowed"
        if self.rule and not self.rule.allows(value):
            return f"{shown(value)} is not valid; {self.rule.cure}"
        return None


class Choice(Text):
    """One of a few strings."""

    def __init__(self, description: str, *values: str, **options: Any) -> None:
        super().__init__(description, **options)
        self.values = values

    def problem(self, value: str) -> str | None:
        if problem := super().problem(value):
            return problem
        if value in self.values:
            return None
        if len(self.values) == 1:
            return f"is {shown(value)}; must be {self.values[0]!r}"
        return f"{shown(value)} is not valid; use one of {', '.join(self.values)}"


class Duration(Text):
    """A time span in hours, minutes and seconds, such as ``3m`` or ``1h30m``."""

    max_length = 16
    minimum: str = "1s"
    maximum: str = "8760h"

    def problem(self, value: str) -> str | None:
        if (problem := super().problem(value)) or self.minimum_s <= duration_s(value) <= self.maximum_s:
            return problem
        return f"{shown(value)} is out of bounds; {self.bounds}"

    @property
    def minimum_s(self) -> int:
        return duration_s(self.minimum)

    @property
    def maximum_s(self) -> int:
        return duration_s(self.maximum)

    @property
    def bounds(self) -> str:
        return f"use a duration between {self.minimum} and {self.maximum}"


def duration_s(text: str) -> int:
    """Seconds of a valid duration."""
    return sum(int(count) * {"h": 3600, "m": 60, "s": 1}[unit] for count, unit in re.findall(r"([0-9]+)([hms])", text))


def quantity_bytes(text: str) -> int:
    """Of a Kubernetes quantity such as ``50Mi``, rounded down."""
    number, unit = re.fullmatch(r"([0-9.]+)(\w*)", text).groups()  # type: ignore[union-attr]
    scale = 1024 if unit.endswith("i") else 1000
    return int(float(number) * scale ** " kMGTPE".index((unit[:1] or " ").replace("K", "k")))


class Path(Text):
    """A path below a volume's root, or a pattern of such paths."""

    max_length = 1024
    hint = "a relative path on the volume"
    is_pattern: bool = False

    def check(self, value: Any, path: str, problems: Problems) -> str:
        """Empty after a problem, so that rules over several paths pass it over."""
        before = len(problems.found)
        text = super().check(value, path, problems)
        return text if len(problems.found) == before else ""

    def problem(self, value: str) -> str | None:
        return path_problem(value.removesuffix("/") if self.is_pattern else value)


class Flag(Field):
    """True or false."""

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if isinstance(value, bool):
            return value
        problems.add(path, f"must be true or false, not {type_name(value)} ({shown(value)})")
        return self.default


class Number(Field):
    """A whole number."""

    minimum: int = 0
    bits: int = 32

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            problems.add(path, f"must be a whole number, not {type_name(value)} ({shown(value)})")
        elif value < self.minimum:
            problems.add(path, f"must be at least {self.minimum}, not {shown(value)}")
        return value


class Listing(Field):
    """A list of fields of one kind."""

    minimum: int = 0
    maximum: int = 100
    key: str = ""
    """The field by which entries are told apart."""
    key_rule: str = "each entry needs a name of its own"
    neutral = ()

    def __init__(self, description: str, of: Field, **options: Any) -> None:
        super().__init__(description, **options)
        self.of = of
        of.required = True  # an entry is never absent

    def check(self, value: Any, path: str, problems: Problems) -> list[Any]:
        if not isinstance(value, list):
            problems.add(path, f"must be a list, not {type_name(value)}")
            return []
        if not self.minimum <= len(value) <= self.maximum:
            problems.add(path, f"has {len(value)} entries; between {self.minimum} and {self.maximum} are allowed")
        entries = value[: self.maximum]
        found = [self.of.check(each, f"{path}[{index}]", problems) for index, each in enumerate(entries)]
        if self.key:
            paths = [f"{path}[{index}].{self.key}" for index in range(len(found))]
            problems.add_repeated([each[self.key] for each in found], paths, self.key_rule)
        return found


class Native(Field):
    """A mapping whose inside is Kubernetes' business."""

    neutral: ClassVar[Mapping[str, Any]] = {}

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        if isinstance(value, dict):
            return value
        problems.add(path, f"must be a mapping, not {type_name(value)}")
        return {}


class Texts(Native):
    """A mapping of strings to strings."""

    def check(self, value: Any, path: str, problems: Problems) -> Any:
        found = super().check(value, path, problems)
        for name, entry in found.items():
            if not (isinstance(name, str) and isinstance(entry, str) and is_unicode(name + entry)):
                problems.add(path, f"must map strings to strings; put {shown(name)}: {shown(entry)} in quotes")
        return found


class Group(Field):
    """A mapping with fields of its own; its value has all of them."""

    native: bool = False
    """It may have more fields, which are Kubernetes' business."""
    optional: bool = False
    """Absent, it is None: that it is there says something, though all of its fields have defaults."""

    def __init__(self, description: str, fields: Mapping[str, Field], **options: Any) -> None:
        super().__init__(description, **options)
        self.fields = fields

    def read(self, value: Any, path: str, problems: Problems) -> Any:
        """A group that is absent has its fields' defaults, or, if any of these is required or it is optional, is None.

        One that is required itself is reported together with what is required in it.
        """
        if value is None and not self.required:
            incomplete = any(field.required for field in self.fields.values())
            return None if incomplete or self.optional else self.check({}, path, problems)
        return self.check(value, path, problems)

    def check(self, value: Any, path: str, problems: Problems) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            problems.add(path, f"must be a mapping, not {type_name(value)}")
            value = {}
        found = {key: field.read(value.get(key), child(path, key), problems) for key, field in self.fields.items()}
        for key in value:
            if key not in self.fields and self.native:
                found[key] = value[key]
            elif key not in self.fields:
                problems.add(child(path, str(key)), f"is not a known field{self._suggestion(str(key))}")
        return found

    def _suggestion(self, key: str) -> str:
        from difflib import get_close_matches  # only needed for a bad manifest

        known = {name.lower(): name for name in self.fields}
        near = get_close_matches(key.lower(), known, n=1)
        return f"; did you mean {known[near[0]]!r}?" if near else f"; allowed here: {', '.join(sorted(self.fields))}"
