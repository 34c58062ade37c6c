"""Authorise: may this app do this here. Default deny: an app that is unknown, disabled, off its addresses or without the scope
is refused (requirements 0.38, 0.39)."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from config.model import App, Platform
from core.errors import Forbidden, Unauthenticated
from gateway.stage import Outcome, Request, Stage

_Networks = tuple[IPv4Network | IPv6Network, ...]


def _networks(addresses: tuple[str, ...]) -> _Networks:
    return tuple(ip_network(address, strict=False) for address in addresses)


def _address(remote: str) -> IPv4Address | IPv6Address | None:
    """None for a caller without an address. An IPv4 caller of a dual-stack listener (`::ffff:10.0.0.1`) is an IPv4 caller."""
    try:
        address = ip_address(remote)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class Admission:
    """The apps of one snapshot, with their own and their proxies' address lists compiled."""

    def __init__(self, platform: Platform) -> None:
        self._apps: Mapping[str, App] = platform.apps
        self._disabled_proxies = {name for name, proxy in platform.proxies.items() if not proxy.enabled}
        proxies = {name: _networks(proxy.addresses) for name, proxy in platform.proxies.items()}
        self._lists: dict[str, tuple[_Networks, ...]] = {
            name: tuple(nets for nets in (_networks(app.addresses), proxies.get(app.proxy or "", ())) if nets)
            for name, app in platform.apps.items()
        }

    def admit(self, name: str, remote: str) -> App:
        """The app, if it may call from there. Raises Unauthenticated or Forbidden."""
        app = self._apps.get(name)
        if app is None:
            raise Unauthenticated("the app of this token no longer exists", code="app_gone")
        if not app.enabled:
            raise Forbidden(f"app {name} is disabled", code="app_disabled")
        if app.proxy in self._disabled_proxies:
            raise Forbidden(f"proxy {app.proxy} of app {name} is disabled", code="proxy_disabled")
        lists = self._lists[name]
        if lists:
            address = _address(remote)
            if address is None or not all(any(address in network for network in networks) for networks in lists):
                raise Forbidden(f"app {name} may not call from {remote}", code="address_refused")
        return app


class Authorise:
    """Requires one scope on one service or route."""

    name = "authorise"

    def __init__(self, admission: Admission, scope: str) -> None:
        self._admission = admission
        self._scope = scope

    def on_request(self, request: Request) -> Outcome:
        identity = request.identity
        app = self._admission.admit(identity.app, request.remote)
        if self._scope not in app.scopes or (identity.scopes is not None and self._scope not in identity.scopes):
            raise Forbidden(f"app {identity.app} has no scope {self._scope}", code="scope_missing")
        request.app = app
        return None


def _conforms(stage: Authorise) -> Stage:
    return stage
