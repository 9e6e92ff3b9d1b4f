"""docs/logs.md is what the code does: keys of JSON, flags, defaults. Lines are checked where the programs are run."""

from __future__ import annotations

import re

from inference.server.config import ServerConfig
from init_sync.app.arguments import Sync
from init_sync.shell.flags import declared
from modelcache_operator.app.settings import Settings
from support.log_schema import KEYS, LEVELS

from .pages import ROOT

PAGE = (ROOT / "docs" / "logs.md").read_text()


def test_the_table_has_the_keys_that_are_checked() -> None:
    rows = re.findall(r"^\| (`?)([\w ]+)\1 \| (?:string|.* boolean) \|", PAGE, re.MULTILINE)
    assert {name for _, name in rows} == KEYS | {"any other"}
    for level in LEVELS:
        assert level in PAGE


def test_every_program_has_the_flags_and_defaults_of_the_page() -> None:
    rows = re.findall(r"^\| `(--log-\w+)` \| .* \| (\w+) \| [^|]*\|$", PAGE, re.MULTILINE)
    assert len(rows) == 2
    for program in (Sync, Settings, ServerConfig):
        assert [(each.option, each.default) for each in declared(program) if each.option.startswith("--log")] == rows
