"""A multipart/form-data body, written into a folder as it arrives. Bounded in bytes, parts, text and time.

The name of a field decides whether it is a file, not the client: `input_reference` and `audio` go to disk even when a
client sends them as text (a data URL, or the word none), every other field is text. A name may end in the `[]` or `[0]`
that some clients add to repeated fields, and a file may be in an object: `input_reference[image_url]`.

It decodes no file and knows no other field; that belongs to `request`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, get_args

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from inference.generation import FileField
from inference.server.errors import ApiError, invalid, too_large, upload_stalled, upload_timed_out
from inference.server.references import OBJECT_KEYS, no_object

FILE_FIELDS = frozenset(get_args(FileField))
MAX_PARTS = 40
MAX_TEXT_BYTES = 32 * 1024
MAX_HEADER_BYTES = 4 * 1024
MAX_PREAMBLE_BYTES = 4 * 1024
STALL_S = 8.0
LEAST_BYTES = 8 * 1024
DISCARD_S = 5.0
_NAME = re.compile(r"([^\[]*)((?:\[[^\]]*\])*)")


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of a body by field name, in the order in which they came."""

    texts: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, list[Path]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """The most that one request may send."""

    body_bytes: int
    time_s: float
    stall_s: float = STALL_S
    """In this time `LEAST_BYTES` more must arrive: an upload that stands still must not hold a place of the queue."""


async def receive_form(body: AsyncIterator[bytes], content_type: str, folder: Path, limits: UploadLimits) -> Form:
    """Read a body to its end; raises `ApiError` as soon as it breaks a rule. The files are the caller's to remove."""
    receiver = _receiver(folder, content_type)
    received = awaited = 0
    clock = asyncio.get_running_loop().time
    try:
        async with asyncio.timeout(limits.time_s), asyncio.timeout(limits.stall_s) as stall:
            async for chunk in body:
                received += len(chunk)
                if received > limits.body_bytes:
                    raise too_large(limits.body_bytes)
                await run_in_threadpool(receiver.write, chunk)
                if received >= awaited:
                    awaited = received + LEAST_BYTES
                    stall.reschedule(clock() + limits.stall_s)
    except TimeoutError as error:
        raise (upload_stalled(limits.stall_s) if stall.expired() else upload_timed_out(limits.time_s)) from error
    finally:
        receiver.close()
    return receiver.form()


async def discard(body: AsyncIterator[bytes], max_bytes: int, time_s: float) -> None:
    """Read what a refused client is still sending, within bounds: many clients read the response only afterwards."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(time_s):
            async for chunk in body:
                max_bytes -= len(chunk)
                if max_bytes < 0:
                    return


def _receiver(folder: Path, content_type: str) -> _Receiver:
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise ApiError(
            415,
            "unsupported_media_type",
            "Send the request as multipart/form-data, with a boundary; the OpenAI clients and curl -F do.",
        )
    try:
        return _Receiver(folder, options[b"boundary"])
    except FormParserError as error:
        raise invalid(None, "malformed_multipart", f"The multipart boundary cannot be used: {error}") from error


class _Receiver:
    """The parser's callbacks: collects one part at a time, text in memory and files on disk."""

    def __init__(self, folder: Path, boundary: bytes) -> None:
        self._folder = folder
        self._form = Form()
        self._delimiter = b"--" + boundary
        self._preamble: bytes | None = b""
        """What has arrived while the first boundary is not found; None afterwards."""
        self._parts = 0
        self._ended = False
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._disposition = b""
        self._name = ""
        self._text = bytearray()
        self._file: BinaryIO | None = None
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._part_begins,
                "on_header_field": self._header_name_continues,
                "on_header_value": self._header_value_continues,
                "on_header_end": self._header_ends,
                "on_headers_finished": self._headers_end,
                "on_part_data": self._data_continues,
                "on_part_end": self._part_ends,
                "on_end": self._body_ends,
            },
        )

    def write(self, chunk: bytes) -> None:
        if self._preamble is not None:
            chunk = self._after_preamble(self._preamble + chunk)
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise invalid(None, "malformed_multipart", f"The multipart body cannot be read: {error}") from error

    def _after_preamble(self, begun: bytes) -> bytes:
        """Text before the first boundary is for people (RFC 2046); the parser does not know it."""
        start = 0 if begun.startswith(self._delimiter) else begun.find(b"\r\n" + self._delimiter) + 2
        if start >= 2 or begun.startswith(self._delimiter):
            self._preamble = None
            return begun[start:]
        if len(begun) > MAX_PREAMBLE_BYTES:
            raise invalid(None, "malformed_multipart", "The multipart body does not begin with its boundary.")
        self._preamble = begun
        return b""

    def form(self) -> Form:
        if not self._ended:
            raise invalid(None, "malformed_multipart", "The multipart body ends before its last boundary.")
        return self._form

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _part_begins(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise invalid(None, "too_many_parts", f"The body has more than {MAX_PARTS} parts.")
        self._disposition = b""
        self._text.clear()

    def _header_name_continues(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._bound_header()

    def _header_value_continues(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._bound_header()

    def _bound_header(self) -> None:
        if len(self._header_name) + len(self._header_value) > MAX_HEADER_BYTES:
            raise invalid(None, "malformed_multipart", f"A part has a header of more than {MAX_HEADER_BYTES} bytes.")

    def _header_ends(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if not name:
            raise invalid(None, "malformed_multipart", "A part has no field name in its Content-Disposition.")
        self._name = name = _field(name)
        if name in FILE_FIELDS:
            path = self._folder / f"part-{self._parts}"
            self._form.files.setdefault(name, []).append(path)
            self._file = path.open("wb")
        elif b"filename" in options:
            raise invalid(
                name, "unexpected_file", f"is not a file field; files go into {' and '.join(sorted(FILE_FIELDS))}."
            )

    def _data_continues(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            self._file.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > MAX_TEXT_BYTES:
            raise invalid(self._name, "text_too_long", f"is longer than {MAX_TEXT_BYTES} bytes.")

    def _part_ends(self) -> None:
        if self._file is not None:
            self.close()
            return
        try:
            text = self._text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise invalid(self._name, "not_utf8", "is not UTF-8 text.") from error
        self._form.texts.setdefault(self._name, []).append(text)

    def _body_ends(self) -> None:
        self._ended = True


def _field(name: str) -> str:
    """The field that a client's name for it means; refuses keys of objects that no file is in."""
    found = _NAME.fullmatch(name)
    if found is None:
        return name
    field, keys = found[1], [key for key in found[2][1:-1].split("][") if key and not key.isdecimal()]
    if field not in FILE_FIELDS:
        return name if keys else field
    for key in keys:
        if key not in OBJECT_KEYS:
            raise no_object(field, key)
    return field
