"""Who a request comes from, as the authenticate stage finds out; kept as `request.identity`."""

from typing import Literal

Means = Literal["bearer", "key", "signature", "ca", "certificate"]
"""How the caller proved who it is; `config.policies.Kind` lists the same."""


class Identity:
    """An authenticated app and what its credential allows. Never changed once it is made: memos share it.

    `scopes` None: all that the app itself has (a credential without scopes of its own). `session` is the id by which the token
    can be revoked. `device` is set where the request was proved by a device's key, `user` where a third party's token names a
    person, `actor` the proxy that acts for the app (RFC 8693).
    """

    __slots__ = ("actor", "app", "device", "key", "means", "scopes", "session", "user")

    def __init__(
        self,
        app: str,
        key: str,
        scopes: "frozenset[str] | None" = None,
        means: Means = "bearer",
        session: str = "",
        device: str = "",
        user: str = "",
        actor: str = "",
    ) -> None:
        self.app = app
        self.key = key
        self.scopes = scopes
        self.means: Means = means
        self.session = session
        self.device = device
        self.user = user
        self.actor = actor

    def _parts(self) -> tuple[object, ...]:
        return self.app, self.key, self.scopes, self.means, self.session, self.device, self.user, self.actor

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Identity) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self._parts())

    def __repr__(self) -> str:
        return f"Identity{self._parts()}"
