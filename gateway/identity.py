"""Who a request comes from, as the stages find out; kept under `request.attributes["identity"]`."""

from msgspec import Struct

from core.errors import Unauthenticated
from core.http import Request


class Identity(Struct, frozen=True):
    """An authenticated app and what its token allows."""

    app: str
    key: str
    scopes: frozenset[str]


def identity_of(request: Request) -> Identity:
    """Unauthenticated where no stage has found out."""
    identity = request.attributes.get("identity")
    if not isinstance(identity, Identity):
        raise Unauthenticated("this request needs a token: send `Authorization: Bearer <token>`")
    return identity
