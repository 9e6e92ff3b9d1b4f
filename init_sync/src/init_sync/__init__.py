"""Sync Hugging Face repositories into a volume, prove that they are complete, start at once when they are.

Importing this package costs next to nothing; the public functions are loaded when first used.

- ``verify_volume(spec_path, volume)``: is every model of a manifest complete on this volume? No network.
- ``__version__``: looked up in the distribution, which takes 30 ms, nearly as long as a whole warm start.
- ``parse_manifest(text, source)``: a validated manifest, or an error that names every wrong field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["__version__", "parse_manifest", "verify_volume"]

if TYPE_CHECKING:
    __version__: str
    from init_sync.app.verify import verify_volume
    from init_sync.core.manifest import parse_manifest


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("modelcache-init-sync")
    if name == "verify_volume":
        from init_sync.app.verify import verify_volume

        return verify_volume
    if name == "parse_manifest":
        from init_sync.core.manifest import parse_manifest

        return parse_manifest
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
