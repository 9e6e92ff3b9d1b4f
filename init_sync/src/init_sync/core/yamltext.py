"""YAML (and so JSON) text to plain values, refusing what would lose something silently.

Two keys of the same name in one mapping are an error here: PyYAML would keep the last and drop the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    BaseLoader = yaml.SafeLoader
else:
    BaseLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader is ten times as fast


class UnreadableText(ValueError):
    """The text is not YAML, or says two things at once."""


class _StrictLoader(BaseLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise UnreadableText(f"line {key_node.start_mark.line + 1}: a key must be plain text")
            if key_node.value in seen:
                raise UnreadableText(f"line {key_node.start_mark.line + 1}: the key {key_node.value!r} stands twice")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def read_documents(text: str) -> list[Any]:
    """Every document of the text that is not empty.

    Raises:
        UnreadableText: with the line and the cause, on one line.
    """
    try:
        documents = yaml.load_all(text, Loader=_StrictLoader)  # it derives from the safe loader
        return [document for document in documents if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UnreadableText(f"is not valid YAML: {where}{what}") from error
    except (RecursionError, ValueError) as error:
        if isinstance(error, UnreadableText):
            raise
        raise UnreadableText(f"is not valid YAML: {error or 'nested too deeply'}") from error
