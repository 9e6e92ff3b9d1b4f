"""Collecting what is wrong with a document, and the words in which values and paths are quoted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from init_sync.core.errors import Problem

SHOWN_CHARACTERS = 60


class Problems:
    """What is wrong with one document."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, path: str, message: str) -> None:
        self.found.append(Problem(path, message))

    def add_repeated(self, values: Sequence[str], paths: Sequence[str], rule: str) -> None:
        """Each value that an earlier path has too. Empty ones are left out: they have a problem already."""
        taken: dict[str, str] = {}
        for value, path in zip(values, paths, strict=True):
            if value and value in taken:
                self.add(path, f"{shown(value)} is taken by {taken[value]} already; {rule}")
            elif value:
                taken[value] = path


def child(path: str, key: str) -> str:
    """The path of a field within the mapping at ``path``."""
    name = key if key.replace("-", "").replace("_", "").isalnum() else shown(key)
    return f"{path}.{name}" if path else name


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
