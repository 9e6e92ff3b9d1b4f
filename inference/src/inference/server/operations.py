"""Everything but the Videos API: /v1/models, /healthz, /readyz, /metrics.

GET /readyz while loading: 503
{"ready": false, "state": "loading", "waiting_for": "loading dit, 42 % read", "component": "dit", "percent": 42.0}
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST

from inference.server import wire
from inference.server.errors import ApiError
from inference.server.service import Service


class OperationRoutes:
    """The handlers for operators, monitors and people."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def add_to(self, router: APIRouter) -> None:
        add = router.add_api_route
        add("/v1/models", self.models, response_model=wire.ModelList, tags=["models"], summary="List models")
        add(
            "/v1/models/{model_id}",
            self.model,
            response_model=wire.Model,
            tags=["models"],
            summary="One model",
            responses={404: {"model": wire.ErrorResponse}},
        )
        add("/healthz", self.healthz, response_model=wire.HealthResponse, tags=["operations"], summary="Liveness")
        add("/readyz", self.readyz, response_model=wire.ReadinessResponse, tags=["operations"], summary="Readiness")
        add("/metrics", self.metrics, tags=["operations"], summary="Prometheus metrics", response_class=Response)

    async def models(self) -> wire.ModelList:
        return wire.ModelList(data=[self._model()])

    async def model(self, model_id: str) -> wire.Model:
        model = self._model()
        if model_id != model.id:
            message = f"The model {model_id!r} is not served here; {model.id!r} is."
            raise ApiError(404, "model_not_found", message, param="model")
        return model

    def _model(self) -> wire.Model:
        config = self._service.config
        return wire.Model(
            id=config.model,
            created=self._service.started_at,
            limits=wire.ModelLimits(
                seconds=config.max_seconds, megapixels=config.max_megapixels, upload_bytes=config.max_upload_bytes
            ),
            defaults=config.sampling,
            input_modalities=[*wire.MODALITIES, "video"] if self._service.rules.clips else [*wire.MODALITIES],
        )

    async def healthz(self) -> JSONResponse:
        """503 once only a restart can help."""
        if not self._service.failing:
            return JSONResponse(wire.HealthResponse(status="ok").model_dump())
        reason = self._service.readiness.view().failure or "the engine failed several times in a row"
        return JSONResponse(wire.HealthResponse(status="failing", reason=reason).model_dump(), status_code=503)

    async def readyz(self) -> JSONResponse:
        """503 while loading or stopping, and what it waits for."""
        view = self._service.readiness.view()
        response = wire.ReadinessResponse(
            ready=view.state == "ready",
            state=view.state,
            waiting_for=view.waiting_for,
            component=view.component,
            percent=view.percent,
        )
        return JSONResponse(response.model_dump(), status_code=200 if response.ready else 503)

    async def metrics(self) -> Response:
        return Response(self._service.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)
