"""Pure decisions of the fault switches: from a right answer to the wrong one, and to the way it is sent."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal, Protocol

from .faults import Fault
from .messages import Answer, FileSlice, Headers, Incoming, error_answer

Ending = Literal["fin", "rst", "stall"]
_ENDINGS: dict[str, Ending] = {"drop_fin": "fin", "drop_rst": "rst", "stall": "stall"}


class Claim(Protocol):
    """Takes one turn of a fault of this kind, if one is switched on for the request and takes effect on it."""

    def __call__(self, kind: str, takes_effect: Callable[[Fault], bool] = ..., /) -> Fault | None: ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """How a body is sent: ``cut_at`` bytes of it, then ``ending``; None means whole and well."""

    bytes_per_second: int | None = None
    cut_at: int | None = None
    ending: Ending | None = None


def ending_before_answer(claim: Claim) -> Ending | None:
    """Whether the connection ends or falls silent instead of any answer."""
    for kind, ending in _ENDINGS.items():
        if claim(kind, lambda fault: fault.after_bytes == 0):
            return ending
    return None


def status_answer(fault: Fault) -> Answer:
    headers: Headers = fault.answer_headers()
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if fault.ratelimit_reset is not None:
        headers["RateLimit"] = f'"resolvers";r=0;t={fault.ratelimit_reset}'
        headers["RateLimit-Policy"] = '"fixed window";"resolvers";q=5000;w=300'
    return error_answer(fault.status, f"switched to answer {fault.status}", fault.error_code, headers)


def spoil(answer: Answer, incoming: Incoming, claim: Claim) -> Answer:
    """Apply the faults that change what is said."""
    if "Link" in answer.headers and claim("no_link"):
        answer = _without(answer, "Link")
    if answer.status < 400 and (fault := claim("headers")):
        answer = replace(answer, headers={**answer.headers, **fault.answer_headers()})
    if fault := claim("unlisted", lambda fault: bool(_listed(answer, fault))):
        answer = _relisted(answer, fault, None)
    if fault := claim("listed_as", lambda fault: bool(_listed(answer, fault))):
        answer = _relisted(answer, fault, fault.fields)
    if answer.status == 206 and claim("ignore_range"):
        answer = _whole(answer)
    if isinstance(answer.body, FileSlice) and claim("change_etag"):
        answer = _whole(answer) if "if-range" in incoming.headers else answer
        answer = replace(answer, headers={**answer.headers, "ETag": f'"{secrets.token_hex(16)}"'})
    return answer if incoming.method == "HEAD" else _spoil_body(answer, claim)


def plan_delivery(answer: Answer, carried: int, rate: int | None, claim: Claim) -> Delivery:
    """Decide how the answer's body is sent on a connection that has ``carried`` body bytes before."""
    length = answer.length
    slow = claim("slow", lambda _: length > 0)
    rates = [one for one in (rate, slow.bytes_per_second if slow else None) if one]
    cuts: list[tuple[int, Ending]] = []
    for kind, ending in _ENDINGS.items():
        if fault := claim(kind, lambda fault: 0 < fault.after_bytes < length):
            cuts.append((fault.after_bytes, ending))
    if fault := claim("die_every", lambda fault: length > 0 and carried + length >= fault.after_bytes):
        cuts.append((max(0, fault.after_bytes - carried), "rst"))
    cut_at, ending_at = min(cuts, default=(None, None), key=lambda cut: cut[0] or 0)
    return Delivery(min(rates, default=None), cut_at, ending_at)


def _spoil_body(answer: Answer, claim: Claim) -> Answer:
    body = answer.body
    if isinstance(body, FileSlice):
        slice_ = body
        if fault := claim("wrong_bytes", lambda fault: slice_.covers(fault.offset)):
            body = replace(body, flipped=fault.offset)
    if fault := claim("truncate", lambda fault: fault.after_bytes < answer.length):
        end = fault.after_bytes
        body = replace(body, length=end) if isinstance(body, FileSlice) else body[:end]
    return replace(answer, body=body)


def _listed(answer: Answer, fault: Fault) -> list[dict[str, Any]]:
    """The files of a description or a page that the fault is about."""
    if not isinstance(answer.body, bytes) or answer.status != 200:
        return []
    said = json.loads(answer.body)
    entries: list[dict[str, Any]] = said.get("siblings", []) if isinstance(said, dict) else said
    return [each for each in entries if fnmatchcase(each.get("rfilename") or each["path"], fault.names)]


def _relisted(answer: Answer, fault: Fault, fields: Mapping[str, Any] | None) -> Answer:
    """The files that the fault is about, changed, or left out when there are no ``fields``."""
    assert isinstance(answer.body, bytes)
    said, chosen = json.loads(answer.body), _listed(answer, fault)
    entries = said["siblings"] if isinstance(said, dict) else said
    if fields is None:
        entries = [each for each in entries if each not in chosen]
    else:
        entries = [{**each, **fields} if each in chosen else each for each in entries]
    relisted = {**said, "siblings": entries} if isinstance(said, dict) else entries
    return replace(answer, body=json.dumps(relisted).encode())


def _without(answer: Answer, header: str) -> Answer:
    return replace(answer, headers={name: value for name, value in answer.headers.items() if name != header})


def _whole(answer: Answer) -> Answer:
    """The 200 in place of a 206; the answer itself if it is whole already."""
    if answer.status != 206 or not isinstance(answer.body, FileSlice):
        return answer
    size = int(answer.headers["Content-Range"].rpartition("/")[2])
    whole = replace(_without(answer, "Content-Range"), status=200)
    return replace(whole, body=FileSlice(answer.body.path, 0, size))
