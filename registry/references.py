"""Who refers to a declared resource: what stands in the way of deleting it. Pure."""

from collections.abc import Callable, Iterator

from config.model import Platform


def referrers(kind: str, name: str, platform: Platform) -> list[str]:
    """The resources that name this one, such as `app shop`, in the order of the model; empty when it may go."""
    find = _BY_KIND.get(kind)
    return list(find(name, platform)) if find else []


def _of_plan(name: str, platform: Platform) -> Iterator[str]:
    return (f"app {app}" for app, body in platform.apps.items() if body.plan == name)


def _of_proxy(name: str, platform: Platform) -> Iterator[str]:
    return (f"app {app}" for app, body in platform.apps.items() if body.proxy == name)


def _of_source(name: str, platform: Platform) -> Iterator[str]:
    for service, body in platform.services.items():
        is_dataset_of_it = (body.dataset or "").startswith(f"{name}.")
        if is_dataset_of_it or (body.call is not None and body.call.source == name):
            yield f"service {service}"
    yield from (f"job {job}" for job, body in platform.jobs.items() if body.dataset.startswith(f"{name}."))


def _of_service(name: str, platform: Platform) -> Iterator[str]:
    for app, body in platform.apps.items():
        if name in body.grants or any(scope.partition(":")[0] == name for scope in body.scopes):
            yield f"app {app}"
    yield from (f"webhook {webhook}" for webhook, body in platform.webhooks.items() if name in body.services)


def _of_app(name: str, platform: Platform) -> Iterator[str]:
    yield from (f"device {device}" for device, body in platform.devices.items() if body.app == name)
    yield from (f"route {route}" for route, body in platform.routes.items() if any(name in each.apps for each in body.splits))
    yield from (f"list {each}" for each, body in platform.lists.items() if name in body.apps)
    yield from (f"webhook {webhook}" for webhook, body in platform.webhooks.items() if body.app == name)


def _of_device(name: str, platform: Platform) -> Iterator[str]:
    return (f"list {each}" for each, body in platform.lists.items() if name in body.devices)


def _of_issuer(name: str, platform: Platform) -> Iterator[str]:
    return (f"app {app}" for app, body in platform.apps.items() if name in body.subjects)


def _of_contact(name: str, platform: Platform) -> Iterator[str]:
    yield from (f"job {job}" for job, body in platform.jobs.items() if body.alert == name)
    yield from (f"contact {contact}" for contact, body in platform.contacts.items() if body.escalate_to == name)


def _of_upstream(name: str, platform: Platform) -> Iterator[str]:
    for route, body in platform.routes.items():
        named = {body.upstream, *(each.upstream for each in body.splits), *([body.shadow.upstream] if body.shadow else [])}
        if name in named:
            yield f"route {route}"


_BY_KIND: dict[str, Callable[[str, Platform], Iterator[str]]] = {
    "plan": _of_plan,
    "issuer": _of_issuer,
    "proxy": _of_proxy,
    "app": _of_app,
    "device": _of_device,
    "contact": _of_contact,
    "source": _of_source,
    "service": _of_service,
    "upstream": _of_upstream,
    "route": _of_service,
}
