"""``make generated``: every file that is made by code, of the manifest's table, of values.yaml, of the dashboards.

init_sync/core/manifest_schema.py --> charts/modelcache/charts/crds/crds/modelcaches.yaml --> docs/reference/manifest.md
                                  --> charts/modelcache/values.schema.json: models and Job
charts/modelcache/values.yaml     --> the same file: descriptions; charts/modelcache/README.md: tables
tools/dashboards                  --> charts/modelcache/dashboards
"""

from __future__ import annotations

import sys
from pathlib import Path

import chart_docs
import crd
import dashboards
import manifest_reference

ROOT = Path(__file__).parents[1]


def documents() -> dict[Path, str]:
    """What each of them must hold."""
    return {
        crd.DEFINITION: crd.text(),
        manifest_reference.REFERENCE: manifest_reference.page(crd.root()),
        **chart_docs.documents(),
        **dashboards.documents(),
    }


def stale() -> list[str]:
    return [str(path.relative_to(ROOT)) for path, text in documents().items() if path.read_text() != text]


def main() -> int:
    for path, text in documents().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
