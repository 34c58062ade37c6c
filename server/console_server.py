"""The console's HTTP server in the back office: management API, docs and pages on one port, with the platform's own loop."""

import asyncio
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from console.api.app import create_api
from console.api.control import Comparison, Control, JobControl, SourceControl
from console.web.mount import mount
from core.errors import Unavailable
from core.supervise import Tasks
from exchange.replay import Replay
from registry.app_sessions import Revoker
from registry.purges import Purger
from server.access import Access
from server.child import Child, report
from server.parts import Parts
from server.version import VERSION

_UP_S = 15.0


async def serve_console(
    child: Child, parts: Parts, access: Access, *, jobs: JobControl, comparison: Comparison, sources: SourceControl, replay: Replay
) -> None:
    """Listen until the process drains. Unavailable where the address can't be had."""
    control = Control(
        registry=access.registry,
        credentials=access.credentials,
        users=access.users,
        job_states=parts.job_states,
        quarantine=parts.quarantine,
        incidents=parts.incidents,
        sagas=parts.sagas,
        nodes=parts.nodes,
        app_sessions=parts.app_sessions,
        revoker=Revoker(parts.app_sessions, parts.bus, node=parts.node),
        purger=Purger(parts.purges, parts.bus, node=parts.node),
        usage=parts.usage,
        webhook_states=parts.webhook_states,
        metrics_folder=parts.settings.data_dir / "metrics",
        mirror=parts.mirror,
        bus=parts.bus,
        jobs=jobs,
        comparison=comparison,
        sources=sources,
        quarantine_replay=replay,
        parts=parts,
        adapters=parts.adapters,
        gateway_url=parts.settings.public_url,
        version=VERSION,
    )
    app = create_api(control)
    mount(app, control, storage_secret=_storage_secret(parts))
    address = parts.settings.console
    config = uvicorn.Config(
        app,
        host=address.host,
        port=address.port,
        loop="none",
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
    )
    server = _Server(config)
    task = Tasks(report).spawn(server.serve(), name="console")  # of its own: it is stopped by asking, not by cancelling
    child.stack.push_async_callback(_stop, server, task)
    async with asyncio.timeout(_UP_S):
        while not server.started:
            if task.done():
                raise Unavailable(f"console {address}: could not listen there; see the lines above")
            await asyncio.sleep(0.02)


class _Server(uvicorn.Server):
    """Signals belong to the process (server.child), not to its HTTP server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _stop(server: uvicorn.Server, task: asyncio.Task[None]) -> None:
    server.should_exit = True
    await asyncio.wait([task], timeout=5)


def _storage_secret(parts: Parts) -> str:
    """Signs the console's cookies; the same after a restart, and nothing can be told of the master key from it."""
    assert parts.settings.master_key is not None
    return hashlib.sha256(b"console cookies\0" + parts.settings.master_key.reveal().encode()).hexdigest()
