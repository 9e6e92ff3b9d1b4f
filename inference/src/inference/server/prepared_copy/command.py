"""``multitalk-server prepare``: a copy of the transformer in the type in which it is used, for faster starts.

Its settings, log and exit code. How files get on the volume is in ``preparation``, what is in them in the engine.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version

from inference.server import exits
from inference.server.config import ModelSettings
from inference.server.engines import open_weights
from inference.server.exits import refuse
from inference.server.prepared_copy.lookup import recipe_for
from inference.server.prepared_copy.preparation import Preparation, Told
from inference.server.volume import VolumeIncomplete, verify_receipts
from init_sync.app.signals import end_at_signals
from init_sync.app.specfile import read_manifest
from init_sync.core.errors import NeedsChange, SyncError
from init_sync.core.reasons import Reason
from init_sync.core.spec import Manifest
from init_sync.shell import flags, logs
from init_sync.shell.flags import flag, one_of
from init_sync.shell.logs import fields
from init_sync.volume.volume import Volume

log = logging.getLogger(__name__)

PROGRAM = f"{exits.PROGRAM} prepare"
EPILOG = """\
every flag can also be set in the environment: --audio-dir is MULTITALK_AUDIO_DIR.

examples:
  multitalk-server prepare --spec examples/multitalk.yaml --volume ./models
  multitalk-server prepare --spec examples/infinitetalk.yaml --volume /models --audio-dir InfiniteTalk/single

The next server that starts with the same models and type takes the copy. init-sync prune removes one whose models were
updated since.

exit codes:
  0  the copy is there, or there is nothing to gain
  1  a retry may cure it: models incomplete, or another process is writing to the volume
  2  no retry will: wrong settings, a volume without room or that cannot be written to
"""


class PrepareConfig(ModelSettings):
    """The settings of one run."""

    dtype: str = flag(
        "type in which the server uses the weights: bfloat16 or float16",
        one_of("bfloat16", "float16"),
        default="bfloat16",
    )


def read_prepare_config(arguments: Sequence[str], environment: Mapping[str, str]) -> PrepareConfig:
    """Raises WrongSettings; ``--help`` and unknown flags end the process as argparse does."""
    text = "Write a copy of the transformer in the type in which it is used, beside the models, for faster starts."
    parser = flags.make_parser(PROGRAM, text, EPILOG, lambda: version("modelcache-inference"))
    flags.add_flags(parser, PrepareConfig)
    return flags.read_settings(PrepareConfig, parser.parse_args(arguments), environment)


def prepare(config: PrepareConfig) -> int:
    """Returns the exit code."""
    os.umask(os.umask(0o077) & ~0o070)  # files of a shared volume belong to its group
    logs.set_up(config, "inference")
    try:
        manifest = read_manifest(str(config.spec))  # first: no retry cures one that cannot be used
        verify_receipts(config)
        _prepare(config, manifest)
    except VolumeIncomplete as error:
        return refuse(str(error), program=PROGRAM)
    except SyncError as error:
        return refuse(f"{error.reason}: {error.message}", error.exit_code, PROGRAM)
    return 0


def _prepare(config: PrepareConfig, manifest: Manifest) -> None:
    files, parts = open_weights(config, config.dtype)
    if not parts:
        log.info("nothing to prepare: the weights are not stored larger", extra=fields(dtype=config.dtype))
        return
    volume = Volume(str(config.volume))
    recipe = recipe_for(volume, manifest, config.volume, files, config.dtype)
    if recipe is None:
        names = ", ".join(path.name for path in files)
        raise NeedsChange(
            Reason.NOT_VERIFIED,
            f"looking for receipts: one of {names} belongs to no model of {config.spec} whose digest is known. "
            "Name its directory in the manifest and run init-sync sync",
        )
    run = Preparation(manifest, volume, recipe, parts, _tell)
    size = sum(part.size for part in parts)
    if run.is_done():
        log.info("already prepared", extra=fields(directory=run.path, bytes=size))
        return
    end_at_signals(lambda _: run.release(), exits.PROGRAM)
    log.info("preparing", extra=fields(directory=run.path, files=len(parts), bytes=size))
    began = time.monotonic()
    run.run()
    log.info("prepared", extra=fields(directory=run.path, bytes=size, seconds=round(time.monotonic() - began, 1)))


def _tell(told: Told) -> None:
    rate = round(told.size / 1e9 / max(told.seconds, 1e-9), 2)
    what = "file kept" if told.kept else "file written"
    log.info(what, extra=fields(file=told.number, files=told.parts, bytes=told.size, gb_per_second=rate))
