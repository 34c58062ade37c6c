"""What a process says about itself each second: traffic, configuration revision, health of its parts."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Literal

import structlog

from core.clock import epoch_ms
from core.errors import PlatformError
from core.stores import NodeReport
from gateway.traffic import Traffic
from server.parts import Parts

_log = structlog.get_logger("server.heartbeat")
Role = Literal["gateway", "back-office", "deliveries"]
_EVERY_S = 1.0
_CHECK_EVERY = 5


async def beat(parts: Parts, role: Role, revision: Callable[[], int], traffic: Traffic) -> None:
    """Report until cancelled; then take the report back. A database that is down is logged once, and reported to again later."""
    report = NodeReport(parts.node, role, os.getpid(), epoch_ms(), epoch_ms(), revision())
    is_down = False
    turn, last = 0, time.monotonic()
    try:
        while True:
            if turn % _CHECK_EVERY == 0:
                report.parts = await parts.check()
            turn += 1
            now = time.monotonic()
            report.requests_per_s, report.p50_ms, report.p99_ms = traffic.window(now - last)
            last = now
            report.requests, report.errors, report.revision, report.seen_ms = (
                traffic.requests,
                traffic.errors,
                revision(),
                epoch_ms(),
            )
            try:
                await parts.nodes.report(report)
                is_down = False
            except PlatformError as error:
                if not is_down:
                    _log.warning("the node's report can't be stored", detail=error.detail)
                is_down = True
            await asyncio.sleep(_EVERY_S)
    finally:
        try:
            await asyncio.shield(parts.nodes.forget(parts.node))
        except PlatformError:
            _log.debug("the node's report could not be taken back; it expires")
