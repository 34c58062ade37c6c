"""Sense of who may call from where: black and white lists, denied addresses, grants that narrow a scope. Pure."""

from collections.abc import Iterator, Mapping

from config.check_values import address_problems
from config.model import AccessList, App, Platform
from config.policies import Grant
from config.problem import Path, Problem, suggestion

SERVICE_OPERATIONS = ("get", "query", "changes", "create", "update", "replace", "delete")


def list_problems(platform: Platform) -> Iterator[Problem]:
    """Of `lists`, and of `denied` of apps and proxies."""
    for name, each in platform.lists.items():
        yield from _list(each, ("lists", name), platform)
    denied = {("apps", name): app.denied for name, app in platform.apps.items()}
    denied |= {("proxies", name): proxy.denied for name, proxy in platform.proxies.items()}
    for path, addresses in denied.items():
        yield from address_problems(addresses, (*path, "denied"))


def _list(each: AccessList, path: Path, platform: Platform) -> Iterator[Problem]:
    if not (each.addresses or each.apps or each.devices or each.users):
        yield Problem(path, "names nobody; give addresses, apps, devices or users")
    yield from address_problems(each.addresses, (*path, "addresses"))
    known: tuple[tuple[str, tuple[str, ...], Mapping[str, object]], ...] = (
        ("apps", each.apps, platform.apps),
        ("devices", each.devices, platform.devices),
    )
    for section, names, declared in known:
        for index, name in enumerate(names):
            if name not in declared:
                text = f"'{name}' is not declared in {section}{suggestion(name, declared)}"
                yield Problem((*path, section, str(index)), text)


def grant_problems(platform: Platform) -> Iterator[Problem]:
    """Of `grants` of apps: each is for a service or route that the app has a scope of, its operations exist there."""
    for name, app in platform.apps.items():
        for target, grant in app.grants.items():
            yield from _grant(platform, app, target, grant, ("apps", name, "grants", target))


def _grant(platform: Platform, app: App, target: str, grant: Grant, path: Path) -> Iterator[Problem]:
    is_service, is_route = target in platform.services, target in platform.routes
    if not (is_service or is_route):
        near = suggestion(target, {**platform.services, **platform.routes})
        yield Problem(path, f"'{target}' is not declared in services or routes{near}")
        return
    if not any(scope.partition(":")[0] == target for scope in app.scopes):
        yield Problem(path, f"the app has no scope of {target}; a grant narrows a scope, it gives none")
    for index, operation in enumerate(grant.operations):
        at = (*path, "operations", str(index))
        if is_service and operation not in SERVICE_OPERATIONS:
            yield Problem(at, f"'{operation}' is no operation of a service; they are {', '.join(SERVICE_OPERATIONS)}")
        elif is_route and not is_service and not (operation.isascii() and operation.isalpha() and operation.isupper()):
            yield Problem(at, f"'{operation}' is no HTTP method, such as GET")
