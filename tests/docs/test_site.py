"""The documentation site is built from docs/ and the README, and no link of it leads nowhere."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from docs_site import home, outside_named

from .pages import ROOT


def test_the_site_is_built_strictly_and_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        pytest.fail("the build opens a connection")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.chdir(ROOT)
    build(load_config(str(ROOT / "mkdocs.yml"), strict=True, site_dir=str(tmp_path)))
    assert (tmp_path / "index.html").stat().st_size > 10_000
    for page in tmp_path.glob("*.html"):
        for source in re.findall(r'<img [^>]*src="([^":]+)"', page.read_text(encoding="utf-8")):
            assert (tmp_path / source).is_file(), f"{page.name}: {source}"
    assert "spec.volume" in (tmp_path / "search/search_index.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("link", "seen"),
    [
        ("[sync](docs/sync.md)", "[sync](sync.md)"),
        ("[figures](docs/benchmarks.md#operator)", "[figures](benchmarks.md#operator)"),
        ("[vLLM](examples/vllm.yaml)", "[vLLM](../examples/vllm.yaml)"),
        ("[below](#promises)", "[below](#promises)"),
        ("![demo](docs/images/demo.svg)", "![demo](images/demo.svg)"),
        ("[kopf](https://kopf.readthedocs.io)", "[kopf](https://kopf.readthedocs.io)"),
    ],
)
def test_links_of_the_readme_are_seen_from_docs(link: str, seen: str) -> None:
    assert home(link) == seen


@pytest.mark.parametrize(
    ("link", "folder", "named"),
    [
        ("[sync](sync.md)", "", "[sync](sync.md)"),
        ("[sync](../sync.md#a)", "reference", "[sync](../sync.md#a)"),
        ("[below](#promises)", "", "[below](#promises)"),
        ("[vLLM](../examples/vllm.yaml)", "", "vLLM (`examples/vllm.yaml`)"),
        ("[examples/vllm.yaml](../examples/vllm.yaml)", "", "examples/vllm.yaml"),
        ("[the chart](../../charts/modelcache/)", "decisions", "the chart (`charts/modelcache`)"),
        ("[kopf](https://kopf.readthedocs.io)", "", "[kopf](https://kopf.readthedocs.io)"),
    ],
)
def test_a_link_out_of_docs_becomes_the_name_of_a_file(link: str, folder: str, named: str) -> None:
    assert outside_named(link, folder) == named
