"""What the wire modules raise for a message that must not be understood: one answer, then the connection is closed."""


class Refused(Exception):
    """`status` and `code` as docs/errors.md lists them; `detail` is one line for people and holds nothing the sender wrote."""

    __slots__ = ("code", "detail", "status")

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(status, code, detail)
        self.status = status
        self.code = code
        self.detail = detail


def malformed(detail: str) -> Refused:
    return Refused(400, "malformed_request", detail)


def ambiguous(detail: str) -> Refused:
    """Two readers could disagree about where the message ends (RFC 9112 §11.2)."""
    return Refused(400, "ambiguous_framing", detail)


def upstream_malformed(detail: str) -> Refused:
    return Refused(502, "upstream_malformed", detail)
