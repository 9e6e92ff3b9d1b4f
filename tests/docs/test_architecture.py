"""The tables of modules in docs/architecture.md name modules that exist."""

from __future__ import annotations

import re

import pytest

from .pages import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
PACKAGES = {"init_sync": "init_sync/src/init_sync", "modelcache_operator": "operator/src/modelcache_operator"}
LAYERS = {
    f"{package}/{layer}": (ROOT / source / layer, row)
    for package, source in PACKAGES.items()
    for layer, row in re.findall(
        r"^\| `(\w+)` \| .* \| (.*) \|$", PAGE.partition(f"\n## {package}\n")[2].partition("\n## ")[0], re.MULTILINE
    )
}


def test_each_package_has_its_table() -> None:
    assert {name.partition("/")[0] for name in LAYERS} == set(PACKAGES)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_has_the_modules_of_its_row(layer: str) -> None:
    folder, row = LAYERS[layer]
    named = set(re.findall(r"`(\w+)`", row))
    assert named
    assert named - {path.stem for path in folder.glob("*.py")} == set()
