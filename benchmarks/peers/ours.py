"""One worker of ours put together by hand from the product's own parts, so that single ones can be left out: stages, metrics, log.

`zhiyun up` starts the same parts with a registry around them; benchmarks/gateway.py measures that too. What it does is told in
JSON, as the first argument.
"""

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from cache.limiter_memory import MemoryLimiter
from cache.limiter_redis import RedisLimiter
from config.model import AccessList, App, Plan, Platform
from config.policies import Compress, Cors, HeaderEdit, Transform, Validate
from config.upstreams import Endpoint, Match, Route, Upstream
from core.cache import Limiter
from core.ids import AppKey
from core.secret import Secret
from core.supervise import Tasks
from gateway.access.bearer import Bearer
from gateway.access.sources import AppTokens
from gateway.access_log import AccessLog
from gateway.http1.engine import Engine, Spawn
from gateway.http1.forward import Forward
from gateway.http1.message import Request
from gateway.listener import Listener, bind
from gateway.metrics import MetricsFile
from gateway.pipe import Pipe
from gateway.record import Recorder
from gateway.router import Router
from gateway.stage import Stage
from gateway.stages import compress, cors, transform, validate
from gateway.stages.authenticate import Authenticate
from gateway.stages.authorise import Admission, Authorise
from gateway.stages.identify import Identify
from gateway.stages.limit import limit_stage
from gateway.upstream.upstream import Upstreams
from registry.snapshot import Credential, LiveSecret


class Options(Struct, frozen=True):
    """`stages`: 0, 3 (authenticate, authorise, limit) or 8 (those, address lists, CORS, header edits, compression, validation)."""

    port: int
    upstream: int
    key: str
    secret: str
    folder: str
    stages: int = 3
    metrics: bool = True
    log: bool = True
    redis: str = ""
    routes: int = 1


def platform(options: Options) -> Platform:
    """One app with a plan that refuses nothing, one upstream, and the routes."""
    routes = {"items": Route(match=Match(path="/api/{rest...}"), upstream="up")}
    for number in range(1, options.routes):
        routes[f"r{number}"] = Route(match=Match(path=f"/other/{number}/{{id}}"), upstream="up")
    return Platform(
        plans={"bench": Plan(per_s=1_000_000, burst=1_000_000)},
        apps={"bench": App(plan="bench", scopes=("items:call",))},
        upstreams={"up": Upstream(endpoints=(Endpoint(url=f"http://127.0.0.1:{options.upstream}"),))},
        routes=routes,
        lists={"far": AccessList(addresses=("10.9.0.0/16",))},
    )


def pipes(options: Options, limiter: Limiter) -> tuple[Stage, ...]:
    """Those of one route, in the order in which the product has them."""
    declared = platform(options)
    credential = Credential(AppKey(options.key), "app", "bench", (LiveSecret(Secret(options.secret), None),))
    authenticate = Authenticate([Bearer({}, AppTokens({options.key: credential}))])
    authorise = Authorise(Admission(declared), "items:call", "items")
    three: tuple[Stage, ...] = authenticate, authorise, limit_stage(declared, "items", (), limiter)
    if options.stages == 0:
        return ()
    if options.stages == 3:
        return three
    edits = Transform(request_headers=HeaderEdit(set={"X-Tenant": "bench"}))
    return (
        Identify(declared.lists),
        cors.Cors(Cors(origins=("https://app.example.test",))),
        *three,
        validate.make(Validate(schema={"type": "object"}), "items"),
        transform.Transform(edits, "items"),
        compress.Compress(Compress()),
    )


def engine_of(
    declared: Platform, made: Sequence[Stage], upstreams: Upstreams, observers: tuple[Callable[[Request], None], ...], spawn: Spawn
) -> Engine:
    """The engine with all routes of the declaration behind the same stages."""
    entries = [
        (route.match, Pipe(name, made, kind="route", proxy=Forward(name, route, upstreams), max_body_bytes=2 << 30))
        for name, route in declared.routes.items()
    ]
    return Engine(_Found(Router(entries)), spawn=spawn, observers=observers)


async def main() -> None:
    options = msgspec.json.decode(sys.argv[1], type=Options)
    tasks = Tasks(lambda name, error: print(f"{name} has failed: {error!r}", file=sys.stderr))
    limiter = RedisLimiter(options.redis, MemoryLimiter()) if options.redis else MemoryLimiter()
    made = pipes(options, limiter)
    observers: list[Callable[[Request], None]] = []
    if options.metrics:
        recorder = Recorder()
        observers.append(recorder.on_end)
        tasks.keep(MetricsFile(Path(options.folder) / "metrics", str(options.port), recorder).keep, name="metrics")
    if options.log:
        log = AccessLog(Path(options.folder), str(options.port))
        observers.append(log.on_end)
        tasks.keep(log.keep, name="log")
    declared, upstreams = platform(options), Upstreams()
    upstreams.reload(declared.upstreams)
    engine = engine_of(declared, made, upstreams, tuple(observers), lambda work, name: tasks.spawn(work, name=name))
    await Listener(engine, tasks).start(bind("127.0.0.1", options.port))
    gc.collect()
    gc.freeze()
    await asyncio.Event().wait()


class _Found:
    """The router as the engine asks it."""

    def __init__(self, router: Router) -> None:
        self.find = router.find


if __name__ == "__main__":
    uvloop.run(main())
