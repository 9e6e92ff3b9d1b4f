"""What the shell that calls the tests must not decide.

A developer's shell may name a hub and a proxy, hold settings of the server or the operator, or run in a pod. Tests and
the programs they start see none of it; each says itself what it wants. What chooses tests stays
(``MODELCACHE_TEST_API``, ``MULTITALK_GOLDEN``, ``KUBEBUILDER_ASSETS``, ``HELM``, ``PROMTOOL``), and so does what
programs need to run at all (``PATH``, ``PYTHONPATH``, ``SSL_CERT_FILE``, ``TMPDIR``).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, MutableMapping
from pathlib import Path

STEERING = re.compile(
    r"(HF|HUGGINGFACE|MODELCACHE|MULTITALK|INFINITETALK|HELM|KUBERNETES)_\w+|\w+_PROXY"
    r"|KUBECONFIG|POD_NAME|POD_NAMESPACE|COLUMNS|LINES|NO_COLOR|FORCE_COLOR|PYTHONWARNINGS",
    re.IGNORECASE,
)
CHOOSING = re.compile(r"MODELCACHE_(TEST|E2E|UPDATE)_\w+|(MULTITALK|INFINITETALK)_GOLDEN")
CLUSTER = "MODELCACHE_E2E_TAG"
"""Set where tests run on a cluster; the shell alone knows the way there."""


def neutral(environment: Mapping[str, str]) -> dict[str, str]:
    """The same without what would steer a program elsewhere."""
    return {
        name: value for name, value in environment.items() if CHOOSING.fullmatch(name) or not STEERING.fullmatch(name)
    }


def become_neutral(environment: MutableMapping[str, str]) -> None:
    """For this process and all that it starts, unless a cluster is at the other end."""
    if CLUSTER not in environment:
        for name in environment.keys() - neutral(environment).keys():
            del environment[name]


def open_to_all() -> Path | None:
    """A folder for temporary files that every user may pass through, the usual one if it is such."""
    return next((each for each in map(Path, (tempfile.gettempdir(), "/tmp", "/var/tmp")) if _may_be_passed(each)), None)


def _may_be_passed(folder: Path) -> bool:
    whole = folder.resolve()
    return os.access(whole, os.W_OK) and all(each.stat().st_mode & 0o001 for each in (whole, *whole.parents))
