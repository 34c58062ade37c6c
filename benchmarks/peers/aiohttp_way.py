"""The way that is usual in Python: aiohttp's low-level server and client on uvloop, doing what ours does.

JWTs by PyJWT, cached by the field; a token bucket; prometheus-like counters in a list; an access log written some times a second.
"""

import asyncio
import sys
import time
from bisect import bisect_left
from pathlib import Path

import aiohttp
import jwt
import uvloop
from aiohttp import web

_EDGES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "authorization", "host", "content-length"}
_CACHED = 65_536


class Gateway:
    def __init__(self, upstream: str, key: str, secret: str, log: Path) -> None:
        self._upstream, self._key, self._secret = upstream, key, secret
        self._known: dict[str, float] = {}
        self._arrival = 0.0
        self._counts: dict[int, int] = {}
        self._latencies = [0] * (len(_EDGES) + 1)
        self._lines: list[str] = []
        self._log = log.open("a")
        self.session: aiohttp.ClientSession | None = None

    def _is_known(self, field: str) -> bool:
        until = self._known.get(field)
        if until is None:
            try:
                claims = jwt.decode(field.removeprefix("Bearer "), self._secret, ["HS256"], audience="zhiyun", issuer=self._key)
            except jwt.PyJWTError:
                return False
            if len(self._known) >= _CACHED:
                self._known.clear()
            until = self._known[field] = float(claims["exp"])
        return until > time.time()

    def _has_room(self) -> bool:
        now = time.monotonic()
        self._arrival = max(self._arrival, now) + 1e-6
        return self._arrival - now <= 1.0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        started = time.monotonic()
        response = await self._answered(request)
        took = time.monotonic() - started
        self._counts[response.status] = self._counts.get(response.status, 0) + 1
        self._latencies[bisect_left(_EDGES, took)] += 1
        self._lines.append(f'{{"time":{time.time():.3f},"path":"{request.path}","status":{response.status},"s":{took:.6f}}}\n')
        return response

    async def _answered(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._is_known(request.headers.get("Authorization", "")):
            return web.Response(status=401)
        if not self._has_room():
            return web.Response(status=429)
        fields = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP]
        fields += [("Host", request.host), ("X-Forwarded-For", request.remote or ""), ("X-Consumer", "bench")]
        data = request.content if request.body_exists else None
        assert self.session is not None
        async with self.session.request(
            request.method, self._upstream + request.raw_path, headers=fields, data=data, allow_redirects=False
        ) as answer:
            kept = [(name, value) for name, value in answer.headers.items() if name.lower() not in _HOP]
            return web.Response(status=answer.status, headers=kept, body=await answer.read())

    async def write(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            lines, self._lines = self._lines, []
            self._log.write("".join(lines))


async def main() -> None:
    port, upstream, key, secret, log = sys.argv[1:]
    gateway = Gateway(f"http://127.0.0.1:{upstream}", key, secret, Path(log))
    gateway.session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=256), auto_decompress=False, timeout=aiohttp.ClientTimeout(total=30)
    )
    runner = web.ServerRunner(web.Server(gateway.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(port), backlog=4096).start()
    await gateway.write()


if __name__ == "__main__":
    uvloop.run(main())
