"""A thousand clients that never finish their request: each is told so in the end, and nobody else notices."""

import asyncio
import resource
import time

import pytest

from tests.system.gateway import Gateway

SLOW = 1000
OPEN_FILES = SLOW + 300


@pytest.fixture
def many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))


async def _drip(gateway: Gateway, ended: list[bytes]) -> None:
    """A head that comes a letter at a time (slowloris)."""
    address = gateway.node.settings.http
    reader, writer = await asyncio.open_connection(address.host, address.port)
    writer.write(b"GET /shop/a HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    answer = asyncio.ensure_future(reader.read())
    try:
        while not answer.done():
            await asyncio.wait([answer], timeout=1.5)
            if not answer.done():
                writer.write(b"a")
        ended.append(answer.result())
    except ConnectionError:
        ended.append(b"")
    finally:
        writer.transport.abort()


@pytest.mark.req("0.30")
async def test_heads_that_drip_are_ended_with_408_and_disturb_nobody(gateway: Gateway, many_files: None) -> None:
    ended: list[bytes] = []
    started = time.monotonic()
    slow = [asyncio.ensure_future(_drip(gateway, ended)) for _ in range(SLOW)]
    await asyncio.sleep(2)
    taken = []
    for _ in range(20):
        began = time.monotonic()
        answer = await asyncio.to_thread(gateway.get, "/healthz")
        taken.append(time.monotonic() - began)
        assert answer.status_code == 200
    assert sorted(taken)[10] < 1, taken
    assert not ended, "they have their ten seconds"
    await asyncio.wait_for(asyncio.gather(*slow), 40)
    assert time.monotonic() - started < 30
    told = [each for each in ended if each.startswith(b"HTTP/1.1 408 ") and b"request_timeout" in each]
    assert len(ended) == SLOW
    assert len(told) > SLOW * 0.95, "some may lose the answer to the reset that their last letter causes"
