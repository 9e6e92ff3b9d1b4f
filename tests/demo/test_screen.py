"""Tables of the demo, where there is no kubectl to print them."""

from __future__ import annotations

from support.demo.screen import table_text

TABLE = {
    "columnDefinitions": [{"name": "Name"}, {"name": "Volume", "priority": 1}, {"name": "Rate", "priority": 0}],
    "rows": [{"cells": ["multitalk", "models", None]}, {"cells": ["a", "models", "310Mi/s"]}],
}


def test_a_table_is_shown_as_kubectl_does_without_its_wide_columns() -> None:
    assert table_text(TABLE).splitlines() == ["NAME        RATE", "multitalk", "a           310Mi/s"]
