"""A worker's whole observation on a real engine, and what is left of it when the worker has ended."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from core.database import Database
from core.errors import ConfigError
from core.supervise import Tasks
from gateway.access_log import AccessLogSettings
from gateway.identity import Identity
from gateway.metrics import exposition
from gateway.observation import Observation, ObservationSettings
from gateway.stage import Outcome, Request, Response
from storage.sqlite import open_sqlite
from storage.usage import SqlUsage
from tests.gateway.rig import closing, rigged


class Known:
    """Every caller is the shop."""

    name = "known"

    def on_request(self, request: Request) -> Outcome:
        request.identity = Identity("shop", "ak_1")
        return None


def _report(task: str, error: BaseException) -> None:
    logging.getLogger("tests").error("%s has failed", task, exc_info=error)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_sqlite(tmp_path / "platform.db")
    yield opened
    await opened.close()


async def _usage(database: Database) -> SqlUsage:
    store = SqlUsage(database)
    await store.prepare()
    return store


def _observing(settings: ObservationSettings, folder: Path, usage: SqlUsage) -> Observation:
    return Observation(settings, folder, "0", usage, node="node-1", version="1")


async def test_after_a_drain_all_that_was_seen_is_there(tmp_path: Path, database: Database) -> None:
    usage = await _usage(database)
    tasks = Tasks(_report)
    for _ in range(2):  # the second worker goes on where the first has ended
        observation = _observing(ObservationSettings(), tmp_path, usage)
        observation.keep(tasks)
        async with rigged() as rig:
            rig.engine.observers = observation.observers
            rig.engine.next_trace = observation.tracer.next_trace

            async def answer(request: Request) -> Response:
                return Response(200, body=b"hello")

            rig.serve("goods", answer, (Known(),))
            for _ in range(5):
                await rig.exchange(closing(b"GET /goods HTTP/1.1"))
            await rig.exchange(b"nonsense\r\n\r\n")
        assert observation.recorder.traffic.window(1.0)[0] > 0
        await observation.close()
    text = exposition(observation.metrics_folder).decode()
    assert 'zhiyun_gateway_requests_total{route="goods",status="2xx"} 10\n' in text
    assert 'zhiyun_gateway_app_requests_total{app="shop",status="2xx"} 10\n' in text
    assert 'zhiyun_gateway_requests_total{route="(none)",status="4xx"} 2\n' in text
    (row,) = await usage.read("shop", since_ms=0, until_ms=1 << 50)
    assert (row.route, row.requests, row.bytes_out) == ("goods", 10, 50)
    lines = [msgspec.json.decode(line) for line in (tmp_path / "logs/access-0.log").read_text().splitlines()]
    assert [line["status"] for line in lines] == ([200] * 5 + [400]) * 2
    assert all(len(line["trace"]) == 32 for line in lines if line["status"] == 200)
    await tasks.close()


async def test_what_is_switched_off_is_not_there(tmp_path: Path, database: Database) -> None:
    observation = _observing(ObservationSettings(log=None), tmp_path, await _usage(database))
    assert observation.observers == (observation.recorder.on_end,)
    await observation.close()
    assert not (tmp_path / "logs").exists()
    with pytest.raises(ConfigError):
        _observing(ObservationSettings(traces="collector"), tmp_path, await _usage(database))


async def test_lines_that_are_dropped_are_counted(tmp_path: Path, database: Database) -> None:
    settings = ObservationSettings(log=AccessLogSettings(buffer_bytes=1))
    observation = _observing(settings, tmp_path, await _usage(database))
    async with rigged() as rig:
        rig.engine.observers = observation.observers
        await rig.exchange(b"nonsense\r\n\r\n")
    await observation.close()
    assert 'zhiyun_gateway_dropped_total{what="access log"} 1\n' in exposition(observation.metrics_folder).decode()


async def test_a_database_that_is_away_stops_no_drain(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    database = await open_sqlite(tmp_path / "gone.db")
    observation = _observing(ObservationSettings(), tmp_path, await _usage(database))
    async with rigged() as rig:
        rig.engine.observers = observation.observers

        async def answer(request: Request) -> Response:
            return Response(200)

        rig.serve("goods", answer, (Known(),))
        await rig.exchange(closing(b"GET /goods HTTP/1.1"))
    await database.close()
    async with asyncio.timeout(60):
        await observation.close()
    assert 'route="goods",status="2xx"} 1' in exposition(observation.metrics_folder).decode()
