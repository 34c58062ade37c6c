"""The HTTP listener, today on aiohttp's low-level server. Nothing past this file knows it; it can be replaced alone.

Bytes → core.http.Request with id and deadline; Response → bytes. One of the three places that catch everything.
"""

import time
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from core.errors import InvalidInput, NotConnected, PlatformError
from core.http import Handler, Request, Response, Stream
from core.ids import new_id, new_request_id
from gateway.problems import problem

_log = structlog.get_logger("gateway.listener")
MAX_BODY_BYTES = 1 << 20
MAX_QUERY_FIELDS = 100
REQUEST_S = 30.0


class _Stream:
    """core.http.Stream on an open aiohttp response."""

    def __init__(self, response: web.StreamResponse) -> None:
        self._response = response

    async def write(self, data: bytes) -> None:
        try:
            await self._response.write(data)
        except (ConnectionError, RuntimeError) as error:
            raise NotConnected("the reader has gone") from error


def _conforms(stream: _Stream) -> Stream:
    return stream


class Listener:
    """Serves `handler` on one address. `observe(status, seconds)` is told of every answer."""

    def __init__(self, handler: Handler, observe: Callable[[int, float], None]) -> None:
        self._handler = handler
        self._observe = observe
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None), handle_signals=False, shutdown_timeout=10.0, keepalive_timeout=75.0
        )
        self.port = 0

    async def start(self, host: str, port: int) -> None:
        """Listen. Workers share the port; that nobody else holds it is the supervisor's check. Port 0 takes a free one."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port, reuse_port=port != 0)
        try:
            await site.start()
        except OSError as error:
            raise NotConnected(f"{host}:{port}: {error.strerror or error}") from error
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Drain: stop accepting, let the requests under way finish (10 s at most), close."""
        await self._runner.cleanup()

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        request = _request(raw)
        response = await self._answer(request)
        self._observe(response.status, time.perf_counter() - started)
        response.headers.append(("X-Request-Id", request.request_id))
        if response.stream is not None:
            return await _streamed(raw, response)
        answer = web.Response(status=response.status, body=response.body)
        _set_headers(answer, response)
        return answer

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._handler(request)
        except PlatformError as error:
            response = problem(error, request)
            if response.status == 500:
                _log.error("request failed", request_id=request.request_id, path=request.path, error=repr(error))
            return response
        except Exception as error:  # noqa: BLE001  # the listener: one of the three places
            error_id = new_id("err_")
            _log.exception("request failed", request_id=request.request_id, error_id=error_id, path=request.path)
            return problem(PlatformError(f"{error_id}: {type(error).__name__}"), request)


def _set_headers(answer: web.StreamResponse, response: Response) -> None:
    answer.headers["Server"] = "zhiyun"
    for name, value in response.headers:
        answer.headers[name] = value


async def _streamed(raw: web.BaseRequest, response: Response) -> web.StreamResponse:
    answer = web.StreamResponse(status=response.status)
    _set_headers(answer, response)
    await answer.prepare(raw)
    assert response.stream is not None
    try:
        await response.stream(_Stream(answer))
        await answer.write_eof()
    except (NotConnected, ConnectionError):
        _log.debug("the reader of a stream has gone")
    return answer


def _request(raw: web.BaseRequest) -> Request:
    path, _, query = raw.raw_path.partition("?")
    headers: dict[str, str] = {}
    for name, value in raw.headers.items():
        lower = name.lower()
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    return Request(
        method=raw.method,
        path=path,
        query=_query(query),
        headers=headers,
        remote=raw.remote or "",
        request_id=new_request_id(),
        deadline=time.monotonic() + REQUEST_S,
        body=_body_reader(raw),
    )


def _query(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict")
    except ValueError:
        # Told later, by whoever needs the query, in the form of a problem.
        return [("", "malformed query")]


def _body_reader(raw: web.BaseRequest) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        try:
            return await raw.read()
        except web.HTTPRequestEntityTooLarge:
            raise InvalidInput(f"the body is larger than {MAX_BODY_BYTES} bytes", code="payload_too_large") from None
        except HttpProcessingError as error:
            raise InvalidInput(f"the body is malformed: {error.message}") from None

    return read
