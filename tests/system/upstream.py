"""An HTTP system behind the gateway, in a thread of the test: it echoes what it was sent, counts it, and can be killed."""

import asyncio
import base64
import hashlib
import json
import threading
from urllib.parse import parse_qs, urlsplit

from tests.gateway.rig import read_request
from tests.servers.ports import free_port

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Upstream:
    """One server. By the last segment of the path: `slow` waits `?s=`, `fail` is 500 while `is_failing`, `cached` may be kept
    for `?s=`, `ws` speaks WebSocket, `healthz` is 200; all else is an echo of the request as JSON."""

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.port = free_port()
        self.is_failing = False
        self.requests = 0
        self.by_path: dict[str, int] = {}
        self.close_codes: list[int] = []  # of the close frames that came
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> "Upstream":
        """Serve, again on the same port after `kill`."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name=f"upstream {self.name}")
        self._thread.start()
        assert ready.wait(10)
        return self

    def kill(self) -> None:
        """Every connection breaks off; who comes then is refused."""
        thread, self._thread = self._thread, None
        if thread is not None:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._ended.set)
            thread.join(10)

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, backlog=1024)
        ready.set()
        await self._ended.wait()
        server.close()
        for _ in range(10):  # who was let in just now gets his task, and his writer, in one of the loop's next turns
            for writer in list(self._writers):
                writer.transport.abort()
            await asyncio.sleep(0.005)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head, body = await read_request(reader)
                self.requests += 1
                await self._answer(head, body, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, head: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        url = urlsplit(target)
        kind = url.path.rpartition("/")[2]
        self.by_path[url.path] = self.by_path.get(url.path, 0) + 1
        if kind == "ws":
            return await _web_socket(head, reader, writer, self.close_codes)
        if kind == "slow":
            await asyncio.sleep(float(parse_qs(url.query)["s"][0]))
        status, extra = (500, "") if kind == "fail" and self.is_failing else (200, "")
        if kind == "cached":
            extra = f"Cache-Control: public, max-age={parse_qs(url.query)['s'][0]}\r\n"
        lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:] if line]
        told: dict[str, object] = {"server": self.name, "method": method, "target": target, "body": body.decode(errors="replace")}
        told |= {"headers": {name.lower(): value for name, _, value in lines}, "count": self.by_path[url.path]}
        text = json.dumps(told).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{extra}Content-Length: {len(text)}\r\n\r\n".encode() + text
        )
        await writer.drain()
        return None


async def _web_socket(head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, close_codes: list[int]) -> None:
    """RFC 6455 by hand: each frame that is shorter than 126 bytes comes back."""
    key = next(line.partition(b": ")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())  # RFC 6455 §4.2.2
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        + accept
        + b"\r\n\r\n"
    )
    while True:
        first, second = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        data = await reader.readexactly(second & 0x7F)
        plain = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
        writer.write(bytes([first, len(plain)]) + plain)
        await writer.drain()
        if first & 0x0F == 8:  # a close frame, answered by another
            close_codes.append(int.from_bytes(plain[:2], "big"))
            raise ConnectionResetError
