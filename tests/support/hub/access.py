"""Who may read what, and how the hub says no.

As soon as any repository names a token, the hub knows its users: a token that belongs to nobody is refused
everywhere, and a known one opens only its own repositories. Without any, every token is some user's. A private
repository does not exist for others; a gated one may be listed by all, and read by its token alone.
"""

from __future__ import annotations

from .messages import Answer, error_answer
from .store import Repository


def bearer(headers: dict[str, str]) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def bad_token(token: str | None, known: frozenset[str]) -> Answer | None:
    """The client tells this 401 from "repository not found" by the wording."""
    bad = token is not None and known and token not in known
    return error_answer(401, "Invalid credentials in Authorization header") if bad else None


def refusal(repo: Repository, token: str | None, *, reads_files: bool) -> Answer | None:
    """Return the answer that keeps this caller out, None if it may pass."""
    settings = repo.settings
    if token is not None and token == settings.token:
        return None
    if settings.private:
        return repo_not_found(token)
    if settings.gated and reads_files:
        wish = "You must have access to it and be authenticated to access it. Please log in."
        if token is not None:
            wish = f"Visit /{repo.name} to ask for access."
        message = f"Access to model {repo.name} is restricted. {wish}"
        return error_answer(401 if token is None else 403, message, "GatedRepo")
    return None


def repo_not_found(token: str | None) -> Answer:
    """Without access the hub does not say whether a repository exists."""
    return error_answer(401 if token is None else 404, "Repository not found", "RepoNotFound")
