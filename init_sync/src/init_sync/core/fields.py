"""Reading typed fields from a parsed document while collecting every problem, each with the path of its field.

A ``Section`` is one mapping of the document. Reading a key marks it as known; ``close`` reports the keys that nobody
read, with the nearest allowed name. Readers return a usable neutral value after a problem, so that one run over the
document finds them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from init_sync.core.errors import Problem

SHOWN_CHARACTERS = 60
MAX_ENTRIES = 100
"""Of lists whose inside is Kubernetes' business; the custom resource definition says the same."""


class Problems:
    """The list that all sections of one document report to."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, field: str, message: str) -> None:
        self.found.append(Problem(field, message))


def type_name(value: Any) -> str:
    """What a person who writes YAML calls the type of this value."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "a mapping"}
    return "nothing" if value is None else names.get(type(value), f"a {type(value).__name__}")


def is_unicode(text: str) -> bool:
    """JSON can smuggle in half of a surrogate pair, which no log or report could be written with."""
    return text.isascii() or not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


def shown(value: Any) -> str:
    """A value as an error quotes it: short, on one line, and only if it is a single value."""
    if isinstance(value, (dict, list)):
        return type_name(value)
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return type_name(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


class Section:
    """One mapping of the document, at ``path``."""

    def __init__(self, value: Any, path: str, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._known: set[str] = set()
        if not isinstance(value, Mapping):
            problems.add(path, f"must be a mapping, not {type_name(value)}")
            value = {}
        self._values: Mapping[Any, Any] = value

    def child(self, key: str) -> str:
        name = key if key.replace("-", "").replace("_", "").isalnum() else shown(key)
        return f"{self.path}.{name}" if self.path else name

    def problem(self, key: str, message: str) -> None:
        self.problems.add(self.child(key), message)

    def has(self, key: str) -> bool:
        """Whether the key is there with a value; an explicit null counts as absent, as Kubernetes has it."""
        self._known.add(key)
        return self._values.get(key) is not None

    def raw(self, key: str) -> Any:
        self._known.add(key)
        return self._values.get(key)

    def text(
        self,
        key: str,
        *,
        default: str | None = None,
        pattern: str | None = None,
        allowed: str = "",
        max_length: int = 253,
    ) -> str:
        """A string; ``default=None`` makes it required. ``allowed`` says in words what ``pattern`` admits."""
        if not self.has(key):
            if default is None:
                self.problem(key, f"is required{f'; {allowed}' if allowed else ''}")
            return default or ""
        value = self._values[key]
        if not isinstance(value, str):
            self.problem(key, f"must be a string, not {type_name(value)} ({shown(value)}); put it in quotes")
            return default or ""
        self._check_text(self.child(key), value, pattern, allowed, max_length)
        return value

    def optional_text(self, key: str, *, pattern: str | None = None, allowed: str = "", max_length: int = 253) -> None:
        """Checks a string that may be absent; its value is the operator's to read."""
        if self.has(key):
            self.text(key, pattern=pattern, allowed=allowed, max_length=max_length)

    def _check_text(self, path: str, value: str, pattern: str | None, allowed: str, max_length: int) -> None:
        if not value:
            self.problems.add(path, "must not be empty")
        elif not is_unicode(value):
            self.problems.add(path, f"{shown(value)} holds half of an escaped character; write the whole character")
        elif len(value) > max_length:
            self.problems.add(path, f"is {len(value)} characters long; at most {max_length} are allowed")
        elif pattern is not None and not re.fullmatch(pattern, value):
            self.problems.add(path, f"{shown(value)} is not valid; {allowed}")

    def flag(self, key: str, default: bool) -> bool:
        if not self.has(key):
            return default
        value = self._values[key]
        if not isinstance(value, bool):
            self.problem(key, f"must be true or false, not {type_name(value)} ({shown(value)})")
            return default
        return value

    def number(self, key: str, minimum: int) -> None:
        """Checks an optional whole number; its value is the operator's to read."""
        if not self.has(key):
            return
        value = self._values[key]
        if isinstance(value, bool) or not isinstance(value, int):
            self.problem(key, f"must be a whole number, not {type_name(value)} ({shown(value)})")
        elif value < minimum:
            self.problem(key, f"must be at least {minimum}, not {shown(value)}")

    def items(self, key: str, *, minimum: int = 0, maximum: int) -> list[Any] | None:
        """The list at ``key``; None when there is none."""
        if not self.has(key):
            return None
        value = self._values[key]
        if not isinstance(value, list):
            self.problem(key, f"must be a list, not {type_name(value)}")
            return None
        if not minimum <= len(value) <= maximum:
            self.problem(key, f"has {len(value)} entries; between {minimum} and {maximum} are allowed")
        return value[:maximum]

    def texts(self, key: str, *, minimum: int = 0, maximum: int) -> list[tuple[str, str]] | None:
        """The strings of a list, each with the path of its field; None when there is no such list."""
        values = self.items(key, minimum=minimum, maximum=maximum)
        if values is None:
            return None
        found = []
        for index, value in enumerate(values):
            path = f"{self.child(key)}[{index}]"
            if isinstance(value, str) and not is_unicode(value):
                self.problems.add(path, f"{shown(value)} holds half of an escaped character; write the whole character")
            elif isinstance(value, str):
                found.append((path, value))
            else:
                self.problems.add(path, f"must be a string, not {type_name(value)} ({shown(value)}); put it in quotes")
        return found

    def sections(self, key: str, *, minimum: int = 0, maximum: int) -> Iterator[Section]:
        for index, value in enumerate(self.items(key, minimum=minimum, maximum=maximum) or []):
            yield Section(value, f"{self.child(key)}[{index}]", self.problems)

    def section(self, key: str) -> Section | None:
        return Section(self._values[key], self.child(key), self.problems) if self.has(key) else None

    def mapping(self, key: str, *, of_strings: bool = False) -> None:
        """Checks an optional mapping whose inside is Kubernetes' business."""
        if not self.has(key):
            return
        value = self._values[key]
        if not isinstance(value, dict):
            self.problem(key, f"must be a mapping, not {type_name(value)}")
        elif of_strings:
            for name, entry in value.items():
                if not (isinstance(name, str) and isinstance(entry, str) and is_unicode(name + entry)):
                    self.problem(key, f"must map strings to strings; put {shown(name)}: {shown(entry)} in quotes")

    def mappings(self, key: str) -> None:
        """Checks an optional list of such mappings."""
        for index, value in enumerate(self.items(key, maximum=MAX_ENTRIES) or []):
            if not isinstance(value, dict):
                self.problems.add(f"{self.child(key)}[{index}]", f"must be a mapping, not {type_name(value)}")

    def named_mappings(self, key: str) -> None:
        """Checks an optional list of such mappings that are told apart by their ``name``."""
        self.mappings(key)
        names: set[str] = set()
        for index, value in enumerate(self.items(key, maximum=MAX_ENTRIES) or []):
            name = value.get("name") if isinstance(value, dict) else None
            if isinstance(value, dict) and (not isinstance(name, str) or not name):
                self.problems.add(f"{self.child(key)}[{index}].name", "is required")
            elif isinstance(name, str) and name in names:
                self.problems.add(f"{self.child(key)}[{index}].name", f"{shown(name)} stands twice")
            elif isinstance(name, str):
                names.add(name)

    def close(self) -> None:
        """Reports every key that nobody asked for."""
        for key in self._values:
            if key not in self._known:
                self.problem(str(key), f"is not a known field{self._suggestion(str(key))}")

    def _suggestion(self, key: str) -> str:
        from difflib import get_close_matches  # only needed for a bad manifest

        near = get_close_matches(key.lower(), [name.lower() for name in self._known], n=1)
        if near:
            return f"; did you mean {next(name for name in self._known if name.lower() == near[0])!r}?"
        return f"; allowed here: {', '.join(sorted(self._known))}"
