"""Who refused, and why: the reason, the words and whether a retry is worth it, for what servers answer."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from init_sync.core.errors import NeedsChange
from init_sync.core.reasons import Reason
from init_sync.hub.failures import failure, untrusted_certificate
from init_sync.hub.quoting import kind, quoted
from init_sync.hub.retry import Transient

HTML = {"Content-Type": "text/html; charset=utf-8", "Server": "BlueGate"}
BAD_TOKEN = {"X-Error-Message": "Invalid credentials in Authorization header"}


class Case(NamedTuple):
    status: int
    headers: dict[str, str]
    with_token: bool
    reason: Reason
    words: str


REFUSALS = {
    "a token that is not valid": Case(401, BAD_TOKEN, True, Reason.TOKEN_INVALID, "expired, revoked"),
    "the same without knowing of a token": Case(401, BAD_TOKEN, False, Reason.TOKEN_INVALID, '("Invalid credentials'),
    "401 with a token and no word": Case(401, {}, True, Reason.TOKEN_INVALID, "Replace it (HF_TOKEN)"),
    "401 without a token": Case(401, {}, False, Reason.GATED_REPO, "provide a token"),
    "gated, no token": Case(401, {"X-Error-Code": "GatedRepo"}, False, Reason.GATED_REPO, "provide a token"),
    "gated, no access": Case(403, {"X-Error-Code": "GatedRepo"}, True, Reason.GATED_REPO, "account of the token"),
    "a scope that is missing": Case(
        403,
        {"X-Error-Code": "GatedRepo", "X-Error-Message": "Please enable access in your fine-grained token settings."},
        True,
        Reason.GATED_REPO,
        '"Please enable access in your fine-grained token settings."',
    ),
    "disabled": Case(403, {"X-Error-Code": "DisabledRepo"}, True, Reason.REPO_NOT_FOUND, "has disabled this"),
    "disabled, by its sentence": Case(
        403, {"X-Error-Message": "Access to this resource is disabled."}, False, Reason.REPO_NOT_FOUND, "has disabled"
    ),
    "no such repository": Case(
        404, {"X-Error-Code": "RepoNotFound"}, True, Reason.REPO_NOT_FOUND, "data sets and spaces are not served"
    ),
    "no such revision": Case(404, {"X-Error-Code": "RevisionNotFound"}, False, Reason.REVISION_NOT_FOUND, "--refresh"),
    "no such file": Case(404, {"X-Error-Code": "EntryNotFound"}, False, Reason.FILE_NOT_FOUND, "Correct the manifest"),
    "a filter's page": Case(403, HTML, True, Reason.HUB_UNREACHABLE, "a page of its own (HTML, server: BlueGate)"),
    "a page for a path that a mirror lacks": Case(404, HTML, True, Reason.HUB_UNREACHABLE, "no answer of a hub"),
    "a mirror that asks for a password": Case(401, HTML, True, Reason.TOKEN_INVALID, "server: BlueGate"),
    "a page with the hub's code": Case(
        403, {**HTML, "X-Error-Code": "GatedRepo"}, True, Reason.GATED_REPO, "Request access"
    ),
    "a proxy without a password": Case(407, {}, True, Reason.HUB_UNREACHABLE, "http://USER:PASSWORD@HOST:PORT"),
    "blocked by law": Case(451, {}, False, Reason.HUB_UNREACHABLE, "answered 451"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_has_its_reason_and_its_cure(name: str) -> None:
    case = REFUSALS[name]
    refused = failure(case.status, case.headers, "listing a/b at main", with_token=case.with_token)

    assert isinstance(refused, NeedsChange)
    assert refused.reason is case.reason
    assert refused.message.startswith(f"listing a/b at main: the hub answered {case.status}")
    assert case.words in refused.message


@pytest.mark.parametrize(
    ("status", "reason"), [(429, Reason.RATE_LIMITED), (500, Reason.HUB_UNREACHABLE), (408, Reason.HUB_UNREACHABLE)]
)
def test_what_may_pass_is_tried_again_with_the_words_of_the_server(status: int, reason: Reason) -> None:
    error = failure(status, {"X-Error-Message": "Busy.", "Retry-After": "7"}, "fetching it", host="cdn.test:443")

    assert isinstance(error, Transient)
    assert (error.reason, error.retry_after_s) == (reason, 7.0)
    assert error.message.startswith(f'fetching it: cdn.test:443 answered {status} ("Busy.")')


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one line", "one line"),
        ("\x1b[31mred\r\nnext\x9b\x00", r"\u001b[31mred\r\nnext\u009b\u0000"),
        ("\u202eevil", r"\u202eevil"),
        ("gr\xc3\xb6\xc3\x9fe", "gr\xf6\xdfe"),
        ("gr\xf6\xdfe", "gr\xf6\xdfe"),
        ("模型", "模型"),
        ("x" * 300, "x" * 197 + "..."),
        ("\x1b" * 300, (r"\u001b" * 300)[:197] + "..."),
    ],
)
def test_a_server_s_text_is_quoted_on_one_line_and_cut(text: str, line: str) -> None:
    assert quoted(text) == line


@pytest.mark.parametrize(
    ("beginning", "name"),
    [
        (b"version https://git-lfs.github.com", "a git-lfs pointer"),
        (b"\r\n<!DOCTYPE html>", "an HTML page"),
        (b"<HTML>", "an HTML page"),
        (b"<?xml version", "XML or HTML"),
        (b'{"error"', "JSON"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"Found. Redirecting", "text"),
        (b"\x80\x00\x01", "binary data"),
        (b"", "nothing"),
    ],
)
def test_a_body_is_named_by_its_kind_and_never_quoted(beginning: bytes, name: str) -> None:
    assert kind(beginning) == name


def test_an_untrusted_certificate_names_the_variable_and_those_that_are_not_read() -> None:
    plain = untrusted_certificate("hub.test:443", "self-signed certificate", {})
    others = untrusted_certificate("hub.test:443", "self-signed certificate", {"REQUESTS_CA_BUNDLE": "/secret"})

    assert plain.exit_code == 2
    assert "hub.test:443: its certificate cannot be verified (self-signed certificate)" in plain.message
    assert "SSL_CERT_FILE" in plain.message
    assert "REQUESTS" not in plain.message
    assert "(not read: REQUESTS_CA_BUNDLE)" in others.message
    assert "/secret" not in others.message
