"""What is odd about a complete model: said in the log, the report and the receipt, and no reason to refuse it."""

from __future__ import annotations

from contextlib import suppress

from init_sync.core.requirement import Requirement
from init_sync.volume.structure import index_shards
from init_sync.volume.volume import Volume

INDEX = ".index.json"


def missing_shard(volume: Volume, requirement: Requirement) -> str:
    """Names the first file that an index among the files names and that the model does not take; else it is empty.

    An index that a link replaces belongs beside the files of another model, and is not looked at.
    """
    taken = {file.path for file in requirement.files}
    linked = {link.file for link in requirement.model.links}
    for file in requirement.files:
        if not file.path.endswith(INDEX) or file.source in linked:
            continue
        directory = file.path.rpartition("/")[0]
        with suppress(OSError, ValueError, RecursionError):
            missing = sorted(shard for shard in index_shards(volume, file.path) if f"{directory}/{shard}" not in taken)
            if missing:
                more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
                return f"{file.source} names {missing[0]}{more}, which the model does not take. Add it to include"
    return ""
