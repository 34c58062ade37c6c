"""Header edits of the transform stage: what is taken away, set and added, compiled to bytes where nothing varies."""

from config.policies import HeaderEdit
from core.errors import ConfigError
from gateway.http1.message import made_request
from gateway.stage import Request, Response
from gateway.templates import Text, constant_text, header_value

_FRAMING = frozenset({
    "connection", "content-length", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
"""Fields of the connection (RFC 9110 §7.6.1): an edit would make the message ambiguous."""


_GATEWAYS = frozenset({
    "host", "traceparent", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "x-zhiyun-app", "x-zhiyun-user",
})  # fmt: skip
"""Fields that the gateway itself says to the upstream: an edit would make a second one."""


class RequestHeaders:
    """Edits of what goes upstream. An edit of Authorization takes the client's own away."""

    def __init__(self, edit: HeaderEdit, where: str) -> None:
        _checked(edit, where, _GATEWAYS)
        self._has_credential = "authorization" in {name.lower() for name in _names(edit)}
        self._gone = frozenset(name.lower().encode() for name in (*edit.remove, *edit.set, *edit.secret))
        self._lines = [(name, header_value(text, f"{where}.{name}")) for name, text in (*edit.set.items(), *edit.add.items())]
        self._lines += [(name, constant_text(secret.reveal())) for name, secret in edit.secret.items()]
        texts = (*edit.set.values(), *edit.add.values())
        self._constant = None if any("{" in text for text in texts) else self._filled(made_request("GET", "/"))

    def apply(self, request: Request) -> None:
        if self._has_credential:
            request.authorization = b""
        if self._gone:
            if request.removed is None:
                request.removed = set(self._gone)
            else:
                request.removed |= self._gone
            if request.added:
                request.added = [line for line in request.added if line.partition(b":")[0].lower() not in self._gone]
        lines = self._constant if self._constant is not None else self._filled(request)
        if request.added is None:
            request.added = list(lines)
        else:
            request.added += lines

    def _filled(self, request: Request) -> list[bytes]:
        return [f"{name}: {text(request)}\r\n".encode("utf-8", "replace") for name, text in self._lines]


class AnswerHeaders:
    """Edits of what the client gets."""

    def __init__(self, edit: HeaderEdit, where: str) -> None:
        _checked(edit, where, frozenset())
        self._gone = frozenset(name.lower() for name in (*edit.remove, *edit.set))
        lines = (*edit.set.items(), *edit.add.items())
        self._lines: list[tuple[str, Text]] = [(name, header_value(text, f"{where}.{name}")) for name, text in lines]
        self._constant = None if any("{" in text for _, text in lines) else self._filled(made_request("GET", "/"))

    def apply(self, request: Request, response: Response) -> None:
        kept = [pair for pair in response.headers if pair[0].lower() not in self._gone] if self._gone else response.headers
        response.headers = kept + (self._constant if self._constant is not None else self._filled(request))

    def _filled(self, request: Request) -> list[tuple[str, str]]:
        return [(name, text(request)) for name, text in self._lines]


def _names(edit: HeaderEdit) -> tuple[str, ...]:
    return (*edit.remove, *edit.set, *edit.add, *edit.secret)


def _checked(edit: HeaderEdit, where: str, refused: frozenset[str]) -> None:
    for name in _names(edit):
        if name.lower() in _FRAMING:
            raise ConfigError(f"{where}: {name} belongs to the connection and can't be edited")
        if name.lower() in refused:
            hint = "; see `host` of the upstream" if name.lower() == "host" else ""
            raise ConfigError(f"{where}: {name} is the gateway's own and can't be edited{hint}")
