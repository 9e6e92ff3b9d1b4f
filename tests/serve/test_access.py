"""The token that clients must send, and what is said without it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from init_sync.serve.token import Token
from support.peer import Peer, peer

FILE = "/owner/base/resolve/main/config.json"
TOKEN = "a-token-of-24-characters"


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def guarded(whole: Path, token: Path) -> Iterator[Peer]:
    with peer(whole, token) as served:
        yield served


def status(served: Peer, authorization: str | None, path: str = FILE) -> int:
    return served.ask(path, headers={"Authorization": authorization} if authorization else {}).status


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", f"bearer  {TOKEN} "])
def test_the_token_opens_files_and_listings(authorization: str, guarded: Peer) -> None:
    assert status(guarded, authorization) == 200
    assert status(guarded, authorization, "/api/models/owner/base") == 200


@pytest.mark.parametrize(
    "authorization",
    [None, "Bearer", "Bearer ", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", "Bearer \xff"],
)
@pytest.mark.parametrize("path", [FILE, "/api/models/owner/base", "/api/models/owner/nothing", "/anything"])
def test_without_it_all_is_refused_alike(path: str, authorization: str | None, guarded: Peer) -> None:
    got = guarded.ask(path, headers={"Authorization": authorization} if authorization else {})
    assert (got.status, got.headers["www-authenticate"][:6]) == (401, "Bearer")
    assert got.headers["x-error-message"] == "Invalid credentials in Authorization header"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_health_and_figures_need_none_and_name_no_repository(path: str, guarded: Peer) -> None:
    status(guarded, f"Bearer {TOKEN}")
    got = guarded.ask(path)
    assert got.status == 200
    assert not [word for word in (b"owner", TOKEN.encode()) if word in got.body]


RENEWALS: dict[str, tuple[Callable[[Path], object], dict[str, int]]] = {
    "exchanged": (lambda path: _exchange(path, "another"), {"another": 200, TOKEN: 401}),
    "rewritten": (lambda path: path.write_text("another-one"), {"another-one": 200, TOKEN: 401}),
    "empty": (lambda path: path.write_text("\n"), {"": 401, TOKEN: 401}),
    "too long": (lambda path: path.write_text("a" * 5_000), {"a" * 5_000: 401, TOKEN: 401}),
    "removed": (lambda path: path.unlink(), {"": 401, TOKEN: 401}),
}


def _exchange(path: Path, text: str) -> None:
    (path.parent / "next").write_text(text)
    os.replace(path.parent / "next", path)


@pytest.mark.parametrize(("renew", "then"), RENEWALS.values(), ids=RENEWALS)
def test_the_file_is_read_again_when_it_changes(
    renew: Callable[[Path], object], then: dict[str, int], guarded: Peer, token: Path
) -> None:
    assert status(guarded, f"Bearer {TOKEN}") == 200
    renew(token)
    assert {text: status(guarded, f"Bearer {text}") for text in then} == then
    _exchange(token, TOKEN)
    assert status(guarded, f"Bearer {TOKEN}") == 200


def test_an_unreadable_or_empty_file_is_no_token_to_begin_with(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(ValueError, match="must hold a token"):
        Token(str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError):
        Token(str(tmp_path / "nothing"))


def test_a_server_without_a_token_does_not_mind_one(served: Peer) -> None:
    assert status(served, "Bearer of-the-hub") == 200
