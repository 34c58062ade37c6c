"""A whole gateway without its sockets: registry and mirror on SQLite, real snapshot, tokens and services over a `Ledger`."""

import base64
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from adapters.guarded import Guarded
from config.settings import Settings
from core.clock import epoch_ms
from core.errors import PlatformError
from core.ids import new_request_id
from core.records import ChangeSet
from core.secret import Secret
from core.supervise import Tasks
from gateway.access.assembly import AccessParts
from gateway.access.dpop import DpopProofs
from gateway.access.key_sets import KeySets
from gateway.http1.message import made_request, pairs_of
from gateway.pipe import run
from gateway.pipeline import Composer, Lasting
from gateway.problems import problem
from gateway.router import Router
from gateway.sessions import open_sessions
from gateway.stage import Request, Response
from gateway.tokens import Tokens
from registry.credentials import Credentials, Issued
from registry.registry import Registry
from registry.snapshot import Snapshot, build_snapshot
from registry.tokens import SigningKeys
from server.data_services import make_services, make_tiers, make_transactions, prepare_mirror
from server.parts import Parts, open_parts
from server.sources import SourcePool
from tests.gateway.ledger import Ledger

CUSTOMERS = 7
PUBLIC_URL = "http://gateway.test"
FIELDS = ("customer_id", "name", "channel", "score", "tags")
SCOPES = ["customers:read", "customers:write", "visits:read", "visits:write", "points:read"]


def document() -> dict[str, Any]:
    """Apps of every kind that may or may not come in, three services, one source."""
    return {
        "version": 1,
        "plans": {"gold": {"per_s": 1000, "burst": 1000}, "tiny": {"per_s": 0.5, "burst": 2}},
        "proxies": {"partner": {"addresses": ["10.0.0.0/8", "2001:db8::/32"]}, "closed": {"enabled": False}},
        "apps": {
            "shop": {"plan": "gold", "scopes": SCOPES},
            "reader": {"plan": "gold", "scopes": ["customers:read"]},
            "slow": {"plan": "tiny", "scopes": ["customers:read"]},
            "off": {"plan": "gold", "scopes": SCOPES, "enabled": False},
            "inside": {"plan": "gold", "scopes": SCOPES, "addresses": ["192.168.7.0/24", "fd00::/8"]},
            "broker": {"plan": "gold", "scopes": SCOPES, "proxy": "partner"},
            "desk": {"plan": "gold", "scopes": SCOPES, "proxy": "partner", "addresses": ["10.9.0.0/16"]},
            "stranded": {"plan": "gold", "scopes": SCOPES, "proxy": "closed"},
        },
        "sources": {"crm": {"adapter": "ledger", "settings": {}, "datasets": _datasets()}},
        "services": {
            "customers": {
                "kind": "synchronous",
                "dataset": "crm.customers",
                "filters": ["channel", "name"],
                "writable": ["name", "channel", "score", "tags"],
                "max_limit": 50,
                "transactional": True,
            },
            "visits": {
                "kind": "synchronous",
                "dataset": "crm.visits",
                "writable": ["note"],
                "source_reads": True,
                "transactional": True,
            },
            "points": {"kind": "realtime", "call": {"source": "crm", "operation": "points", "key": "member"}},
            "hidden": {"kind": "asynchronous", "dataset": "crm.customers", "enabled": False},
        },
    }


def _datasets() -> dict[str, Any]:
    return {
        "customers": {
            "object": "customer",
            "key": ["customer_id"],
            "fields": {"customer_id": "text", "name": "text", "channel": "text", "score": "integer", "tags": "json"},
        },
        "visits": {
            "object": "visit",
            "key": ["customer_id", "number"],
            "fields": {"customer_id": "text", "number": "integer", "note": "text"},
        },
    }


@dataclass(frozen=True)
class Desk:
    """`ask` is what a listener does with a request, from its parts to the answer."""

    parts: Parts = field(repr=False)
    snapshot: Snapshot = field(repr=False)
    router: Router = field(repr=False)
    ledger: Ledger = field(repr=False)
    issued: Mapping[str, Issued] = field(repr=False)
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def ask(
        self,
        method: str,
        target: str,
        *,
        app: str | None = "shop",
        headers: Mapping[str, str] | None = None,
        body: bytes | object = b"",
        remote: str = "10.9.1.1",
    ) -> Response:
        """`body`: bytes as they are, anything else as JSON. `app` None sends no token."""
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        if app is not None:
            sent.setdefault("authorization", f"Bearer {self.tokens[app]}")
        if not isinstance(body, bytes):
            sent.setdefault("content-type", "application/json")
            body = msgspec.json.encode(body)
        request = request_of(method, target, headers=sent, body=body, remote=remote)
        try:
            response = await run(self.router.find(request), request)
        except PlatformError as error:
            response = problem(error, request)
        response.headers.extend(told_pairs(request))
        return response

    async def write(self, method: str, target: str, body: object, once: str, **headers: str) -> Response:
        """A write with its Idempotency-Key; `if_match="…"` becomes If-Match."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.ask(method, target, headers={**sent, "Idempotency-Key": once}, body=body)

    async def token(self, form: Mapping[str, str], *, remote: str = "10.9.1.1", **headers: str) -> Response:
        """The token endpoint, as a form."""
        sent = {"content-type": "application/x-www-form-urlencoded", **headers}
        return await self.ask("POST", "/oauth2/token", app=None, headers=sent, body=urlencode(form).encode(), remote=remote)


def request_of(
    method: str, target: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", remote: str = "127.0.0.1"
) -> Request:
    """A request as the listener makes it."""
    return made_request(method, target, headers=headers, body=body, remote=remote, request_id=new_request_id())


def basic(key: str, secret: str) -> str:
    """The Authorization header of RFC 7617."""
    return "Basic " + base64.b64encode(f"{key}:{secret}".encode()).decode()


def told_pairs(request: Request) -> list[tuple[str, str]]:
    """What its answer will carry besides, as name and value."""
    return pairs_of(b"".join(request.told or ()))


def header(response: Response, name: str) -> str | None:
    """The first value of a header."""
    return next((value for each, value in response.headers if each.lower() == name.lower()), None)


def json_of(response: Response) -> Any:
    return msgspec.json.decode(response.body)


@asynccontextmanager
async def open_desk(folder: Path, *, tasks: Tasks, declared: dict[str, Any] | None = None) -> AsyncIterator[Desk]:
    """Everything on SQLite in `folder`, with `CUSTOMERS` customers K1, K2, … in the mirror and at the source."""
    async with AsyncExitStack() as stack:
        settings = Settings(data_dir=folder, master_key=Secret("m" * 32), plugins=("tests.gateway.ledger",))
        parts = await open_parts(settings, stack, role="gateway-0")
        await SigningKeys(parts.resources, parts.vault).ensure()
        registry = Registry(parts.resources, parts.vault, parts.adapters)
        await registry.apply(declared or document(), actor="test")
        credentials = Credentials(parts.resources, parts.vault)
        issued = {name: await credentials.issue("app", name, actor="test") for name in (declared or document())["apps"]}
        snapshot = await build_snapshot(parts.resources, parts.vault, parts.adapters)
        pool = SourcePool(parts.adapters, parts.clock, tasks)
        stack.push_async_callback(pool.close)
        pool.reload(snapshot.platform)
        await prepare_mirror(snapshot.platform, parts)
        ledger = await _fill(parts, pool)
        services = make_services(snapshot.platform, parts, pool, make_tiers(parts))
        sessions = await open_sessions(parts.app_sessions, parts.bus, tasks, node=parts.node, public_url=PUBLIC_URL)
        access = AccessParts(KeySets(tasks), DpopProofs(parts.replays), parts.replays, sessions.revocations)
        limits = parts.limits
        lasting = Lasting(limits.shared, limits.local, access, sessions, parts.usage, tasks.spawn)
        lasting.upstreams.reload(snapshot.platform.upstreams)
        router = Router(Composer(lasting).compose(snapshot, services.services, make_transactions(services, parts)))
        made = Tokens(snapshot, issuer=PUBLIC_URL)
        tokens = {name: made.make(name, each.key, snapshot.platform.apps[name].scopes) for name, each in issued.items()}
        yield Desk(parts, snapshot, router, ledger, issued, tokens)


async def _fill(parts: Parts, pool: SourcePool) -> Ledger:
    connection = pool.get("crm")
    assert isinstance(connection, Guarded)
    ledger = connection._inner
    assert isinstance(ledger, Ledger)
    rows: list[Any] = [[f"K{n}", f"客户{n}", "web" if n % 2 else "app", n, ["a", "b"]] for n in range(1, CUSTOMERS + 1)]
    ledger.rows = {(row[0],): dict(zip(FIELDS, row, strict=True)) for row in rows}
    await parts.mirror.apply(ChangeSet("crm.customers", "upsert", FIELDS, rows, epoch_ms()))
    return ledger
