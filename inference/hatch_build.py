"""Adds init-sync to the dependencies, at the version of this distribution: the three are released together."""

from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface


class PinInitSync(MetadataHookInterface):
    """Called by hatchling when metadata is made from the tree; a source distribution carries the result."""

    def update(self, metadata: dict[str, Any]) -> None:
        metadata["dependencies"] = [f"modelcache-init-sync=={metadata['version']}", *self.config["dependencies"]]
