"""The columns that ``kubectl get modelcaches`` prints."""

from __future__ import annotations

from typing import Any

COLUMNS = (
    ("Phase", "string", ".status.phase", "Pending, Syncing, Ready, Degraded or Failed"),
    (
        "Reason",
        "string",
        '.status.conditions[?(@.type=="Complete")].reason',
        "Why it is in this phase, in one word",
    ),
    ("Models", "string", ".status.summary.models", "Models complete / models in total"),
    ("Nodes", "string", ".status.summary.nodes", "Complete copies / nodes, with a copy on every node"),
    ("Progress", "string", ".status.summary.progress", "Bytes present of all, in percent"),
    ("Size", "string", ".status.summary.size", "Bytes of all models"),
    ("Rate", "string", ".status.summary.rate", "Rate of a running sync"),
    ("ETA", "string", ".status.summary.eta", "Estimated time remaining of a running sync"),
    ("Volume", "string", ".status.claimName", "The claim"),
    ("Commit", "string", ".status.summary.commit", "Commit of each model"),
    ("Digest", "string", ".status.summary.digest", "Digest of each model"),
    ("Verified", "date", ".status.verifiedAt", "Oldest verification among the models"),
    ("Message", "string", ".status.message", "Why it is in this phase"),
    ("Age", "date", ".metadata.creationTimestamp", "Since the cache was created"),
)
"""Name, type, path, description."""
WIDE = {"Volume", "Commit", "Digest", "Verified", "Message"}
"""Only with ``-o wide``."""


def columns() -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": kind,
            "jsonPath": path,
            **({"priority": 1} if name in WIDE else {}),
            "description": description,
        }
        for name, kind, path, description in COLUMNS
    ]
