"""Who a request comes from, as the authenticate stage finds out; kept as `request.identity`."""

from typing import Literal

from msgspec import Struct

Means = Literal["bearer", "key", "signature", "ca", "certificate"]
"""How the caller proved who it is; `config.policies.Kind` lists the same."""


class Identity(Struct, frozen=True):
    """An authenticated app and what its credential allows.

    `scopes` None: all that the app itself has (a credential without scopes of its own). `session` is the id by which the token
    can be revoked. `device` is set where the request was proved by a device's key, `user` where a third party's token names a
    person, `actor` the proxy that acts for the app (RFC 8693).
    """

    app: str
    key: str
    scopes: frozenset[str] | None = None
    means: Means = "bearer"
    session: str = ""
    device: str = ""
    user: str = ""
    actor: str = ""
