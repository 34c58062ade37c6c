"""Authorise: may this app do this here. Default deny: an app that is unknown, disabled, off its addresses, on a black list or
without the scope is refused (requirements 0.37, 0.38, 0.39)."""

from collections.abc import Iterable, Mapping

from config.model import AccessList, App, Platform, Proxy
from core.errors import Forbidden, Unauthenticated
from gateway.addresses import Networks
from gateway.identity import Identity
from gateway.stage import Outcome, Request, Stage

_MEMO_ENTRIES = 16_384


class Admission:
    """The apps of one snapshot, with the address lists of their own and their proxies', and the platform's black and white
    lists. What it knows never changes, so that a memo may keep who was let in."""

    def __init__(self, platform: Platform) -> None:
        self._apps: Mapping[str, App] = platform.apps
        self._disabled_proxies = {name for name, proxy in platform.proxies.items() if not proxy.enabled}
        proxies = {name: _Addresses(proxy) for name, proxy in platform.proxies.items()}
        self._addresses = {
            name: tuple(each for each in (_Addresses(app), proxies.get(app.proxy or "")) if each)
            for name, app in platform.apps.items()
        }
        lists = [each for each in platform.lists.values() if each.enabled]
        self._lists = {kind: _Names(lists, kind) for kind in ("apps", "devices", "users")}
        self._disabled_devices = {name for name, device in platform.devices.items() if not device.enabled}
        self._judges_holders = bool(self._lists["devices"] or self._lists["users"] or self._disabled_devices)
        self._memo: dict[tuple[str, str], App] = {}

    def admit(self, name: str, remote: str) -> App:
        """The app, if it may call from there. Raises Unauthenticated or Forbidden."""
        known = self._memo.get((name, remote))
        if known is not None:
            return known
        app = self._judged(name, remote)
        if len(self._memo) >= _MEMO_ENTRIES:
            self._memo.clear()
        self._memo[name, remote] = app
        return app

    def admit_caller(self, identity: Identity, remote: str) -> App:
        """The same for one who has proved who it is: its device and user may be listed too."""
        app = self.admit(identity.app, remote)
        if self._judges_holders:
            self._judge_holders(identity)
        return app

    def _judged(self, name: str, remote: str) -> App:
        app = self._apps.get(name)
        if app is None:
            raise Unauthenticated("the app of this token no longer exists", code="app_gone")
        if not app.enabled:
            raise Forbidden(f"app {name} is disabled", code="app_disabled")
        if app.proxy in self._disabled_proxies:
            raise Forbidden(f"proxy {app.proxy} of app {name} is disabled", code="proxy_disabled")
        if not self._lists["apps"].admits(name):
            raise Forbidden(f"app {name} is refused by an access list", code="app_refused")
        if not all(each.admits(remote) for each in self._addresses[name]):
            raise Forbidden(f"app {name} may not call from {remote or 'nowhere'}", code="address_refused")
        return app

    def _judge_holders(self, identity: Identity) -> None:
        device, user = identity.device, identity.user
        if device in self._disabled_devices:
            raise Forbidden(f"device {device} is disabled", code="device_refused")
        if device and not self._lists["devices"].admits(device):
            raise Forbidden(f"device {device} is refused by an access list", code="device_refused")
        if user and not self._lists["users"].admits(user):
            raise Forbidden("this user is refused by an access list", code="user_refused")


class _Addresses:
    """The two address lists of an app or a proxy; false where it has none."""

    def __init__(self, owner: App | Proxy) -> None:
        self._allowed = Networks(owner.addresses)
        self._denied = Networks(owner.denied)

    def __bool__(self) -> bool:
        return bool(self._allowed or self._denied)

    def admits(self, remote: str) -> bool:
        return remote not in self._denied and (not self._allowed or remote in self._allowed)


class _Names:
    """All lists of one kind of name; `kind` is the field of config.model.AccessList. False where no list names any."""

    def __init__(self, lists: Iterable[AccessList], kind: str) -> None:
        self._denied: frozenset[str] = frozenset()
        self._allowed: frozenset[str] = frozenset()
        for each in lists:
            names = frozenset(getattr(each, kind))
            if each.action == "deny":
                self._denied |= names
            else:
                self._allowed |= names

    def __bool__(self) -> bool:
        return bool(self._denied or self._allowed)

    def admits(self, name: str) -> bool:
        return name not in self._denied and (not self._allowed or name in self._allowed)


class Authorise:
    """Requires one scope on one service or route (`target`), and that the app's grant for it, where it has one with operations,
    names the operation. `operation` None: the request's method is the operation (routes). `scope` None: it only has to be let
    in."""

    name = "authorise"

    def __init__(self, admission: Admission, scope: str | None, target: str, operation: str | None = None) -> None:
        self._admission = admission
        self._scope = scope
        self._target = target
        self._operation = operation

    def on_request(self, request: Request) -> Outcome:
        identity = request.identity
        if identity is None:
            raise Unauthenticated("this request needs a token or another credential", code="token_missing")
        app = self._admission.admit_caller(identity, request.remote)
        scope = self._scope
        if scope is not None and (scope not in app.scopes or (identity.scopes is not None and scope not in identity.scopes)):
            raise Forbidden(f"app {identity.app} has no scope {scope}", code="scope_missing")
        if app.grants:
            self._check_grant(app, identity.app, request)
        request.app = app
        return None

    def _check_grant(self, app: App, name: str, request: Request) -> None:
        grant = app.grants.get(self._target)
        if grant is None or not grant.operations:
            return
        operation = self._operation or request.method
        if operation not in grant.operations:
            raise Forbidden(f"app {name} may not {operation} on {self._target}", code="operation_refused")


def _conforms(stage: Authorise) -> Stage:
    return stage
