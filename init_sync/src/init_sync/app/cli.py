"""The commands. Output for programs and logs goes to stdout, the one line that says what failed to stderr."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from init_sync.app.arguments import Plan, Prune, Scrub, Serve, Status, Sums, Sync, Verify, read_arguments
from init_sync.core.errors import SyncError
from init_sync.shell.flags import Settings, WrongSettings
from init_sync.shell.formatting import accept_any_text, printable, size

if TYPE_CHECKING:
    from init_sync.core.report import Report


def run(arguments: list[str]) -> int:
    """Parse the arguments and do what they say; returns the exit code."""
    accept_any_text(sys.stdout)
    try:
        code = _carry_out(read_arguments(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # `init-sync status | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except WrongSettings as error:
        return error.tell("init-sync")
    except SyncError as error:
        return _refuse(error)


def _carry_out(settings: Settings) -> int:
    """Each command imports what it needs."""
    match settings:
        case Sync():
            from init_sync.app.sync_command import sync

            return sync(settings)
        case Plan():
            from init_sync.app.plan_command import plan

            return plan(settings)
        case Prune():
            from init_sync.app.prune_command import prune

            return prune(settings)
        case Scrub():
            from init_sync.app.scrub_command import scrub

            return scrub(settings)
        case Sums():
            from init_sync.app.sums import sums

            return sums(settings)
        case Serve():
            from init_sync.app.serve_command import serve

            return serve(settings)
        case Verify():
            return _verify(settings)
        case Status():
            return _status(settings)
    raise AssertionError(settings)


def _verify(options: Verify) -> int:
    from init_sync.app.specfile import read_manifest
    from init_sync.app.table import findings_text, status_table
    from init_sync.app.verify import verify
    from init_sync.volume.volume import Volume

    verification = verify(read_manifest(options.spec), Volume(options.volume), deep=options.deep)
    print(status_table(verification.report))
    if verification.report.complete:
        return 0
    print()
    print(findings_text(verification.report, verification.findings))
    return 1


def _status(options: Status) -> int:
    import shlex

    from init_sync.app.table import findings_text, status_table
    from init_sync.core.report import refused_report

    try:
        report = _status_report(options)
    except SyncError as error:
        if options.json:
            print(refused_report(error).text())
        raise
    if options.json:
        print(report.text())
        return 0 if report.complete else 1
    print(status_table(report))
    if report.bytes_unused:
        command = shlex.join(["init-sync", "prune", "--spec", options.spec, "--volume", options.volume])
        print(printable(f"{command}    # would free {size(report.bytes_unused)}"))
    if report.complete:
        return 0
    print(f"\n{findings_text(report, {})}")
    return 1


def _status_report(options: Status) -> Report:
    from init_sync.app.specfile import read_manifest
    from init_sync.app.verify import verify
    from init_sync.sync.progress import Progress
    from init_sync.volume.volume import Volume

    manifest = read_manifest(options.spec)
    try:
        return verify(manifest, Volume(options.volume), counts_unused=True).report
    except SyncError as error:
        if options.json:
            progress = Progress(manifest)
            progress.failed(error)
            print(progress.report().text())
            raise SystemExit(_refuse(error)) from error
        raise


def _refuse(error: SyncError) -> int:
    message = printable(" ".join(error.message.split()))
    print(f"init-sync: error: {error.reason}: {message}", file=sys.stderr, flush=True)
    return error.exit_code
