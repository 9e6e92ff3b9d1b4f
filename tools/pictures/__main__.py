"""``make pictures``; PROMETHEUS names the program, unless it is on the PATH."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from pictures import drawing, recording
from pictures.panels import Asked
from pictures.questions import whole_intervals
from pictures.recording import Line
from pictures.scraping import Prometheus
from support.demo import acts
from support.demo.fitness import Unfit
from support.demo.screen import Screen
from support.demo.show import play
from support.demo.signals import catch_signals
from support.demo.spectator import NAMESPACE
from support.demo.stage import ROOT, Stage
from support.waiting import eventually

FOLDER = ROOT / "docs/images"
BOARDS = ROOT / "charts/modelcache/dashboards"
ALL = ".+"
VARIABLES = {
    "fleet": {"namespace": ALL, "cache": ALL},
    "cache": {"namespace": NAMESPACE, "cache": acts.CACHE},
    "inference": {"namespace": ALL, "pod": ALL},
}
MORE_VIDEOS = 2
"""After the demo, for the panels of MultiTalk."""


class RecordedScreen(Screen):
    """What the demo prints is kept with its time."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []

    def _print(self, text: str) -> None:
        self.lines += recording.split(time.monotonic() - self.began, text)
        super()._print(text)


def main() -> int:
    program = os.environ.get("PROMETHEUS") or shutil.which("prometheus")
    if not program:
        print("pictures: no Prometheus: set PROMETHEUS=/path/to/prometheus (Debian has it)", file=sys.stderr)
        return 2
    catch_signals()
    FOLDER.mkdir(exist_ok=True)
    screen = RecordedScreen()
    try:
        with Stage(screen) as stage:
            run(stage, screen, program)
    except Unfit as error:
        print(f"pictures: {error}", file=sys.stderr)
        return 1
    for name in ("demo.svg", *(f"{board}.png" for board in VARIABLES)):
        print(f"wrote docs/images/{name}: {(FOLDER / name).stat().st_size / 1000:.0f} kB")
    return 0


def run(stage: Stage, screen: RecordedScreen, program: str) -> None:
    folder = stage.folder / "prometheus"
    folder.mkdir()
    with Prometheus(program, folder, lambda: stage.client.list("pods", NAMESPACE)) as prometheus:
        start_s = time.time()
        play(stage)
        (FOLDER / "demo.svg").write_text(recording.svg(recording.sped_up(screen.lines)))
        pod = acts.serving_pod(stage)
        eventually(lambda: stage.spectator.moments.get((pod, "ready")), f"{pod} is ready", acts.START_S)
        for _ in range(MORE_VIDEOS):
            acts.make_video(stage)
        end_s = start_s + whole_intervals(time.time() - start_s + 2)  # with two more scrapes
        time.sleep(end_s - time.time())
        for name, variables in VARIABLES.items():
            board = json.loads((BOARDS / f"{name}.json").read_text())
            drawing.draw(Asked(prometheus, start_s, end_s, variables).board(board), FOLDER / f"{name}.png")
    stage.spectator.stop()


if __name__ == "__main__":
    sys.exit(main())
