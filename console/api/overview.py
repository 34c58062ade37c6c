"""The platform at a glance, and its traffic of the last five minutes. API and page read it through the same `Glance`."""

import asyncio
import time
from collections import deque

from fastapi import APIRouter, Request
from starlette.responses import Response

from console.api.bus import bus_state
from console.api.control import Control, Controlled
from console.api.jobs import job_list
from console.api.json_io import Json, gives
from console.api.messages import Node, Overview, Rate
from core.clock import epoch_ms
from core.errors import PlatformError
from core.stores import NodeReport

router = APIRouter(tags=["overview"])
_LIVE_MS = 5_000  # core.stores.Nodes: an older report means the process is gone or stuck
_HISTORY = 300
_FRESH_S = 0.8
_JOBS, _RUNS = 200, 12


def live_nodes(reports: list[NodeReport], revision: int, now_ms: int) -> list[Node]:
    """Each report with what it means now."""
    return [Node(report, now_ms - report.seen_ms < _LIVE_MS, report.revision == revision) for report in reports]


def total_rate(nodes: list[Node]) -> float:
    """Requests a second of all live gateways."""
    return round(sum(node.report.requests_per_s for node in nodes if node.is_live), 1)


class Glance:
    """Asks the stores at most about once a second, however many pages are open; remembers five minutes of traffic."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._history: deque[Rate] = deque(maxlen=_HISTORY)
        self._turn = asyncio.Lock()
        self._last: Overview | None = None
        self._last_s = 0.0

    async def sample(self) -> None:
        """Note the traffic each second, until cancelled. A database that is down leaves a gap."""
        while True:
            try:
                nodes = live_nodes(await self._control.nodes.all(), 0, epoch_ms())
                self._history.append(Rate(epoch_ms(), total_rate(nodes)))
            except PlatformError:
                self._last = None
            await asyncio.sleep(1)

    async def current(self) -> Overview:
        """At most a second old. Raises what the stores raise."""
        async with self._turn:
            if self._last is None or time.monotonic() - self._last_s > _FRESH_S:
                self._last = await self._look()
                self._last_s = time.monotonic()
            return self._last

    async def _look(self) -> Overview:
        control = self._control
        revision = await control.registry.revision()
        nodes = live_nodes(await control.nodes.all(), revision, epoch_ms())
        return Overview(
            version=control.version,
            gateway_url=control.gateway_url,
            revision=revision,
            parts=await control.parts.check(),
            nodes=nodes,
            requests_per_s=total_rate(nodes),
            traffic=list(self._history),
            jobs=await job_list(control, limit=_JOBS),
            quarantine=await control.quarantine.count(),
            bus=await bus_state(control),
            runs=await control.job_states.runs(limit=_RUNS),
        )


@router.get("/overview", responses=gives("Overview"))
async def read_overview(request: Request) -> Response:
    """Everything that the console's overview page shows."""
    glance: Glance = request.app.state.glance
    return Json(await glance.current())


@router.get("/nodes", responses=gives("Node", many=True))
async def list_nodes(control: Controlled) -> Response:
    """The processes of the platform, what each reports, and whether it runs the present configuration."""
    revision = await control.registry.revision()
    return Json({"items": live_nodes(await control.nodes.all(), revision, epoch_ms())})
