"""Points in time: seconds since 1970 inside, RFC 3339 text in Kubernetes objects, where whole seconds do."""

from __future__ import annotations

from datetime import UTC, datetime


def parse(text: object) -> float | None:
    """The moment that ``text`` names; None for anything that is not a date with a time zone."""
    if not isinstance(text, str) or not 20 <= len(text) <= 40:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment.timestamp() if moment.tzinfo else None


def stamp(moment: float) -> str:
    """``2026-11-23T01:02:03Z``: what Kubernetes calls a Time."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
