"""The few objects that kubectl and helm send as protobuf whatever they are told: a reader for just those.

``runtime.Unknown`` around a message, of which only the fields that these clients use are known.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from support.kubeapi.errors import ApiError

MAGIC = b"k8s\0"
METADATA: dict[int, Any] = {1: "name", 2: "generateName", 3: "namespace", 11: ("labels",), 12: ("annotations",)}
MESSAGES: dict[str, dict[int, Any]] = {
    "Namespace": {1: ("metadata", METADATA)},
    "Secret": {1: ("metadata", METADATA), 2: ("data", "base64"), 3: "type"},
    "ConfigMap": {1: ("metadata", METADATA), 2: ("data",)},
}


def read_object(data: bytes) -> dict[str, Any]:
    outer = dict(_fields(data[len(MAGIC) :]))
    kind = dict(_fields(outer[1]))[2].decode()
    if kind not in MESSAGES:
        raise ApiError(415, "UnsupportedMediaType", f"{kind} as protobuf: send application/json")
    return _message(outer[2], MESSAGES[kind])


def _message(data: bytes, layout: dict[int, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, value in _fields(data):
        match layout.get(number):
            case str(key):
                result[key] = value.decode() if isinstance(value, bytes) else value
            case (key, dict(inner)):
                result[key] = _message(value, inner)
            case (key, *encoding):
                entry = dict(_fields(value))
                content = entry.get(2, b"")
                text = base64.b64encode(content).decode() if encoding else content.decode()
                result.setdefault(key, {})[entry.get(1, b"").decode()] = text
    return result


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        if tag & 7 == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif tag & 7 == 2:
            size, at = _varint(data, at)
            yield tag >> 3, data[at : at + size]
            at += size
        else:
            raise ApiError(415, "UnsupportedMediaType", "unexpected protobuf wire type")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return result, at
