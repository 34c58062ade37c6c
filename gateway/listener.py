"""The HTTP listener, today on aiohttp's low-level server. Nothing past this file knows it; it can be replaced alone.

Bytes → core.http.Request with id and deadline; Response → bytes. One of the three places that catch everything.
"""

import asyncio
import logging
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
_server_log = logging.getLogger("gateway.listener.http")
_server_log.setLevel(logging.CRITICAL)  # a traceback for each malformed request would let strangers fill the log


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
    """Serves `handler` on one address. `observe(status, seconds)` is told of every answer. A drain takes at most `drain_s`."""

    def __init__(self, handler: Handler, observe: Callable[[int, float], None], *, drain_s: float = 10.0) -> None:
        self._handler = handler
        self._observe = observe
        self._streams: set[asyncio.Timeout] = set()
        self._runner = web.ServerRunner(
            web.Server(self._serve, access_log=None, logger=_server_log, lingering_time=2.0),
            handle_signals=False,
            shutdown_timeout=drain_s,
            keepalive_timeout=75.0,
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
        """Drain: stop accepting, end the streams, let the requests under way finish, close."""
        for site in list(self._runner.sites):
            await site.stop()
        self.end_streams()
        await self._runner.cleanup()

    def end_streams(self) -> None:
        """End every open stream properly. Its reader comes again with Last-Event-ID, and is asked again who it is."""
        for stream in self._streams:
            stream.reschedule(0)
        self._streams.clear()

    async def _serve(self, raw: web.BaseRequest) -> web.StreamResponse:
        started = time.perf_counter()
        request = _request(raw)
        response = await self._answer(request)
        self._observe(response.status, time.perf_counter() - started)
        response.headers.append(("X-Request-Id", request.request_id))
        if response.stream is not None and raw.method != "HEAD":
            return await self._streamed(raw, response, request)
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

    async def _streamed(self, raw: web.BaseRequest, response: Response, request: Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=response.status)
        _set_headers(answer, response)
        assert response.stream is not None
        limit = asyncio.timeout(None)
        try:
            await answer.prepare(raw)
            async with limit:
                self._streams.add(limit)
                await response.stream(_Stream(answer))
        except TimeoutError:
            _log.debug("a stream ends with the listener", request_id=request.request_id)
        except (NotConnected, ConnectionError):
            _log.debug("the reader of a stream has gone", request_id=request.request_id)
            return answer
        except Exception:  # noqa: BLE001  # the listener, once more: the answer has begun, it can only be cut
            _log.exception("stream failed", request_id=request.request_id, error_id=new_id("err_"), path=request.path)
            answer.force_close()
            return answer
        finally:
            self._streams.discard(limit)
        await answer.write_eof()
        return answer


def _set_headers(answer: web.StreamResponse, response: Response) -> None:
    answer.headers["Server"] = "zhiyun"
    for name, value in response.headers:
        answer.headers[name] = value


def _request(raw: web.BaseRequest) -> Request:
    path, _, query = raw.raw_path.partition("?")
    headers: dict[str, str] = {}
    for name, value in raw.headers.items():
        lower = name.lower()
        if not value.isascii():  # bytes that are no UTF-8 come as half surrogates, which nothing behind us could store
            value = value.encode(errors="surrogateescape").decode(errors="replace")
        headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
    deadline = time.monotonic() + REQUEST_S
    return Request(
        method=raw.method,
        path=path,
        query=_query(query),
        headers=headers,
        remote=raw.remote or "",
        request_id=new_request_id(),
        deadline=deadline,
        body=_body_reader(raw, deadline),
    )


def _query(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS, errors="strict")
    except ValueError:
        # Told later, by whoever needs the query, in the form of a problem.
        return [("", "malformed query")]


def _body_reader(raw: web.BaseRequest, deadline: float) -> Callable[[], Awaitable[bytes]]:
    async def read() -> bytes:
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                if raw.headers.get("Expect", "").lower() == "100-continue":
                    await raw.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # RFC 9110 §10.1.1
                    raw.writer.output_size = 0  # it is no part of the answer
                return await raw.read()
        except web.HTTPRequestEntityTooLarge:
            raise InvalidInput(f"the body is larger than {MAX_BODY_BYTES} bytes", code="payload_too_large") from None
        except TimeoutError:
            raise InvalidInput(f"the body did not arrive within {REQUEST_S:g} s", code="request_timeout") from None
        except HttpProcessingError as error:
            raise InvalidInput(f"the body is malformed: {error.message}") from None
        except (web.RequestPayloadError, ConnectionError):
            raise InvalidInput("the body ended before it was whole") from None

    return read
