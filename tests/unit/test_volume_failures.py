"""Words for what a volume refuses: the place that has to be looked at, and one cure."""

from __future__ import annotations

import errno
import os

import pytest

from init_sync.core.reasons import Reason
from init_sync.volume.failures import volume_failure
from init_sync.volume.walk import OutsideVolume


def test_of_a_rename_the_place_that_is_in_the_way_is_named() -> None:
    refused = IsADirectoryError(errno.EISDIR, "Is a directory", "/volume/tmp/a.3f", None, "/volume/receipts/a")
    said = volume_failure(refused, "writing").message
    assert said == "writing: Is a directory (/volume/receipts/a). Move away what is in the way"


def test_an_error_of_ours_keeps_its_own_cure() -> None:
    said = volume_failure(OutsideVolume("/volume/m leads out of the volume; remove that link"), "writing").message
    assert said == "writing: /volume/m leads out of the volume; remove that link"


@pytest.mark.parametrize(
    ("number", "code", "reason", "cure"),
    [
        (errno.ENOSPC, 2, Reason.DISK_FULL, "Enlarge the volume"),
        (errno.EDQUOT, 2, Reason.DISK_FULL, "Enlarge the volume"),
        (errno.EROFS, 2, Reason.VOLUME_NOT_WRITABLE, "Mount the volume writable"),
        (errno.EPERM, 2, Reason.VOLUME_NOT_WRITABLE, "Mount the volume writable"),
        (errno.EFBIG, 2, Reason.VOLUME_UNSUPPORTED, "no file as large as this"),
        (errno.ENAMETOOLONG, 2, Reason.VOLUME_UNSUPPORTED, "choose a shorter path"),
        (errno.EILSEQ, 2, Reason.VOLUME_UNSUPPORTED, "exclude the file"),
        (errno.EINVAL, 2, Reason.VOLUME_UNSUPPORTED, "another storage class"),
        (errno.ENOSYS, 2, Reason.VOLUME_UNSUPPORTED, "another storage class"),
        (errno.EOPNOTSUPP, 2, Reason.VOLUME_UNSUPPORTED, "another storage class"),
        (errno.ELOOP, 2, Reason.INVALID_SPEC, "Move away what is in the way"),
        (errno.EIO, 1, Reason.FILE_MISSING, "Another run continues"),
        (errno.ESTALE, 1, Reason.FILE_MISSING, "Another run continues"),
        (errno.ETIMEDOUT, 1, Reason.FILE_MISSING, "Another run continues"),
    ],
)
def test_each_error_has_its_reason_and_its_cure(number: int, code: int, reason: Reason, cure: str) -> None:
    """What no retry will cure ends with exit code 2, so that a Job does not try for ever."""
    failure = volume_failure(OSError(number, os.strerror(number), "/volume/m/x"), "writing m/x")
    assert (failure.exit_code, failure.reason) == (code, reason)
    assert failure.message.startswith(f"writing m/x: {os.strerror(number)} (/volume/m/x). ")
    assert cure in failure.message
