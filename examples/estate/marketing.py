"""The marketing system: behaviour events, customer preferences and campaigns as JSON over HTTP, behind an API key."""

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from examples.estate.generate_marketing import to_json

MAX_BYTES: Final = 64 * 1024
MAX_LIMIT: Final = 1000
DEFAULTS: Final[dict[str, Any]] = {"channels": [], "interests": [], "do_not_disturb": "", "consent": False}
"""The fields of a preference, and what a PUT means that leaves one out; `customer_id` may be repeated."""


class Marketing:
    """The handlers over one database, which stays the caller's to close."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    async def events(self, request: web.Request) -> web.Response:
        """GET /api/events?after=&limit= : `next` is the `after` of the next page, null when there is no more for now."""
        after, limit = _number(request, "after", 0, 0, 2**53), _number(request, "limit", 100, 1, MAX_LIMIT)
        rows = self._database.execute(
            "SELECT event_id, body FROM event WHERE event_id > ? ORDER BY event_id LIMIT ?", (after, limit + 1)
        ).fetchall()
        page = rows[:limit]
        data = [{"event_id": event_id, **json.loads(body)} for event_id, body in page]
        return _json({"data": data, "next": page[-1][0] if len(rows) > limit else None})

    async def campaigns(self, request: web.Request) -> web.Response:
        """GET /api/campaigns?page=&size= : pages count from 1."""
        page, size = _number(request, "page", 1, 1, 2**31), _number(request, "size", 20, 1, MAX_LIMIT)
        (total,) = self._database.execute("SELECT count(*) FROM campaign").fetchone()
        rows = self._database.execute(
            "SELECT body FROM campaign ORDER BY campaign_id LIMIT ? OFFSET ?", (size, (page - 1) * size)
        ).fetchall()
        return _json({"data": [json.loads(body) for (body,) in rows], "page": page, "size": size, "total": total})

    async def preferences(self, request: web.Request) -> web.Response:
        """GET /api/customers/{customer_id}/preferences, with an ETag; 304 for If-None-Match."""
        row = self._preference(request.match_info["customer_id"])
        if row is None:
            raise _error(web.HTTPNotFound, "not_found", "this customer has no preferences yet")
        version, body = row
        tag = etag(version, body)
        if request.headers.get("If-None-Match") in (tag, "*"):
            return web.Response(status=304, headers={"ETag": tag})
        return _json(json.loads(body), tag=tag)

    async def put_preferences(self, request: web.Request) -> web.Response:
        """PUT replaces the whole preference: 201 when it is new, 412 when If-Match names another state."""
        customer_id = request.match_info["customer_id"]
        body = to_json({"customer_id": customer_id, **_preference(await request.read(), customer_id)})
        row = self._preference(customer_id)
        _check_preconditions(request, etag(*row) if row else None)
        # The same content again is the same state, so that a repeated PUT leaves the ETag as it is.
        version = row[0] + (row[1] != body) if row else 1
        self._database.execute(
            "INSERT INTO preference VALUES (?, ?, ?) "
            "ON CONFLICT (customer_id) DO UPDATE SET version = excluded.version, body = excluded.body",
            (customer_id, version, body),
        )
        return _json(json.loads(body), status=200 if row else 201, tag=etag(version, body))

    def _preference(self, customer_id: str) -> tuple[int, str] | None:
        statement = "SELECT version, body FROM preference WHERE customer_id = ?"
        row: tuple[int, str] | None = self._database.execute(statement, (customer_id,)).fetchone()
        return row


def marketing_application(database: sqlite3.Connection, *, key: str) -> web.Application:
    """The service under /api. The connection must be in autocommit mode (`isolation_level=None`)."""
    marketing = Marketing(database)
    application = web.Application(client_max_size=MAX_BYTES, middlewares=[_json_errors, _key_check(key)])
    application.router.add_get("/api/events", marketing.events)
    application.router.add_get("/api/campaigns", marketing.campaigns)
    application.router.add_get("/api/customers/{customer_id}/preferences", marketing.preferences)
    application.router.add_put("/api/customers/{customer_id}/preferences", marketing.put_preferences)
    return application


def etag(version: int, body: str) -> str:
    """A strong entity tag (RFC 9110, section 8.8.3) of one state of a preference."""
    return f'"{version}-{hashlib.sha256(body.encode()).hexdigest()[:16]}"'


def _key_check(key: str) -> Middleware:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not hmac.compare_digest(request.headers.get("X-Api-Key", "").encode(), key.encode()):
            raise _error(web.HTTPUnauthorized, "unauthorized", "the header X-Api-Key is missing or wrong")
        return await handler(request)

    return check


@web.middleware
async def _json_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """aiohttp's own answers (no such path, method not allowed, body too large) become JSON too."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or error.content_type == "application/json":
            raise
        error.content_type = "application/json"
        error.text = to_json({"error": {"code": f"http_{error.status}", "message": error.reason}})
        raise


def _error(kind: Callable[..., web.HTTPException], code: str, message: str) -> web.HTTPException:
    return kind(text=to_json({"error": {"code": code, "message": message}}), content_type="application/json")


def _json(body: dict[str, Any], *, status: int = 200, tag: str | None = None) -> web.Response:
    return web.Response(text=to_json(body), status=status, content_type="application/json", headers={"ETag": tag} if tag else None)


def _number(request: web.Request, name: str, default: int, least: int, largest: int) -> int:
    given = request.query.get(name, str(default))
    if not (given.isascii() and given.isdigit() and len(given) < 20 and least <= int(given) <= largest):
        raise _error(web.HTTPBadRequest, "invalid_parameter", f"{name} must be a whole number from {least} to {largest}")
    return int(given)


def _preference(raw: bytes, customer_id: str) -> dict[str, Any]:
    """The fields of a PUT in their order, checked. HTTPBadRequest names what is wrong."""
    try:
        given = json.loads(raw)
    except ValueError:
        given = None
    if not isinstance(given, dict) or given.pop("customer_id", customer_id) != customer_id:
        raise _error(web.HTTPBadRequest, "invalid_body", "the body must be a JSON object of this customer")
    wrong = sorted(name for name, value in given.items() if not _is_valid(name, value))
    if wrong:
        message = f"unknown or of the wrong type: {', '.join(wrong)[:200]}; there are {', '.join(DEFAULTS)}"
        raise _error(web.HTTPBadRequest, "invalid_body", message)
    return {**DEFAULTS, **given}


def _is_valid(name: str, value: object) -> bool:
    if isinstance(value, list):
        return isinstance(DEFAULTS.get(name), list) and all(isinstance(item, str) for item in value)
    return name in DEFAULTS and type(value) is type(DEFAULTS[name])


def _check_preconditions(request: web.Request, current: str | None) -> None:
    """RFC 9110, section 13.1: If-Match and If-None-Match of a state-changing request."""
    match, none_match = request.headers.get("If-Match"), request.headers.get("If-None-Match")
    if match is not None and (current is None or (match.strip() != "*" and current not in _tags(match))):
        raise _error(web.HTTPPreconditionFailed, "precondition_failed", "the preference has changed; read it again")
    if none_match is not None and current is not None and (none_match.strip() == "*" or current in _tags(none_match)):
        raise _error(web.HTTPPreconditionFailed, "precondition_failed", "the preference exists already")


def _tags(header: str) -> list[str]:
    return [tag.strip() for tag in header.split(",")]
