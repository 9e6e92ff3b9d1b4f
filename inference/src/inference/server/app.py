"""The ASGI application: routes, errors in the API's format, and two middlewares.

FastAPI's own documentation pages load scripts from elsewhere, which a cluster without internet cannot; /docs is a page
of ours that reads the same /openapi.json.
"""

from __future__ import annotations

import logging
import uuid

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference.server.access import Admittance, Guarded
from inference.server.errors import ApiError, as_response, internal, invalid
from inference.server.estimates import EstimateRoutes
from inference.server.metrics import ServerMetrics
from inference.server.operations import OperationRoutes
from inference.server.pages import add_pages
from inference.server.service import Service
from inference.server.videos import VideoRoutes
from inference.server.wire import ErrorResponse
from init_sync.shell.logs import fields

log = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST", "DELETE")
"""Of all routes."""

DESCRIPTION = """\
Pictures that talk: a picture, one or two voices and a prompt become a video. The API is OpenAI's Videos API; its
clients work with base_url set to this server and /v1. MultiTalk's own settings are further form fields.
"""


def create_app(service: Service) -> FastAPI:
    """The application of one service."""
    app = FastAPI(
        title="MultiTalk",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"model": ErrorResponse, "description": "Refused"}},  # keeps FastAPI's own 422 out of it
    )
    VideoRoutes(service).add_to(app.router)
    EstimateRoutes(service).add_to(app.router)
    OperationRoutes(service).add_to(app.router)
    add_pages(app.router)
    _add_head(app)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(
        Guarded,
        admitted=Admittance(service.config.allowed_hosts, service.api_keys),
        body_bytes=service.limits.body_bytes,
    )
    app.add_middleware(Observed, metrics=service.metrics)  # the last one added sees all responses
    return app


def _add_head(app: FastAPI) -> None:
    """What answers GET answers HEAD; uvicorn leaves out the body. Apart, since the description lists each method."""
    for route in [each for each in app.routes if isinstance(each, APIRoute) and "GET" in (each.methods or ())]:
        app.router.add_api_route(route.path, route.endpoint, methods=["HEAD"], include_in_schema=False)


async def _api_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return as_response(error)


async def _validation_error(_: Request, error: Exception) -> JSONResponse:
    """A query parameter that FastAPI refused."""
    assert isinstance(error, RequestValidationError)
    problem = error.errors()[0]
    return as_response(invalid(str(problem["loc"][-1]), "invalid_value", f"{problem['msg']}."))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """No such path, or no such method on it."""
    assert isinstance(error, HTTPException)
    code = {404: "path_not_found", 405: "method_not_allowed"}.get(error.status_code, "http_error")
    message = f"{request.method} {request.scope['path']}: {error.detail}."
    headers = {"allow": _allowed(request)} if error.status_code == 405 else error.headers
    return as_response(ApiError(error.status_code, code, message, headers=headers))


def _allowed(request: Request) -> str:
    """All methods of a path; Starlette names those of the first route alone."""
    routes = (route for route in request.app.routes if isinstance(route, APIRoute))
    methods = {m for route in routes if route.path_regex.match(request.scope["path"]) for m in route.methods or ()}
    return ", ".join(sorted(methods))


class Observed:
    """Gives every response an x-request-id, counts it by route, and turns unexpected exceptions into a 500."""

    def __init__(self, app: ASGIApp, metrics: ServerMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{uuid.uuid4().hex}"
        code = 0

        async def observed_send(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, observed_send)
        except Exception:
            log.exception("request failed", extra=fields(id=request_id, method=scope["method"], path=scope["path"]))
            if code:
                raise
            await as_response(internal())(scope, receive, observed_send)
        finally:
            route = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in METHODS else "other"  # a series for each would stay for ever
            self._metrics.http_requests.labels(method, route, str(code)).inc()
