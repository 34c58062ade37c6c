"""Puts the management API together: routers, who may use them, errors, headers, docs that need no network."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from console.api import (
    app_sessions,
    audit,
    bus,
    cached_answers,
    credentials,
    documents,
    health,
    incidents,
    jobs,
    overview,
    quarantine,
    session,
    sources,
    transactions,
    usage,
    users,
)
from console.api.access import authorised
from console.api.control import Control
from console.api.middleware import AnswerHeaders
from console.api.openapi import describe
from console.api.overview import Glance
from console.api.problems import handle_errors
from console.api.resources import resource_routers
from core.supervise import Tasks

_log = structlog.get_logger("console.api")
_PREFIX = "/api/v1"
_DESCRIPTION = (
    "Manages Zhiyun 智云: apps, sources, services, jobs. Log in with POST /api/v1/session, then send the token as Bearer."
)
_ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def create_api(control: Control) -> FastAPI:
    """The API as an ASGI app: `/api/v1/…`, `/healthz`, `/readyz`, `/metrics`, `/docs`, `/redoc`, `/openapi.json`."""
    app: FastAPI = FastAPIOffline(
        title="Zhiyun management API", version=control.version, description=_DESCRIPTION, lifespan=_lifespan
    )
    app.state.control = control
    app.state.glance = Glance(control)
    handle_errors(app)
    app.add_middleware(AnswerHeaders)
    app.include_router(health.router)
    app.include_router(session.router, prefix=_PREFIX)
    app.include_router(_authorised_router(), prefix=_PREFIX)
    app.add_api_route("/api/{rest:path}", _nothing, methods=_ANY_METHOD, include_in_schema=False)
    describe(app)
    return app


def _authorised_router() -> APIRouter:
    router = APIRouter(dependencies=[Depends(authorised)])
    for module in (
        app_sessions,
        audit,
        bus,
        cached_answers,
        credentials,
        documents,
        incidents,
        jobs,
        overview,
        quarantine,
        sources,
        transactions,
        usage,
        users,
    ):
        router.include_router(module.router)
    router.include_router(resource_routers())
    return router


async def _nothing(request: Request) -> Response:
    """What no endpoint answers, before a page mounted at `/` would answer it with HTML."""
    is_known = any(route.matches(request.scope)[0] is Match.PARTIAL for route in request.app.routes)
    raise HTTPException(405 if is_known else 404)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    tasks = Tasks(_report)
    tasks.keep(app.state.glance.sample, name="traffic history")
    try:
        yield
    finally:
        await tasks.close()


def _report(task: str, error: BaseException) -> None:
    _log.error("task failed", task=task, exc_info=error)
