"""GET /v1/estimate: what a video would be and when it would be finished, before a byte of it is uploaded.

    GET /v1/estimate?width=3000&height=2000&seconds=4
    {"object": "estimate", "width": 768, "height": 512, "frames": 100, "seconds": 4,
     "queue_position": 2, "seconds_left": 1020}

Not part of OpenAI's API. The page at / asks for it while a person fills in the form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from inference.generation import GenerationRequest, InvalidInput, MediaInfo, Speaker
from inference.server import wire
from inference.server.admission import require_ready
from inference.server.errors import invalid
from inference.server.fields import RESOLUTIONS, Size
from inference.server.forecast import work
from inference.server.request import SILENT_SECONDS
from inference.server.service import Service

MOST_PIXELS = 1_000_000
"""Of a side; only to keep numbers sane, `--max-megapixels` is lower."""

NO_FILE = Path()
"""Planning looks at no file."""

Side = Annotated[int, Query(ge=1, le=MOST_PIXELS, description="Of the picture or clip, upright, in pixels.")]


class EstimateRoutes:
    """The one handler."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        router.add_api_route(
            "/v1/estimate",
            self.estimate,
            response_model=wire.Estimate,
            tags=["videos"],
            summary="What a video would be, and when it would be finished",
            responses={code: {"model": wire.ErrorResponse} for code in (400, 503)},
        )

    async def estimate(
        self,
        width: Side,
        height: Side,
        seconds: Annotated[float, Query(gt=0, allow_inf_nan=False, description="Of the video.")] = SILENT_SECONDS,
        size: Annotated[Size | None, Query(description="As in POST /v1/videos.")] = None,
        steps: Annotated[int | None, Query(ge=1, le=100, description="As in POST /v1/videos.")] = None,
    ) -> wire.Estimate:
        """Nothing is reserved: others may be faster. What would be refused is refused."""
        require_ready(self._service)
        resolution = RESOLUTIONS[size] if size else "multitalk-480"
        request = GenerationRequest("-", NO_FILE, (Speaker(None),), resolution=resolution, seconds=seconds)
        try:
            plan = self._service.plan_video(request, MediaInfo(width, height, (None,)))
        except InvalidInput as error:
            raise invalid(error.field, error.code, error.message) from error
        steps = steps or self._service.config.sampling.steps
        return wire.estimate(plan, self._service.queue.forecast_new(work(plan, resolution, steps)))
