"""Sense of who calls and what they may: scopes, grants, addresses, devices, lists. Pure."""

from collections.abc import Iterator

from config.check_jwk import jwk_problems
from config.check_references import References
from config.check_values import address_problems
from config.model import App, Service
from config.policies import Grant
from config.problem import Path, Problem, suggestion

_OPERATIONS = {
    "asynchronous": ("get", "query", "changes"),
    "synchronous": ("get", "query", "changes", "create", "update", "replace", "delete"),
    "realtime": ("get",),
}


def caller_problems(references: References) -> Iterator[Problem]:
    """Of proxies, apps, devices and lists."""
    platform = references.platform
    for name, proxy in platform.proxies.items():
        yield from address_problems(proxy.addresses, ("proxies", name, "addresses"))
        yield from address_problems(proxy.denied, ("proxies", name, "denied"))
    for name, app in platform.apps.items():
        yield from _app(app, references, ("apps", name))
    yield from _devices(references)
    yield from _lists(references)


def _app(app: App, references: References, path: Path) -> Iterator[Problem]:
    yield from references.missing("plan", app.plan, (*path, "plan"))
    if app.proxy is not None:
        yield from references.missing("proxy", app.proxy, (*path, "proxy"))
    yield from address_problems(app.addresses, (*path, "addresses"))
    yield from address_problems(app.denied, (*path, "denied"))
    for index, scope in enumerate(app.scopes):
        yield from _scope(scope, references, (*path, "scopes", str(index)))
    for name, grant in app.grants.items():
        yield from _grant(name, grant, references, (*path, "grants", name))


def _scope(scope: str, references: References, path: Path) -> Iterator[Problem]:
    name, _, right = scope.partition(":")
    platform = references.platform
    if right == "call":
        if name in platform.services:
            yield Problem(path, f"'{name}' is a service, which is read or written; only {name}:read or {name}:write makes sense")
        else:
            yield from references.missing("route", name, path)
    elif name in platform.routes and name not in platform.services:
        yield Problem(path, f"'{name}' is a route, which is called; only {name}:call makes sense")
    elif name not in platform.services:
        yield from references.missing("service", name, path)
    elif right == "write" and (kind := platform.services[name].kind) != "synchronous":
        yield Problem(path, f"service '{name}' is {kind} and can't be written; only {name}:read makes sense")


def _grant(name: str, grant: Grant, references: References, path: Path) -> Iterator[Problem]:
    platform = references.platform
    if (service := platform.services.get(name)) is not None:
        yield from _operations(grant, _OPERATIONS[service.kind], f"service '{name}', which is {service.kind}", path)
        yield from _fields(grant, service, references, path)
    elif name in platform.routes:
        wrong = [each for each in grant.operations if not (each.isascii() and each.isalpha() and each.isupper())]
        for each in wrong:
            at = (*path, "operations", str(grant.operations.index(each)))
            yield Problem(at, f"'{each}' is no HTTP method in upper case, which a route's operations are")
    elif not references.is_broken("services", name) and not references.is_broken("routes", name):
        near = suggestion(name, {**platform.services, **platform.routes})
        yield Problem(path, f"neither a service nor a route is named '{name}'{near}")


def _operations(grant: Grant, known: tuple[str, ...], of: str, path: Path) -> Iterator[Problem]:
    for index, each in enumerate(grant.operations):
        if each not in known:
            yield Problem((*path, "operations", str(index)), f"'{each}' is no operation of {of}{suggestion(each, known)}")


def _fields(grant: Grant, service: Service, references: References, path: Path) -> Iterator[Problem]:
    """Of a service with a dataset the fields are known; below a JSON field anything may be."""
    source_name, _, dataset_name = (service.dataset or "").partition(".")
    source = references.platform.sources.get(source_name)
    dataset = source.datasets.get(dataset_name) if source is not None else None
    if dataset is None:
        return
    named = [((*path, "fields", str(index)), name) for index, name in enumerate(grant.fields)]
    named += [((*path, "masks", name), name) for name in grant.masks]
    for at, name in named:
        first, dot, _ = name.partition(".")
        if first not in dataset.fields:
            yield Problem(at, f"field '{first}' is not declared in {service.dataset}{suggestion(first, dataset.fields)}")
        elif dot and dataset.field(first).type != "json":
            yield Problem(at, f"field '{first}' is {dataset.field(first).type} and has nothing inside")


def _devices(references: References) -> Iterator[Problem]:
    seen: dict[tuple[tuple[str, str], ...], str] = {}
    for name, device in references.platform.devices.items():
        path = ("devices", name)
        yield from references.missing("app", device.app, (*path, "app"))
        yield from jwk_problems(device.key, (*path, "key"))
        # What RFC 7638 makes a thumbprint of: the same key under another `kid` is the same device.
        known = seen.setdefault(tuple((part, device.key.get(part, "")) for part in ("kty", "crv", "x", "y", "n", "e")), name)
        if known != name:
            yield Problem((*path, "key"), f"is the key of device '{known}' already")


def _lists(references: References) -> Iterator[Problem]:
    for name, each in references.platform.lists.items():
        path = ("lists", name)
        yield from address_problems(each.addresses, (*path, "addresses"))
        for index, app in enumerate(each.apps):
            yield from references.missing("app", app, (*path, "apps", str(index)))
        for index, device in enumerate(each.devices):
            yield from references.missing("device", device, (*path, "devices", str(index)))
        if not (each.addresses or each.apps or each.devices or each.users):
            yield Problem(path, f"lists nobody; give addresses, apps, devices or users to {each.action}")
