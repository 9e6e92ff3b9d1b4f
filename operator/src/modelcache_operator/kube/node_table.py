"""The nodes of the cluster: a table of what is read of them, so that a node's heartbeat changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelcache_operator.core.nodes import Node, Nodes, parse_node
from modelcache_operator.kube import api as kube
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import Refused
from modelcache_operator.kube.tables import is_gone, is_newer

Json = Mapping[str, Any]

NOT_WATCHED = Nodes(
    reason="NodesNotWatched",
    problem="this operator does not look at nodes, so spec.volume.perNode is not served. Start it with --per-node; the "
    "chart does so, and gives the rights, with operator.perNode.enabled",
)
RIGHTS = "Give it get, list and watch on nodes by a ClusterRole; the chart does so with operator.perNode.enabled"


class NodeTable:
    """Until they are listed, they are not known, and no decision is taken about copies."""

    def __init__(self) -> None:
        self._table: dict[str, Node] = {}
        self.nodes = NOT_WATCHED

    def upsert(self, raw: Json) -> tuple[Node, ...]:
        """Returns the node as it was and as it is, if that makes a difference to anybody."""
        new = parse_node(raw)
        old = self._table.get(new.name)
        if not is_newer(new, old):
            return ()
        self._table[new.name] = new
        return () if new == old else tuple(filter(None, (old, new)))

    def delete(self, raw: Json) -> tuple[Node, ...]:
        old = self._table.get(raw["metadata"]["name"])
        if old is None or old.uid != raw["metadata"]["uid"]:
            return ()
        del self._table[old.name]
        return (old,)

    async def list(self, api: Api) -> None:
        """Bring it up to date, or note why that cannot be done."""
        seen: set[str] = set()
        version = ""
        try:
            async for page in api.pages(kube.NODES, None):
                version = version or page["metadata"]["resourceVersion"]
                for raw in page["items"]:
                    seen.add(raw["metadata"]["uid"])
                    self.upsert(raw)
        except Refused as error:
            self.nodes = Nodes(reason="NodesForbidden", problem=f"nodes cannot be listed: {error.args[0]}. {RIGHTS}")
            return
        as_of = int(version) if version.isdigit() else 0
        for node in [each for each in self._table.values() if is_gone(each, lambda _, uid: uid in seen, as_of)]:
            del self._table[node.name]
        self.nodes = Nodes(self._table)
