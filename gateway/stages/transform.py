"""Transform: rewrites requests on their way upstream, and answers on their way back, as the route declares. The last stage.

The templates are `gateway/templates.py`'s, header edits `gateway/header_edits.py`'s, XML is `gateway/xml_json.py`'s.
"""

from functools import partial
from typing import Any
from urllib.parse import quote, unquote_plus

from config import policies
from core.errors import ConfigError, InvalidInput, Unavailable
from gateway.changed_body import changed_headers, worked
from gateway.header_edits import AnswerHeaders, RequestHeaders
from gateway.json_text import decoded, encoded
from gateway.stage import AnswerStage, BodyStage, Outcome, Request, Response
from gateway.templates import Json, Text, json_body, path, query_value
from gateway.xml_json import from_xml, to_xml

_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})
_BODILESS = frozenset({204, 205, 304})
_XML_WEIGHT = 16
_JSON_TYPE = "application/json"
_XML_TYPE = "application/xml; charset=utf-8"


class Transform:
    """`where` is how errors name the policy, `strip` and `prefix` are the route's: where the target is rewritten, all of it is done
    here. A service (`is_service`) has no upstream: only its answers can be changed."""

    name = "transform"

    def __init__(
        self, policy: policies.Transform, where: str, *, strip: int = 0, prefix: str = "", is_service: bool = False
    ) -> None:
        if is_service:
            _check_service(policy, where)
        self._target = Target(policy, where, strip, prefix) if policy.path or policy.query_set or policy.query_remove else None
        edits = policy.request_headers, policy.answer_headers
        self._request_headers = RequestHeaders(edits[0], f"{where}.request_headers") if edits[0] else None
        self._answer_headers = AnswerHeaders(edits[1], f"{where}.answer_headers") if edits[1] else None
        self._request_body = _template(policy.request_body, f"{where}.request_body")
        self._answer_body = _template(policy.answer_body, f"{where}.answer_body")
        self._xml = policy.xml
        self._roots = policy.xml_root, policy.xml_answer_root
        self._read_xml = partial(from_xml, lists=frozenset(policy.xml_lists), strips=policy.xml_prefixes == "strip")
        self._max_bytes = policy.max_body_bytes
        self._changes_requests = self._request_body is not None or policy.xml is not None
        self._changes_answers = self._answer_body is not None or policy.xml is not None

    def wants_body(self, request: Request) -> int:
        return self._max_bytes if self._changes_requests and self._has_body(request) else 0

    def _has_body(self, request: Request) -> bool:
        return request.body_length != 0 or (self._request_body is not None and request.verb in _WITH_BODY)

    def on_request(self, request: Request) -> Outcome:
        if self._target is not None:
            request.upstream_target = self._target.made(request)
        if self._changes_answers:
            request.set_header("Accept-Encoding", "identity")
            request.remove_header("Range")  # a part of a document is no document
            request.remove_header("If-Range")
        if self._changes_requests and self._has_body(request):
            body = request.content or b""
            return worked(self._weight(body), partial(self._sent, request, body), partial(self._send, request))
        self._edit(request)
        return None

    def _weight(self, body: bytes) -> int:
        """Bytes of JSON that would be as much work: an element takes a Python call."""
        return len(body) if self._xml is None else len(body) * _XML_WEIGHT

    def _edit(self, request: Request) -> None:
        if self._request_headers is not None:
            self._request_headers.apply(request)

    def _send(self, request: Request, body: bytes) -> None:
        request.replace_body(body, _XML_TYPE if self._xml == "upstream" else _JSON_TYPE)
        self._edit(request)  # after the body, so that an edit may say another Content-Type

    def _sent(self, request: Request, body: bytes) -> bytes:
        """The body as it goes upstream."""
        if body and request.headers.get("content-encoding", "identity") != "identity":
            raise InvalidInput("body: it must come without Content-Encoding", code="body_invalid")
        is_xml = self._xml == "client"
        try:
            value = (self._read_xml(body) if is_xml else decoded(body)) if body else None
        except ValueError as error:
            raise InvalidInput(f"body: it is no {'XML' if is_xml else 'JSON'}: {error}", code="body_invalid") from None
        if self._request_body is not None:
            value = self._request_body(request, value)
        if self._xml == "upstream":
            return to_xml(value, self._roots[0])
        return encoded(value)

    def collects(self, request: Request, response: Response) -> int:
        return self._max_bytes if self._works_on(request, response) else 0

    def _works_on(self, request: Request, response: Response) -> bool:
        """Errors keep their bodies, unless they are to be translated and can be."""
        if not self._changes_answers or response.status in _BODILESS or request.verb == b"HEAD" or response.stream is not None:
            return False
        if response.status < 400:
            return True
        kind = response.header("Content-Type").lower()
        return ("xml" in kind and self._xml == "upstream") or ("json" in kind and self._xml == "client")

    def on_response(self, request: Request, response: Response) -> Outcome:
        if not self._works_on(request, response):
            if self._changes_answers and request.verb == b"HEAD":
                response.headers = changed_headers(response.headers)  # its length would be another's
            self._finish(request, response, None)
            return None
        if response.header("Content-Encoding").lower() not in ("", "identity"):
            raise Unavailable("the answer came compressed although the plain form was asked for", code="upstream_malformed")
        body = response.body
        return worked(
            self._weight(body), partial(self._answered, request, response.status, body), partial(self._finish, request, response)
        )

    def _answered(self, request: Request, status: int, body: bytes) -> bytes:
        """The body as the client gets it."""
        is_xml = self._xml == "upstream"
        if not body and self._answer_body is None:
            return b""
        try:
            value = (self._read_xml(body) if is_xml else decoded(body)) if body else None
            if self._answer_body is not None and status < 400:
                value = self._answer_body(request, value)
            return to_xml(value, self._roots[1]) if self._xml == "client" else encoded(value)
        except (ValueError, InvalidInput) as error:
            shown = error.detail if isinstance(error, InvalidInput) else str(error)
            text = f"the answer can't be translated: as {'XML' if is_xml else 'JSON'}: {shown}"
            raise Unavailable(text, code="upstream_malformed") from None

    def _finish(self, request: Request, response: Response, body: bytes | None) -> None:
        if body is not None:
            response.headers = changed_headers(response.headers)
            response.set_header("Content-Type", _XML_TYPE if self._xml == "client" else _JSON_TYPE)
            response.body = body
        if self._answer_headers is not None:
            self._answer_headers.apply(request, response)


class Target:
    """The request target that is sent upstream."""

    def __init__(self, policy: policies.Transform, where: str, strip: int, prefix: str) -> None:
        self._path: Text | None = path(policy.path, f"{where}.path") if policy.path else None
        self._strip = strip
        self._prefix = prefix.encode()
        self._dropped = frozenset((*policy.query_remove, *policy.query_set))
        self._set = [
            (quote(name, safe="") + "=", query_value(text, f"{where}.query_set.{name}")) for name, text in policy.query_set.items()
        ]

    def made(self, request: Request) -> bytes:
        """Raises InvalidInput where the path can't be made."""
        old_path, _, query = request.target.partition(b"?")
        new_path = self._path(request).encode() if self._path is not None else self._moved(old_path)
        if self._dropped:
            pairs = [pair for pair in query.split(b"&") if pair and _name(pair) not in self._dropped] if query else []
            pairs += [(name + text(request)).encode() for name, text in self._set]
            query = b"&".join(pairs)
        return b"%b?%b" % (new_path, query) if query else new_path

    def _moved(self, old: bytes) -> bytes:
        if self._strip:
            rest = old.split(b"/", self._strip + 1)[self._strip + 1 :]
            old = b"/" + rest[0] if rest else b""
        return self._prefix + old or b"/"


def _name(pair: bytes) -> str:
    return unquote_plus(pair.partition(b"=")[0].decode("ascii", "replace"))


def _template(template: Any, where: str) -> Json | None:
    return None if template is None else json_body(template, where)


def _check_service(policy: policies.Transform, where: str) -> None:
    for name in ("path", "query_set", "query_remove", "request_headers", "request_body", "xml"):
        if getattr(policy, name):
            raise ConfigError(f"{where}.{name}: a data service has no upstream; only answer_headers and answer_body can be used")


def _conforms(stage: Transform) -> tuple[BodyStage, AnswerStage]:
    return stage, stage
