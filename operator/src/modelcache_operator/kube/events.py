"""Events: posted for people; losing one changes nothing."""

from __future__ import annotations

import logging
from typing import Any

from modelcache_operator.kube import api as kube
from modelcache_operator.kube.api import Api
from modelcache_operator.kube.errors import ApiError, Conflict

log = logging.getLogger(__name__)


async def post(api: Api, event: dict[str, Any]) -> None:
    """An Event of a name that exists is not posted twice."""
    try:
        await api.create(kube.EVENTS, event)
    except Conflict:
        pass
    except ApiError as error:
        log.warning("event not posted: %s", error)
