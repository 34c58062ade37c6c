"""Finds endpoints besides those that are declared: every address of a DNS name, or a document that a service registry gives.

An answer that fails leaves the endpoints as they are; that there are none is believed after three answers in a row.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from config.check_upstreams import url_problem
from config.problem import line
from config.types import convert
from config.upstreams import Discovery, Endpoint
from config.validation import Validation
from core.errors import InvalidInput, PlatformError, Unavailable
from gateway.upstream.endpoints import EndpointState
from gateway.upstream.upstream import UpstreamState

MAX_BYTES = 1 << 20
MAX_ENDPOINTS = 1000
_BELIEVED_AFTER = 3  # answers in a row that say there are none
_TOLD = 5  # bad entries of one document that are named
_LONGEST_S = 5.0

Report = Callable[[str], None]
Find = Callable[[Discovery, Report], Awaitable[list[Endpoint]]]


class Follower:
    """Takes the answers for one upstream; says each change of mind once."""

    def __init__(self, upstream: UpstreamState, report: Report) -> None:
        self._upstream = upstream
        self._report = report
        self._none_in_a_row = 0
        self._is_failing = False

    def found(self, endpoints: list[Endpoint]) -> list[EndpointState]:
        """An answer; returns the endpoints that are gone."""
        if self._is_failing:
            self._is_failing = False
            self._report(f"upstream {self._upstream.name}: discovery works again")
        if endpoints:
            self._none_in_a_row = 0
            return self._upstream.replace_endpoints(endpoints[:MAX_ENDPOINTS])
        self._none_in_a_row += 1
        if self._none_in_a_row == _BELIEVED_AFTER:
            self._report(f"upstream {self._upstream.name}: discovery finds no endpoints, {_BELIEVED_AFTER} times in a row")
            return self._upstream.replace_endpoints([])
        return []

    def failed(self, reason: str) -> None:
        self._none_in_a_row = 0
        if not self._is_failing:
            self._is_failing = True
            self._report(f"upstream {self._upstream.name}: discovery fails, its endpoints stay as they are: {reason}")


async def find(declared: Discovery, report: Report) -> list[Endpoint]:
    """Ask once. No endpoint where the name or the document has none. Raises Unavailable or InvalidInput."""
    try:
        async with asyncio.timeout(min(declared.every_s, _LONGEST_S)):
            if declared.dns is not None:
                return await addresses(declared.dns, declared.scheme)
            return parsed(await _document(declared.url or ""), report)
    except TimeoutError:
        raise Unavailable("no answer in time") from None


async def addresses(name: str, scheme: str) -> list[Endpoint]:
    """Each address of `host:port`, sorted, so that an unchanged answer changes nothing."""
    host, _, port = name.rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return []
        raise Unavailable(f"{host}: {error.strerror}") from error
    hosts = sorted({str(address[0]) for *_, address in found})
    return [Endpoint(f"{scheme}://{f'[{each}]' if ':' in each else each}:{port}") for each in hosts if "%" not in each]


class _Document(Struct):
    endpoints: list[Any]


def parsed(body: bytes, report: Report) -> list[Endpoint]:
    """The good entries of `{"endpoints": [{"url", "weight"}]}`; the others are reported. Raises InvalidInput for what is no such
    document."""
    try:
        entries = msgspec.json.decode(body, type=_Document).endpoints
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the registry's document can't be read: {error}") from error
    good: list[Endpoint] = []
    bad: list[str] = []
    for number, entry in enumerate(entries[:MAX_ENDPOINTS]):
        validation = Validation()
        validation.run(Endpoint, entry, ("endpoints", str(number)))
        if validation.problems:
            bad.append(line(validation.problems[0]))
            continue
        endpoint = convert(entry, Endpoint)
        if reason := url_problem(endpoint.url):
            bad.append(f"endpoints.{number}.url: '{endpoint.url}' {reason}")
        else:
            good.append(endpoint)
    for text in bad[:_TOLD]:
        report(f"left out of the registry's document: {text}")
    if len(bad) > _TOLD or len(entries) > MAX_ENDPOINTS:
        report(f"left out of the registry's document: {len(bad)} bad entries, {max(0, len(entries) - MAX_ENDPOINTS)} too many")
    if bad and not good:
        raise InvalidInput("no entry of the registry's document is good")
    return good


async def _document(url: str) -> bytes:
    import aiohttp  # only where a registry is asked

    try:
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(url, allow_redirects=False, headers={"Accept": "application/json"}) as response,
        ):
            if response.status != 200:
                raise Unavailable(f"the registry answered {response.status}")
            body = bytearray()
            async for piece in response.content.iter_chunked(64 * 1024):
                body += piece
                if len(body) > MAX_BYTES:
                    raise InvalidInput(f"the registry's document is larger than {MAX_BYTES} bytes")
            return bytes(body)
    except (aiohttp.ClientError, OSError) as error:
        raise Unavailable(f"the registry can't be asked: {error}") from error


async def discovery_loop(
    upstream: UpstreamState,
    declared: Discovery,
    removed: Callable[[list[EndpointState]], None],
    *,
    pause: Callable[[float], Awaitable[None]],
    report: Report,
    ask: Find = find,
) -> None:
    """For ever; `removed` gets the endpoints that are gone. `pause` waits about so long."""
    follower = Follower(upstream, report)
    while True:
        try:
            gone = follower.found(await ask(declared, report))
        except PlatformError as error:
            follower.failed(error.detail)
        else:
            if gone:
                removed(gone)
        await pause(declared.every_s)
