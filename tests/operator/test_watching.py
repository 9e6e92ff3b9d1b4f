"""What kopf is asked to do, and not to keep."""

from __future__ import annotations

import asyncio
from typing import Any

import kopf
import pytest

from modelcache_operator.app import watching


def test_no_record_of_an_object_is_kept() -> None:
    memories = watching.NoMemories()
    record = asyncio.run(memories.recall({"metadata": {"uid": "1"}}, noticed_by_listing=True))
    assert record.noticed_by_listing
    assert list(memories.iter_all_memories()) == []


def test_kopf_uses_what_keeps_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    async def spawn(**options: Any) -> list[Any]:
        asked.update(options)
        return []

    async def run(*_: Any, **__: Any) -> None: ...

    monkeypatch.setattr(kopf, "spawn_tasks", spawn)
    monkeypatch.setattr(kopf, "run_tasks", run)
    asyncio.run(watching.watch(kopf.OperatorRegistry(), (), lambda: None))
    assert isinstance(asked["memories"], watching.NoMemories)
