"""YAML (and so JSON) text to plain values, refusing what would lose something silently or harm the reader.

Two keys of the same name in one mapping are an error here: PyYAML would keep the last and drop the first. Explicit tags
are refused; a manifest has no use for them. JSON is read as JSON: it is faster, and it knows every escape of its own.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from yaml import Node

MAX_DEPTH = 100
DEPTH_CHECKED_ABOVE_BYTES = 4_000
"""libyaml recurses for nested values and dies when they are nested too deeply; a short text cannot hold so many."""


MAX_MERGED_KEYS = 10_000
UNWANTED_TAGS = (":binary", ":set", ":omap", ":pairs")


class UnreadableText(ValueError):
    """The text is not YAML, or says two things at once."""


def read_documents(text: str) -> list[Any]:
    """Every document of the text that is not empty.

    Raises:
        UnreadableText: with the line and the cause, on one line.
    """
    if text.lstrip().startswith("{"):
        try:
            return [json.loads(text, object_pairs_hook=_unique)]
        except RecursionError as error:
            raise UnreadableText("is nested too deeply") from error
        except json.JSONDecodeError:
            pass  # YAML has mappings in braces too
        except UnreadableText:
            raise
        except ValueError as error:  # a number of thousands of digits
            raise UnreadableText("holds a value that cannot be read") from error
    return _read_yaml(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise UnreadableText(f"the key {twice!r} stands twice in one mapping")
    return result


def _read_yaml(text: str) -> list[Any]:
    import yaml  # not for JSON: it takes longer to import than everything else on a warm start

    try:
        if len(text) > DEPTH_CHECKED_ABOVE_BYTES:
            _check_depth(text)
        documents = yaml.load_all(text, Loader=_strict_loader())  # it derives from the safe loader
        return [document for document in documents if document is not None]
    except UnreadableText:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UnreadableText(f"is not valid YAML: {where}{what}") from error
    except UnicodeEncodeError as error:
        raise UnreadableText("holds half of an escaped character; write the whole character") from error
    except RecursionError as error:
        raise UnreadableText("is nested too deeply") from error


def _check_depth(text: str) -> None:
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise UnreadableText(f"is nested more than {MAX_DEPTH} levels deep")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _strict_loader() -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is ten times as fast

    class StrictLoader(base):  # type: ignore[misc]  # the base is chosen at run time
        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            self._checked: set[int] = set()

        def flatten_mapping(self, node: Any) -> None:
            """Comes before merge keys are resolved, which puts a mapping's own keys beside those it overrides."""
            if id(node) not in self._checked:
                self._checked.add(id(node))
                _refuse_repeated_keys(node)
            super().flatten_mapping(node)
            if len(node.value) > MAX_MERGED_KEYS:  # merges of merges grow tenfold with each line
                raise UnreadableText(f"line {node.start_mark.line + 1}: more than {MAX_MERGED_KEYS} keys are merged")

        def construct_object(self, node: Node, deep: bool = False) -> Any:
            where = f"line {node.start_mark.line + 1}"
            if not node.tag.startswith("tag:yaml.org,2002:") or node.tag.endswith(UNWANTED_TAGS):
                raise UnreadableText(f"{where}: the tag {node.tag!r} is not allowed")
            try:
                return super().construct_object(node, deep=deep)
            except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
                if isinstance(error, UnreadableText):
                    raise
                # The library lets these through for values such as a date that does not exist.
                raise UnreadableText(f"{where}: {str(node.value)[:60]!r} cannot be read; put text in quotes") from error

    return StrictLoader


def _refuse_repeated_keys(node: Any) -> None:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key.value, str):
            raise UnreadableText(f"line {key.start_mark.line + 1}: a key must be plain text")
        if key.value in seen:
            raise UnreadableText(f"line {key.start_mark.line + 1}: the key {key.value!r} stands twice in one mapping")
        seen.add(key.value)
