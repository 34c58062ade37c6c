"""`POST /soap/<service>` and `GET /soap/<service>?wsdl`: a SOAP request becomes its JSON twin, goes through the
rest of that operation's own pipe, and its answer comes back as XML. Holds no data logic and decides nothing about access.

Authentication sees the request as it came (a signature covers its bytes), and limits charge it before any XML is read; the stages
behind, per operation, see its JSON twin.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NoReturn
from urllib.parse import quote, urlencode

from config.upstreams import Match
from core.errors import InvalidInput, NotFound, PlatformError, Unavailable
from gateway.changed_body import worked
from gateway.http1.message import made_request
from gateway.json_text import decoded, encoded
from gateway.pipe import Pipe, run
from gateway.soap.contract import Contract
from gateway.soap.fault import content_type, fault, wrapped
from gateway.soap.payload import arguments, document
from gateway.soap.reading import envelope, parsed
from gateway.soap.values import plain
from gateway.soap.versions import SOAP11, Version, action_of, check_content, version_told
from gateway.soap.wsdl import wsdl
from gateway.stage import Outcome, Request, RescueStage, Response, Stage
from gateway.stages.authenticate import Authenticate
from gateway.views import View

_WEIGHT = 8  # a byte of JSON that becomes XML costs as much as so many that are only parsed
_METHODS = {"create": "POST", "update": "PATCH", "replace": "PUT", "delete": "DELETE"}
_OF_THE_BODY = frozenset(("content-type", "content-length", "content-encoding", "content-digest", "content-md5", "soapaction"))
_OF_THE_FORM = frozenset(("accept", "accept-encoding", "cache-control", "range", "expect", "connection", "transfer-encoding"))
_CONDITIONS = frozenset(("if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "idempotency-key"))
_DROPPED = _OF_THE_BODY | _OF_THE_FORM | _CONDITIONS | {"te", "trailer", "upgrade", "last-event-id"}
_TOLD_OTHERWISE = frozenset(("content-type", "content-length", "content-encoding", "etag", "link"))


class Face:
    """The outermost stage: every refusal behind it is told as a fault of the caller's SOAP version."""

    name = "soap"

    def on_request(self, request: Request) -> Outcome:
        return None

    def on_failure(self, request: Request, error: PlatformError) -> Response | None:
        return fault(error, request, version_told(request) or SOAP11)


class SoapFront:
    """The handlers of one service. `pipes` by operation begin behind authenticate."""

    def __init__(self, contract: Contract, pipes: Mapping[str, Pipe], views: Mapping[str, View], public_url: str) -> None:
        self._contract = contract
        self._pipes = pipes
        self._views = views
        self._address = f"{public_url}/soap/{contract.service}"
        self._wsdl: bytes | None = None

    async def describe(self, request: Request) -> Response:
        """GET ?wsdl"""
        if [name.lower() for name, _ in request.query] != ["wsdl"]:
            raise InvalidInput("ask for the contract by ?wsdl, or POST a SOAP envelope")
        if self._wsdl is None:
            self._wsdl = wsdl(self._contract, self._address)
        return Response(200, [("Content-Type", "text/xml; charset=utf-8"), ("Cache-Control", "private, no-cache")], self._wsdl)

    async def call(self, request: Request) -> Response:
        """POST: one operation."""
        version, charset = check_content(request)
        message = envelope(parsed(await request.body(), charset), version)
        operation = self._operation(message.payload.name)
        action = action_of(request, version)
        if action and action != self._contract.action(operation):
            text = f"the action of the request is not that of its body, {self._contract.action(operation)}"
            raise InvalidInput(text, code="soap_action_mismatch")
        given = arguments(message.payload, self._contract.operations[operation].request, self._contract.namespace)
        twin = _twin(request, self._contract.service, operation, given)
        response = await run(self._pipes[operation], twin)
        if response.stream is not None or response.status >= 300:
            raise Unavailable(f"a stage answered with status {response.status}, which has no form here", code="upstream_malformed")
        return await self._answer(request, version, operation, response)

    def _operation(self, name: str) -> str:
        namespace, _, local = name.removeprefix("{").rpartition("}")
        if namespace != self._contract.namespace or local not in self._contract.operations:
            offered = ", ".join(self._contract.operations)
            text = f"unknown operation {name[:200]!r}; in the namespace {self._contract.namespace} there are: {offered}"
            raise InvalidInput(text, code="operation_unknown")
        return local

    async def _answer(self, request: Request, version: Version, operation: str, response: Response) -> Response:
        made = Response(200, [content_type(version), *_headers(response)])
        is_masked = request.identity is not None and request.identity.app in self._views
        work = partial(self._written, version, operation, response.body, response.header("ETag"), is_masked)
        waiting = worked(len(response.body) * _WEIGHT, work, partial(setattr, made, "body"))
        if waiting is not None:
            await waiting
        return made

    def _written(self, version: Version, operation: str, body: bytes, etag: str, is_masked: bool) -> bytes:
        try:
            values = _values(operation, decoded(body) if body else None, etag)
        except (ValueError, TypeError, KeyError):
            raise Unavailable("the answer is not as the contract declares it", code="upstream_malformed") from None
        element = self._contract.operations[operation].response
        return wrapped(version, document(element, values, self._contract.namespace, is_masked=is_masked))


def _headers(response: Response) -> list[tuple[str, str]]:
    return [pair for pair in response.fields() if pair[0].lower() not in _TOLD_OTHERWISE]


def _values(operation: str, value: Any, etag: str) -> dict[str, Any]:
    """The JSON answer by the names of the contract."""
    if operation == "query":
        return {"record": value["data"], "next_cursor": value["next_cursor"]}
    if operation == "changes":
        return {"change": value["data"], "last_version": value["last_version"]}
    if operation == "delete":
        return {}
    return {"record": value, **({"etag": etag} if etag else {})}


def _twin(request: Request, service: str, operation: str, given: dict[str, Any]) -> Request:
    """The JSON request that means the same, of the same caller, with the same deadline; what is told of it is told of both."""
    key = "~".join(plain(value) for value in given.get("key", {}).values())
    target = f"/v1/{service}"
    if key:
        target += f"/{quote(key, safe='')}"
    elif operation == "changes":
        target += "/changes"
    query = [(name, plain(value)) for name, value in (given.get("filters") or {}).items()]
    names = {"limit": "limit", "cursor": "cursor", "since": "since", "wait_s": "wait"}
    query += [(names[name], plain(value)) for name, value in given.items() if name in names]
    if query:
        target += f"?{urlencode(query)}"
    headers = {name: value for name, value in request.headers.items() if name not in _DROPPED}
    body = encoded(given["record"]) if "record" in given else b""
    if body:
        headers |= {"content-type": "application/json", "content-length": str(len(body))}
    for name, field in (("idempotency_key", "idempotency-key"), ("if_match", "if-match")):
        if name in given:
            headers[field] = _clean(name, given[name])
    twin = made_request(_METHODS.get(operation, "GET"), target, headers=headers, body=body, remote=request.remote)
    if request.told is None:
        request.told = []
    twin.told, twin._attributes = request.told, request.attributes
    for name in (
        "identity",
        "app",
        "request_id",
        "scheme",
        "certificate",
        "trace",
        "trace_state",
        "started",
        "deadline",
        "timeout_ms",
    ):
        setattr(twin, name, getattr(request, name))
    twin.pipe = request.pipe
    twin.parameters = {"key": key} if key else {}
    return twin


def _clean(name: str, value: str) -> str:
    if not value.isprintable() or not value.isascii():
        raise InvalidInput(f"{name}: printable ASCII only")
    return value


def split(pipe: Pipe) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """The stages of a service's pipe up to authenticate, and those behind it."""
    place = next(number for number, stage in enumerate(pipe.stages, 1) if isinstance(stage, Authenticate))
    return pipe.stages[:place], pipe.stages[place:]


def soap_entries(
    contract: Contract,
    pipes: Mapping[str, Pipe],
    views: Mapping[str, View] | None,
    charge: Sequence[Stage],
    read: Stage,
    public_url: str,
) -> list[tuple[Match, Pipe]]:
    """The paths of a service with a SOAP face. `pipes` are those of the JSON face by operation; `charge` admits and charges the app
    before the message is read, in place of the pipes' own limits; `read` is asked where the contract is."""
    like = next(iter(pipes.values()))
    outer = (*split(like)[0], *charge)
    charged = set(map(id, charge))
    inner = {
        name: Pipe(name, [each for each in split(pipe)[1] if id(each) not in charged], handler=pipe.handler)
        for name, pipe in pipes.items()
    }
    front = SoapFront(contract, inner, views or {}, public_url)
    return _entries(contract.service, like, outer, (*outer, read), front.call, front.describe)


def faceless_entries(name: str, pipe: Pipe, reason: str) -> list[tuple[Match, Pipe]]:
    """The paths of a service without one: it is said why."""

    async def refuse(request: Request) -> NoReturn:
        raise NotFound(f"service {name} has no SOAP face: {reason}; it is served as JSON at /v1/{name}", code="no_soap_face")

    outer = split(pipe)[0]
    return _entries(name, pipe, outer, outer, refuse, refuse)


def _entries(
    name: str, like: Pipe, outer: Sequence[Stage], describing: Sequence[Stage], call: Any, describe: Any
) -> list[tuple[Match, Pipe]]:
    limits: dict[str, Any] = {"timeout_s": like.timeout_s, "max_body_bytes": like.max_body_bytes}
    posting = Pipe(name, (Face(), *outer), handler=call, **limits)
    asking = Pipe(name, describing, handler=describe, **limits)
    path = f"/soap/{name}"
    return [(Match(path=path, methods=("POST",)), posting), (Match(path=path, methods=("GET",)), asking)]


def _conforms(stage: Face) -> RescueStage:
    return stage
