"""For load balancers and monitoring, without a login: `/healthz`, `/readyz`, `/metrics`. Counts and states, no details."""

from fastapi import APIRouter
from starlette.responses import Response

from console.api.control import Controlled
from console.api.json_io import Json, gives
from console.api.messages import Health
from console.api.metrics import CONTENT_TYPE, metrics_text

router = APIRouter(tags=["health"])


@router.get("/healthz", responses=gives("Health"))
async def healthz() -> Response:
    """200 while the process answers."""
    return Json(Health("ok"))


@router.get("/readyz", responses={**gives("Health"), 503: {"description": "A part is failing"}})
async def readyz(control: Controlled) -> Response:
    """200 while every part works, else 503 with the failing parts' names."""
    parts = {name: "ok" if state == "ok" else "failing" for name, state in (await control.parts.check()).items()}
    is_ok = all(state == "ok" for state in parts.values())
    return Json(Health("ok" if is_ok else "failing", parts), 200 if is_ok else 503)


@router.get("/metrics")
async def metrics(control: Controlled) -> Response:
    """Prometheus text format."""
    return Response(await metrics_text(control), headers={"Content-Type": CONTENT_TYPE})
