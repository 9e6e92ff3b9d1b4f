"""``make demo``, and ``make demo KEEP=1``, which leaves everything up until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from support.demo import acts
from support.demo.keep import lines_to_try
from support.demo.screen import Screen
from support.demo.stage import NoHelm, Stage
from support.helm import HelmRefused
from support.kubeapi import ApiError

INTERRUPTED = 130
FAILURES = (AssertionError, RuntimeError, HelmRefused, ApiError, httpx.HTTPError, subprocess.SubprocessError)
"""Of what is shown; everything else is a mistake in the demo."""


def main() -> int:
    """Exit codes: 0, 1 something was not as promised, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="make demo", description="The whole loop on this machine, without a cluster.")
    parser.add_argument("--keep", action="store_true", help="leave it up, and print lines to try")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    screen = Screen()
    try:
        with Stage(screen) as stage:
            try:
                play(stage)
                if options.keep:
                    screen.plain(lines_to_try(stage))
                    signal.pause()
            except FAILURES:
                screen.plain(stage.last_words())
                raise
            finally:
                _ignore_signals()
                stage.spectator.stop()
                screen.heading("Everything that was started is stopped, everything that was written is removed")
    except (NoHelm, *FAILURES) as error:
        screen.plain(f"demo: failed: {error}")
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        screen.plain(f"demo: failed: {tempfile.gettempdir()} is full. Free 300 MB there, or set TMPDIR")
        return 1
    except KeyboardInterrupt:
        return 0 if options.keep else INTERRUPTED
    screen.plain(f"The whole took {time.monotonic() - screen.began:.0f} s.")
    return 0


def play(stage: Stage) -> None:
    screen = stage.screen
    screen.heading("A local hub: the MultiTalk repositories in miniature, and a real model of 90 MB")
    stage.fill_hub()
    screen.at(f"{stage.hub.endpoint}, and a Kubernetes API in memory with one node and one GPU")
    screen.heading("The chart is installed; the serving pod waits at its gate, and holds no GPU")
    acts.install(stage)
    acts.sync_and_open(stage)
    screen.heading("A request")
    acts.make_video(stage)
    screen.heading("A second start: the volume is complete, and that is seen by one stat for each file")
    acts.start_again(stage)
    screen.heading("A third start, on a damaged file: only that file is fetched again")
    acts.repair(stage)


def _interrupt(_number: int, _frame: object) -> None:
    _ignore_signals()  # what ends now ends in order
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
