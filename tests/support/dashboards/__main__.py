"""Writes the chart's dashboards."""

from __future__ import annotations

from support.dashboards import FOLDER, rendered

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, text in rendered().items():
        path.write_text(text)
        print(path)
