"""A thousand clients that never finish their request: each is told so in the end, and nobody else notices."""

import asyncio
import resource
import time
from functools import partial

import pytest

from tests.system.gateway import Gateway

SLOW = 1000
OPEN_FILES = SLOW + 300


@pytest.fixture
def many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))


class Slow(asyncio.Protocol):
    """A head that comes a letter at a time (slowloris). What was answered is kept though the connection may be reset then."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.told = b""
        self.lived_s = 0.0
        self.is_over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"GET /shop/a HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        self._drip()

    def _drip(self) -> None:
        self._transport.write(b"a")
        self._next = asyncio.get_running_loop().call_later(1.5, self._drip)

    def data_received(self, data: bytes) -> None:
        self.told += data

    def connection_lost(self, error: Exception | None) -> None:
        self._next.cancel()
        self.lived_s = time.monotonic() - self.began
        self.is_over.set_result(None)


@pytest.mark.req("0.30")
async def test_heads_that_drip_are_ended_with_408_and_disturb_nobody(gateway: Gateway, many_files: None) -> None:
    address = gateway.node.settings.http
    loop = asyncio.get_running_loop()
    slow = []
    for _ in range(SLOW):
        began = partial(Slow, time.monotonic())
        slow.append((await loop.create_connection(began, address.host, address.port))[1])
    served = 0
    while not slow[-1].is_over.done():
        answer = await asyncio.to_thread(gateway.get, "/healthz")
        assert answer.status_code == 200
        served += 1
    assert served > 5, "while they had their ten seconds"
    await asyncio.wait_for(asyncio.gather(*(each.is_over for each in slow)), 60)
    assert min(each.lived_s for each in slow) > 9
    told = [each for each in slow if each.told.startswith(b"HTTP/1.1 408 ") and b"request_timeout" in each.told]
    assert len(told) > SLOW * 0.95, "some may lose the answer to the reset that their last letter causes"
