"""The bytes of a picture or a voice, however a client has sent them: as a file, or as a data URL in text.

What other clients put there instead is text too, and a decoder would only say that it is no picture: each is told what
it sent and what to send. Addresses are never fetched.
"""

from __future__ import annotations

import base64
import binascii
import re
from pathlib import Path

from inference.generation import FileField
from inference.media.limits import INVALID
from inference.server.errors import ApiError, invalid

OBJECT_KEYS = frozenset({"image_url", "audio_url", "url"})
"""Of objects such as {"image_url": "data:..."}, as OpenAI's clients send them: INPUT_REFERENCE[image_url]."""

CURE = "send the file itself, or its content as a data URL (data:...;base64,...)"
_HEAD = 256
_PIECE = 1 << 20
_WHITE = b" \t\r\n"
_TEXTS = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), reason)
    for pattern, reason in (
        (rb"(?:https?|ftp|s3|gs|blob|file)://.*", "is an address, and addresses are not fetched"),
        (rb"<[\w.]+ (?:name=|object |image ).*|<class .*|(?:bytearray)?\(?b?['\"].*", "is the text of a Python object"),
        (rb"\w+path\(['\"].*|[(\[]\s*(?:b?['\"]|<).*|\[object .*", "is the text of an object"),
        (rb"[{\[].*[\"'}\]].*", "is JSON"),
        (rb"file-[\w-]+\s*", "is the id of a file, and files are not stored here"),
        (rb"[a-z0-9+/_\r\n-]{24,}={0,2}\s*", "is base64 without the head of a data URL"),
        (rb"@?(?:[a-z]:|~|\.{0,2})[\\/][^\0]*\.\w{2,4}\s*|@?[\w .-]+\.\w{2,4}\s*", "is the name of a file"),
    )
)


def unwrap(path: Path, field: FileField) -> None:
    """Replace a data URL by the bytes that it encodes; raises `ApiError` for text that is none."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    start = len(head) - len(head.lstrip(_WHITE))
    if head[start : start + 5].lower() == b"data:":
        _decode(path, field, head)
    elif head and (reason := _reason(head[start:])):
        raise invalid(field, INVALID[field], f"{reason}; {CURE}.")


def _reason(head: bytes) -> str | None:
    return next((reason for pattern, reason in _TEXTS if pattern.fullmatch(head)), None)


def no_object(field: str, key: str) -> ApiError:
    """The refusal of an object with another key, such as the id of a stored file."""
    text = "names a stored file, and files are not stored here" if key == "file_id" else f"has no key {key!r}"
    return invalid(field, "invalid_value", f"{text}; {CURE}.")


def _decode(path: Path, field: FileField, head: bytes) -> None:
    """In pieces: uploads are large and many."""
    kind, comma, _ = head.partition(b",")
    if not comma or not kind.lower().endswith(b";base64"):
        raise invalid(field, INVALID[field], f"is a data URL that is not base64-encoded; {CURE}.")
    with path.open("rb") as file, path.open("r+b") as same:
        file.seek(len(kind) + 1)
        rest = b""
        try:
            while piece := file.read(_PIECE):  # what is written is shorter than what was read
                rest += piece.translate(None, _WHITE)
                whole = len(rest) - len(rest) % 4
                same.write(base64.b64decode(rest[:whole], validate=True))
                rest = rest[whole:]
            same.write(base64.b64decode(rest, validate=True))
        except binascii.Error as error:
            message = f"is a data URL whose base64 cannot be decoded: {error}."
            raise invalid(field, INVALID[field], message) from error
        same.truncate()
