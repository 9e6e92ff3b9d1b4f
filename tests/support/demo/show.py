"""The demo from its first line to its last, whatever happens in between: nothing stays, and the exit code tells."""

from __future__ import annotations

import signal
import subprocess
import time

import httpx

from support.demo import acts
from support.demo.fitness import Unfit, in_words
from support.demo.keep import lines_to_try
from support.demo.screen import Screen
from support.demo.signals import ignore_signals
from support.demo.stage import Stage
from support.helm import HelmRefused
from support.kubeapi import ApiError

FAILURES = (AssertionError, RuntimeError, HelmRefused, ApiError, httpx.HTTPError, subprocess.SubprocessError)
"""Of what is shown; everything else is a mistake in the demo."""


def show(keep: bool) -> int:
    """Exit code 0, or 1 when something was not as promised.

    Raises:
        KeyboardInterrupt: it was ended from outside before it was through.
    """
    screen = Screen()
    try:
        with Stage(screen) as stage:
            _play_until_the_end(stage, keep)
    except (Unfit, *FAILURES) as error:
        screen.plain(f"demo: failed: {error}")
        return 1
    except OSError as error:
        if not (words := in_words(error)):
            raise
        screen.plain(f"demo: failed: {words}")
        return 1
    screen.plain(f"The whole took {time.monotonic() - screen.began:.0f} s.")
    return 0


def _play_until_the_end(stage: Stage, keep: bool) -> None:
    try:
        play(stage)
        if keep:
            stage.screen.plain(lines_to_try(stage))
            _wait_for_the_end()
    except FAILURES:
        stage.screen.plain(stage.last_words())
        raise
    finally:
        ignore_signals()
        stage.spectator.stop()
        stage.screen.heading("Everything that was started is stopped, everything that was written is removed")


def _wait_for_the_end() -> None:
    """It is what the reader was asked for, so it is no failure."""
    try:
        signal.pause()
    except KeyboardInterrupt:
        return


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
