"""Cache: answers GET and HEAD from what is kept (RFC 9111), and keeps what passes. One copy an app where the policy is private.

It stands behind authorise, limits and masks (each caller's rights are checked, and its mask put on, for every hit) and before
transformation and the upstream. `gateway/cache_rules` decides.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct

from config.policies import Cache as Policy
from config.upstreams import Split
from core.errors import DeadlineExceeded, PlatformError
from gateway import cache_rules
from gateway.cache_rules import FAILURES, NO_WISH, Stored, Wish
from gateway.problems import status_of
from gateway.response_cache import Flight, Key, Passed, ResponseStore, Varied, Waiter
from gateway.stage import AnswerStage, EndStage, Outcome, Request, RescueStage, Response, Stage

Fetch = Callable[[Request], Awaitable[Response]]
"""Asks the upstream with a copy of a request and gives the whole answer: for stale-while-revalidate."""
Spawn = Callable[..., object]
_HIT, _STALE, _MISS, _REVALIDATED = (("X-Cache", each) for each in ("hit", "stale", "miss", "revalidated"))
_PENDING = "cache.pending"
# The scanner has refused folded lines and blanks before the colon: a field is where its name stands after a line's end. One search
# costs half of what three `in` cost.
_has_wishes = re.compile(rb"\r\n(?:if-|cache-control:|range:)").search


class _Pending(Struct, eq=False):
    """What the stage remembers of a request that went on: its key without and with varied values, what was stale, and the flight
    it leads."""

    primary: Key
    key: Key
    stored: Stored | None
    flight: Flight | None
    asks: bool = False  # the stored validators went upstream in place of the client's


class _Tee:
    """Copies a passing body; gives it to `keep` once it has ended properly. Copies nothing past `max_bytes`."""

    def __init__(self, max_bytes: int, keep: Callable[[bytes | None], None]) -> None:
        self._pieces: list[bytes] | None = []
        self._left = max_bytes
        self._keep = keep

    def feed(self, data: bytes) -> bytes:
        if self._pieces is not None:
            self._left -= len(data)
            if self._left < 0:
                self._pieces = None
                self._keep(None)
            else:
                self._pieces.append(bytes(data))
        return data

    def finish(self) -> bytes:
        if self._pieces is not None:
            self._keep(b"".join(self._pieces))
        return b""


class Cache:
    """`route` names the route or service. `splits` are its canaries: where one is for a header or for named apps, these are kept
    apart. With `fetch` and `spawn` stale-while-revalidate asks in the background; without,
    the first that finds the answer stale asks itself while all others get the stale one."""

    name = "cache"

    def __init__(
        self,
        policy: Policy,
        store: ResponseStore,
        route: str,
        *,
        splits: Sequence[Split] = (),
        fetch: Fetch | None = None,
        spawn: Spawn | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._policy = policy
        self._store = store
        self._find = store.find
        self._clock = store.clock
        self._wall = wall
        self._route = route
        self._tag = f"route:{route}"
        self._is_private = policy.private
        self._is_apart = policy.private or any(split.apps for split in splits)
        self._vary = tuple(sorted({name.lower() for name in (*policy.vary, *(split.header for split in splits)) if name}))
        self._refresh = (fetch, spawn) if fetch is not None and spawn is not None else None

    def on_request(self, request: Request) -> Outcome:
        verb = request.verb
        if (verb != b"GET" and verb != b"HEAD") or request.body_length or request.upgrade:
            return None
        head = request.head.lower()
        if _has_wishes(head):
            return self._with_wishes(request, head)
        return self._decided(request, head, NO_WISH)

    def _with_wishes(self, request: Request, head: bytes) -> Outcome:
        fields = request.headers
        if "range" in fields or "if-match" in fields or "if-unmodified-since" in fields or "if-range" in fields:
            return None
        wish = cache_rules.wish_of(fields.get("cache-control", ""))
        return None if wish.no_store else self._decided(request, head, wish)

    def _key(self, request: Request, head: bytes) -> Key:
        who: object = None
        identity = request.identity
        if identity is None:
            who = request.authorization if self._is_private else None  # an anonymous route whose upstream authenticates
        # A grant narrows fields or masks them: such an app never shares a copy.
        elif self._is_apart or (request.app is not None and self._route in request.app.grants):
            who = (identity.app, identity.user, identity.device)
        target = request.upstream_target or request.target
        key = (self._route, request.host, target, who, request.scheme)
        return (*key, _values(request, head, self._vary)) if self._vary else key

    def _decided(self, request: Request, head: bytes, wish: Wish, waiter: Waiter | None = None) -> Outcome:
        """The answer, None to go on, or the future of one that waits."""
        primary = key = self._key(request, head)
        found = self._find(key)
        if type(found) is Varied:
            key = (key, _values(request, head, found.names))
            found = self._find(key)
        if type(found) is not Stored:
            return self._missed(request, head, _Pending(primary, key, None, None), wish, waiter, is_passed=type(found) is Passed)
        now = self._clock()
        if now < found.stale_at if wish is NO_WISH else found.is_usable(wish, now):
            return _answer(request, found, _HIT, now, may_be_304=wish is not NO_WISH)
        pending = _Pending(primary, key, found, None)
        if wish is NO_WISH and now < found.while_until and self._is_asked_meanwhile(request, pending):
            return _answer(request, found, _STALE, now, may_be_304=False)
        return self._missed(request, head, pending, wish, waiter)

    def _missed(
        self, request: Request, head: bytes, pending: _Pending, wish: Wish, waiter: Waiter | None, *, is_passed: bool = False
    ) -> Outcome:
        if wish.only_if_cached:
            raise DeadlineExceeded("the request asks for a cached answer, and there is none", code="not_cached")
        if request.verb == b"GET" and not is_passed:
            pending.flight = self._store.begin(pending.key, _target(request), self._tag)
            if pending.flight is None and not wish.no_cache and (other := self._store.flight(pending.key)) is not None:
                return self._wait(request, head, other, wish, waiter)
        request.attributes[_PENDING] = pending
        if pending.stored is not None and request.verb == b"GET":
            pending.asks = _ask_with(request, pending.stored)
        return None

    def _wait(self, request: Request, head: bytes, flight: Flight, wish: Wish, waiter: Waiter | None) -> Outcome:
        if waiter is None:
            loop = asyncio.get_running_loop()

            def again(waiter: Waiter, has_failed: bool) -> Outcome:
                if has_failed:
                    return self._after_failure(request, flight.key)
                return self._decided(request, head, wish, waiter)

            waiter = Waiter(loop.create_future(), again)
            timer = loop.call_later(max(0.0, request.deadline - time.monotonic()), _expire, waiter.future)
            waiter.future.add_done_callback(lambda _: timer.cancel())
        flight.waiters.append(waiter)
        return waiter.future

    def _after_failure(self, request: Request, key: Key) -> Response | None:
        """Whom it waited for has failed: a stale answer, or each goes itself. One after the other would outlast their time."""
        found, now = self._find(key), self._clock()
        if type(found) is Stored and now < found.error_until:
            return _answer(request, found, _STALE, now)
        request.attributes[_PENDING] = _Pending(key, key, None, None)
        return None

    def _is_asked_meanwhile(self, request: Request, pending: _Pending) -> bool:
        """stale-while-revalidate (RFC 5861 §3): somebody asks already, or is sent to."""
        if self._store.flight(pending.key) is not None:
            return True
        if self._refresh is None:
            return False
        fetch, spawn = self._refresh
        pending.flight = self._store.begin(pending.key, _target(request), self._tag)
        spawn(self._refreshed(_copy(request), fetch, pending), name=f"cache refresh of {self._route}")
        return True

    async def _refreshed(self, request: Request, fetch: Fetch, pending: _Pending) -> None:
        assert pending.flight is not None
        try:
            pending.asks = pending.stored is not None and _ask_with(request, pending.stored)
            request.attributes[_PENDING] = pending
            async with asyncio.timeout(request.deadline - time.monotonic()):
                self.on_response(request, await fetch(request))
        except (PlatformError, TimeoutError):
            pass  # it stays stale: the next request tries again, and gets the failure itself when the time of grace is over
        finally:
            self._store.settle(pending.flight)

    def collects(self, request: Request, response: Response) -> int:
        return 0  # a tee copies what passes; nothing is held back

    def on_response(self, request: Request, response: Response) -> Outcome:
        if request.verb not in (b"GET", b"HEAD", b"OPTIONS", b"TRACE"):
            if response.status < 400 or response.status >= 500:  # after a 5xx it is not known what was done
                self._store.invalidate(_target(request))
            return None
        pending: _Pending | None = request.attributes.get(_PENDING)
        if pending is None:
            return None
        if response.status == 304 and pending.asks and pending.stored is not None:
            return self._unchanged(request, response, pending, pending.stored)
        if response.status in FAILURES and (stale := self._failed(request, pending)) is not None:
            return stale
        request.attributes["cache"] = "miss"
        response.set_header(*_MISS)
        if pending.flight is not None:
            self._collect(request, response, pending)
        return None

    def _unchanged(self, request: Request, response: Response, pending: _Pending, stored: Stored) -> Response:
        headers = cache_rules.freshened(stored, response.headers)
        fresh = self._admitted(request, stored.status, headers)
        if fresh is None:
            fresh = stored
            self._settle(pending, is_kept=False)
        else:
            fresh = msgspec.structs.replace(fresh, body=stored.body)
            self._keep(request, pending, fresh)
        return _answer(request, fresh, _REVALIDATED, self._clock())

    def _failed(self, request: Request, pending: _Pending) -> Response | None:
        """stale-if-error (RFC 5861 §4)."""
        stored, now = pending.stored, self._clock()
        if pending.flight is not None:
            self._store.settle(pending.flight, has_failed=not _is_callers_fault(request))
        if stored is None or now >= stored.error_until:
            return None
        return _answer(request, stored, _STALE, now)

    def on_failure(self, request: Request, error: PlatformError) -> Response | None:
        """The upstream gave no answer at all: an old one in its place, or None."""
        if request.verb not in (b"GET", b"HEAD"):
            self._store.invalidate(_target(request))
            return None
        pending: _Pending | None = request.attributes.get(_PENDING)
        return self._failed(request, pending) if pending is not None and status_of(error) in FAILURES else None

    def _admitted(self, request: Request, status: int, headers: list[tuple[str, str]]) -> Stored | None:
        has_cookie = b"\r\ncookie:" in request.head.lower()  # whose it is can't be told: shared only where the upstream allows it
        is_identified = has_cookie or request.identity is not None or bool(request.authorization)
        now, wall = self._clock(), self._wall()
        asked = now - max(0.0, time.monotonic() - request.started)
        is_apart = self._is_private and not has_cookie
        return cache_rules.admit(
            self._policy, status, headers, may_be_kept=is_apart or not is_identified, asked=asked, now=now, wall=wall
        )

    def _collect(self, request: Request, response: Response, pending: _Pending) -> None:
        stored = self._admitted(request, response.status, response.headers)
        length = response.header("content-length") if response.is_passing else str(len(response.body))
        is_long = length.isdigit() and (len(length) > 18 or int(length) > self._policy.max_bytes)
        if stored is None or is_long or response.stream is not None:
            self._settle(pending, is_kept=response.status in FAILURES or response.status == 304)
        elif not response.is_passing:
            self._keep(request, pending, msgspec.structs.replace(stored, body=response.body))
        else:
            tee = _Tee(self._policy.max_bytes, lambda body: self._arrived(request, pending, stored, body, length))
            response.filters = [*(response.filters or ()), tee]

    def _arrived(self, request: Request, pending: _Pending, stored: Stored, body: bytes | None, length: str) -> None:
        if body is None:
            self._settle(pending, is_kept=False)
        elif not length.isdigit() or int(length) == len(body):
            self._keep(request, pending, msgspec.structs.replace(stored, body=body))
        # else it was cut short, and is no answer to keep (RFC 9111 §3.3): `on_end` settles

    def _keep(self, request: Request, pending: _Pending, stored: Stored) -> None:
        if pending.flight is None:
            return
        names = stored.vary
        varied = (pending.primary, _values(request, request.head.lower(), names)) if names else pending.primary
        self._store.keep(pending.flight, pending.primary, varied, stored)
        self._store.settle(pending.flight)

    def _settle(self, pending: _Pending, *, is_kept: bool) -> None:
        """`is_kept` False: such answers are not kept, so that nobody should wait for one."""
        if pending.flight is None:
            return
        if not is_kept:
            self._store.pass_by(pending.flight)
        self._store.settle(pending.flight)

    def on_end(self, request: Request) -> None:
        pending: _Pending | None = request.attributes.pop(_PENDING, None)
        if pending is not None and pending.flight is not None:  # lost or failed, or not whole: those who wait decide anew
            self._store.settle(pending.flight, has_failed=request.status >= 500 and not _is_callers_fault(request))


def _answer(request: Request, stored: Stored, verdict: tuple[str, str], now: float, *, may_be_304: bool = True) -> Response:
    request.attributes["cache"] = verdict[1]
    told = [("Age", str(int(now - stored.born))), verdict]
    if may_be_304 and stored.status == 200 and b"\r\nif-" in request.head.lower():
        fields = request.headers
        if cache_rules.is_unchanged(stored, fields.get("if-none-match", ""), fields.get("if-modified-since", "")):
            return Response(304, cache_rules.of_304(stored.headers) + told)
    return Response(stored.status, stored.headers + told, stored.body)


def _is_callers_fault(request: Request) -> bool:
    """Whether it only ran out of the time that its own caller gave: those who wait have more, and one of them leads."""
    return request.timeout_ms != 0 and request.error_code == DeadlineExceeded.code


def _target(request: Request) -> str:
    """The target URI without the scheme: what unsafe methods make invalid."""
    return f"{request.host.decode('latin-1')}{request.target.decode('latin-1')}"


def _values(request: Request, head: bytes, names: tuple[str, ...]) -> tuple[str, ...]:
    """What the request says in these fields. Most requests lack most of them, which a look at the bytes tells."""
    return tuple([request.headers.get(name, "") if b"\r\n" + name.encode() + b":" in head else "" for name in names])


def _ask_with(request: Request, stored: Stored) -> bool:
    """Send the stored validators upstream in place of the client's (RFC 9111 §4.3.1); whether there are any."""
    request.remove_header("If-None-Match")
    request.remove_header("If-Modified-Since")
    if stored.etag:
        request.set_header("If-None-Match", stored.etag)
    if stored.modified:
        request.set_header("If-Modified-Since", stored.modified)
    return bool(stored.etag or stored.modified)


def _expire(future: "asyncio.Future[Response | None]") -> None:
    if not future.done():
        future.set_exception(DeadlineExceeded("another request for the same answer is still under way"))


def _copy(request: Request) -> Request:
    """The request once more, for the background: a connection may end meanwhile."""
    copy = Request(b"GET", request.target, request.head, request.forward)
    for name in (
        "line",
        "host",
        "authorization",
        "remote",
        "scheme",
        "request_id",
        "trace",
        "pipe",
        "identity",
        "app",
        "parameters",
    ):
        setattr(copy, name, getattr(request, name))
    copy.upstream_target = request.upstream_target
    copy.added = list(request.added) if request.added else None
    copy.removed = set(request.removed) if request.removed else None
    copy.started = time.monotonic()
    copy.deadline = copy.started + (request.pipe.timeout_s if request.pipe is not None else 30.0)
    copy.content = b""
    return copy


def _conforms(stage: Cache) -> tuple[Stage, AnswerStage, EndStage, RescueStage]:
    return stage, stage, stage, stage
