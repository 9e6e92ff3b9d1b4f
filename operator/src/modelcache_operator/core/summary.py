"""The figures of the status as kubectl prints them."""

from __future__ import annotations

from init_sync.shell.formatting import duration, quantity
from modelcache_operator.core.status import Status, Summary


def summary(status: Status) -> Summary:
    done = sum(model.complete for model in status.models)
    # 100% is said of what is complete: all bytes may be there and not yet be verified
    share = min(99, 100 * status.bytes_present // status.bytes_total) if status.bytes_total else None
    return Summary(
        models=f"{done}/{len(status.models)}",
        progress="100%" if status.complete else "" if share is None else f"{share}%",
        size=quantity(status.bytes_total) if status.bytes_total else "",
        rate=f"{quantity(status.bytes_per_second)}/s" if status.bytes_per_second else "",
        eta="" if status.eta_seconds is None else duration(status.eta_seconds),
        commit=",".join(model.commit for model in status.models if model.commit),
        digest=",".join(model.digest for model in status.models if model.digest),
        nodes=f"{status.nodes.complete}/{status.nodes.total}" if status.nodes else "",
    )
