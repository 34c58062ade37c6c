"""A receiver of webhooks as a partner writes one: it checks signatures by its own computation and drops what it has seen."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.exchange.listeners import served

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


def is_signed(secret: str, headers: Any, body: bytes) -> bool:
    """Standard Webhooks 1.0, "Verifying signatures": any of the signatures, a timestamp that is not old."""
    key = base64.b64decode(secret[len("whsec_") :])
    text = headers["webhook-id"].encode() + b"." + headers["webhook-timestamp"].encode() + b"." + body
    wanted = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    given = [each.split(",", 1) for each in headers["webhook-signature"].split(" ")]
    is_fresh = abs(time.time() - int(headers["webhook-timestamp"])) < 300
    return is_fresh and any(version == "v1" and hmac.compare_digest(wanted, value) for version, value in given)


@dataclass
class Receiver:
    """`judge` gives the status, or status and headers, for an event; `got` is all that came, also what was refused."""

    url: str = ""
    judge: Callable[[dict[str, Any]], int | tuple[int, dict[str, str]]] = lambda event: 204
    secrets: tuple[str, ...] = (SECRET,)
    got: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)
    forged: int = 0
    at_once: int = 0
    most_at_once: int = 0
    pause_s: float = 0.0

    async def handle(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            content = await request.read()
            if not all(is_signed(secret, request.headers, content) for secret in self.secrets):
                self.forged += 1
                return web.Response(status=401)
            await asyncio.sleep(self.pause_s)
            event = json.loads(content)
            judged = self.judge(event)
            status, headers = judged if isinstance(judged, tuple) else (judged, {})
            self.got.append((request.headers["webhook-id"], status, event))
            return web.Response(status=status, headers=headers)
        finally:
            self.at_once -= 1

    def taken(self) -> list[dict[str, Any]]:
        """The records of what was taken, each message once, in order."""
        seen: dict[str, list[dict[str, Any]]] = {}
        for message_id, status, event in self.got:
            if status < 300:
                seen.setdefault(message_id, event["data"].get("records", []))
        return [record for records in seen.values() for record in records]


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    made = Receiver()
    application = web.Application(client_max_size=64 << 20)
    application.router.add_post("/hook", made.handle)
    async with served(application) as url:
        made.url = f"{url}/hook"
        yield made
