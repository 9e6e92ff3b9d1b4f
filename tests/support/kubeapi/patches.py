"""JSON merge patches and JSON patches, on plain values."""

from __future__ import annotations

import copy
from typing import Any

from support.kubeapi.errors import ApiError


def merge(base: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def json_patch(value: Any, operations: list[dict[str, Any]]) -> Any:
    """RFC 6902 without copy and move."""
    result = copy.deepcopy(value)
    for operation in operations:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        target = result
        for part in path:
            target = _step(target, part, operation["path"])
        _operate(target, last, operation)
    return result


def _step(target: Any, part: str, path: str) -> Any:
    try:
        return target[int(part)] if isinstance(target, list) else target[part]
    except (KeyError, IndexError, TypeError, ValueError):
        raise ApiError(
            422, "Invalid", f'the server rejected our request due to an error in our request: path "{path}" is missing'
        ) from None


def _operate(target: Any, last: str, operation: dict[str, Any]) -> None:
    kind, value = operation["op"], operation.get("value")
    if kind == "test":
        if _value_at(target, last) != value:
            path = operation["path"]
            raise ApiError(422, "Invalid", f"the server rejected our request: testing value {path} failed: test failed")
    elif kind == "remove":
        _step(target, last, operation["path"])
        del target[int(last) if isinstance(target, list) else last]
    elif isinstance(target, list):
        if last == "-":
            target.append(value)
        elif kind == "add":
            target.insert(int(last), value)
        else:
            target[int(last)] = value
    else:
        target[last] = value


def _value_at(target: Any, last: str) -> Any:
    if isinstance(target, list):
        return target[int(last)] if last.isdigit() and int(last) < len(target) else None
    return target.get(last)
