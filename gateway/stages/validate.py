"""Validate: requests against the JSON Schema of their body, or the OpenAPI document of the service; a refusal names the places.

The schemas are `gateway/json_schema.py`'s, the document is `gateway/openapi.py`'s. What goes upstream is what was checked.
"""

from functools import lru_cache, partial
from typing import Any

import msgspec

from config import policies
from core.errors import InvalidInput, NotFound
from gateway.changed_body import send_understood, worked
from gateway.json_schema import MAX_PROBLEMS, Schema
from gateway.json_text import decoded, encoded, is_json
from gateway.openapi import Body, Found, Operation, Operations
from gateway.stage import BodyStage, Outcome, Request, Stage

_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})


def make(policy: policies.Validate, where: str, *, strip: int = 0) -> Stage:
    """The stage of a policy; `where` is how errors name it. `strip`: how many segments the route takes off the path first. Raises
    ConfigError."""
    if policy.openapi is not None:
        return ValidateOperations(_operations(encoded(policy.openapi), f"{where}.openapi"), policy.max_body_bytes, strip)
    return ValidateBody(_schema(encoded(policy.schema), f"{where}.schema"), policy.max_body_bytes)


# Compiling a large document takes longer than a reload may: what has not changed since the last one is kept.


@lru_cache(maxsize=256)
def _operations(document: bytes, where: str) -> Operations:
    return Operations(msgspec.json.decode(document), where)


@lru_cache(maxsize=1024)
def _schema(document: bytes, where: str) -> Schema:
    return Schema(msgspec.json.decode(document), where)


class ValidateBody:
    """The JSON body of POST, PUT and PATCH, and of any other method that brings one."""

    name = "validate"

    def __init__(self, schema: Schema, max_bytes: int) -> None:
        self._schema = schema
        self._max_bytes = max_bytes

    def wants_body(self, request: Request) -> int:
        return self._max_bytes if request.verb in _WITH_BODY or request.body_length != 0 else 0

    def on_request(self, request: Request) -> Outcome:
        if request.verb not in _WITH_BODY and request.body_length == 0:
            return None
        kind = request.headers.get("content-type", "")
        if not is_json(kind):
            raise _unsupported(kind, "application/json")
        return _checked(self._schema, request)


class ValidateOperations:
    """Parameters and body of the operation that the request is. Unknown query parameters are let through."""

    name = "validate"

    def __init__(self, operations: Operations, max_bytes: int, strip: int) -> None:
        self._operations = operations
        self._max_bytes = max_bytes
        self._strip = strip

    def wants_body(self, request: Request) -> int:
        try:
            found = self._find(request)
        except ValueError:
            return 0
        body = _operation(found, request).body if found is not None and _method(found, request) else None
        if body is None or request.body_length == 0:
            return 0
        return self._max_bytes if body.find(request.headers.get("content-type", ""))[1] is not None else 0

    def on_request(self, request: Request) -> Outcome:
        try:
            found = self._find(request)
        except ValueError:
            raise InvalidInput("the path is no UTF-8") from None
        if found is None:
            raise NotFound("the service's description has no such path", code="no_route")
        if not _method(found, request):
            offered = ", ".join(sorted(method.upper() for method in found[0]))
            request.tell("Allow", offered)  # RFC 9110 §15.5.6
            raise InvalidInput(f"{request.method} is not offered here; {offered} is", code="method_not_allowed")
        operation = _operation(found, request)
        _check_parameters(operation, request, found[1])
        return _check_body(operation.body, request)

    def _find(self, request: Request) -> Found | None:
        """Kept with the request: the body is asked about first. Raises ValueError."""
        kept = request.attributes.get("validate", self)
        if kept is self:
            path = request.path
            if self._strip:
                path = "/" + "/".join(path[1:].split("/")[self._strip :])
            kept = request.attributes["validate"] = self._operations.find(path)
        found: Found | None = kept
        return found


def _method(found: Found, request: Request) -> str:
    """The key of the request's operation; empty where there is none. HEAD is a GET (RFC 9110 §9.3.2)."""
    method = request.method.lower()
    if method in found[0]:
        return method
    return "get" if method == "head" and "get" in found[0] else ""


def _operation(found: Found, request: Request) -> Operation:
    return found[0][_method(found, request)]


def _check_parameters(operation: Operation, request: Request, variables: dict[str, str]) -> None:
    problems: list[str] = []
    for parameter in operation.parameters:
        match parameter.place:
            case "path":
                given = [variables[parameter.name]] if parameter.name in variables else []
            case "query":
                given = [value for name, value in request.query if name == parameter.name]
            case "header":
                value = request.headers.get(parameter.name.lower())
                given = [] if value is None else [value]
        problems += parameter.problems(given)
    if request.query and not request.query[0][0]:
        problems.insert(0, "query: it is malformed: pairs of name=value, UTF-8, at most 100")
    if problems:
        raise InvalidInput("; ".join(problems[:MAX_PROBLEMS]))


def _check_body(body: Body | None, request: Request) -> Outcome:
    if request.body_length == 0:
        if body is not None and body.is_required:
            raise InvalidInput("body: it is required", code="body_invalid")
        return None
    if body is None:
        raise InvalidInput("body: this operation takes none", code="body_invalid")
    kind = request.headers.get("content-type", "")
    is_taken, schema = body.find(kind)
    if not is_taken:
        raise _unsupported(kind, ", ".join(body.schemas))
    return None if schema is None else _checked(schema, request)


def _checked(schema: Schema, request: Request) -> Outcome:
    """Raises InvalidInput (body_invalid) that names up to `MAX_PROBLEMS` places."""
    body = request.content or b""
    return worked(len(body), partial(_understood, schema, body), partial(send_understood, request, body))


def _understood(schema: Schema, body: bytes) -> bytes:
    try:
        value: Any = decoded(body)
        problems = schema.problems(value, "body")
        understood = encoded(value)
    except ValueError as error:
        raise InvalidInput(f"body: it is no JSON: {error}", code="body_invalid") from None
    if problems:
        raise InvalidInput("; ".join(problems), code="body_invalid")
    return understood


def _unsupported(kind: str, taken: str) -> InvalidInput:
    return InvalidInput(f"a body of type {kind[:80] or 'unknown'} is not taken; {taken} is", code="unsupported_media_type")


def _conforms(bodies: ValidateBody, operations: ValidateOperations) -> tuple[BodyStage, BodyStage]:
    return bodies, operations
