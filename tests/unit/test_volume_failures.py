"""Words for what a volume refuses: the place that has to be looked at, and one cure."""

from __future__ import annotations

import errno

from init_sync.volume.failures import volume_failure
from init_sync.volume.volume import OutsideVolume


def test_of_a_rename_the_place_that_is_in_the_way_is_named() -> None:
    refused = IsADirectoryError(errno.EISDIR, "Is a directory", "/volume/tmp/a.3f", None, "/volume/receipts/a")
    said = volume_failure(refused, "writing").message
    assert said == "writing: Is a directory (/volume/receipts/a). Move away what is in the way"


def test_an_error_of_ours_keeps_its_own_cure() -> None:
    said = volume_failure(OutsideVolume("/volume/m leads out of the volume; remove that link"), "writing").message
    assert said == "writing: /volume/m leads out of the volume; remove that link"
