"""Sense of webhooks: that their owner may read what is delivered, that secrets are strong and addresses networks. Pure."""

import base64
import binascii
from collections.abc import Iterator

from config.check_references import References
from config.check_values import address_problems
from config.model import Platform
from config.problem import Path, Problem
from config.secret_text import SEALED
from config.webhooks import Webhook

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)  # Standard Webhooks 1.0, "Signature scheme"


def signing_key(text: str) -> bytes:
    """The HMAC key of a secret: base64 after `whsec_`, or else the text's own bytes. ValueError for what is no base64."""
    if not text.startswith(_PREFIX):
        return text.encode()
    try:
        return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ is no base64") from None


def webhook_key(text: str) -> bytes:
    """The key of a webhook's secret. ValueError where it is not 24 to 64 bytes."""
    key = signing_key(text)
    if len(key) not in _KEY_BYTES:
        raise ValueError(f"a secret has 24 to 64 bytes, this one {len(key)}")
    return key


def secret_problem(kind: str, field: str, text: str) -> str | None:
    """What is wrong with a secret in clear, of a field of a resource of that kind; None where nothing is. Asked by who seals it:
    sealed, nobody can tell."""
    check = {("webhook", "secrets"): webhook_key, ("contact", "webhook_secret"): signing_key}.get((kind, field))
    if check is not None:
        try:
            check(text)
        except ValueError as error:
            return str(error)
    return None


def refusal(platform: Platform, app: str, service: str) -> str | None:
    """Why changes of a declared service must not go out in the name of a declared app; None where they may. Default deny."""
    declared, owner = platform.services[service], platform.apps[app]
    if declared.dataset is None:
        return f"service '{service}' is {declared.kind}: it has no dataset whose changes could be told"
    if f"{service}:read" not in owner.scopes:
        return f"app '{app}' lacks the scope {service}:read"
    grant = owner.grants.get(service)
    if grant is not None and grant.operations and "changes" not in grant.operations:
        return f"the grant of app '{app}' for service '{service}' leaves out the operation changes"
    return None


def is_live(platform: Platform, webhook: Webhook, service: str) -> bool:
    """Whether a webhook tells of a service now: all that takes part is declared, enabled and allowed."""
    owner, declared = platform.apps.get(webhook.app), platform.services.get(service)
    if owner is None or declared is None or not (webhook.enabled and owner.enabled and declared.enabled):
        return False
    proxy = platform.proxies.get(owner.proxy) if owner.proxy is not None else None
    if owner.proxy is not None and (proxy is None or not proxy.enabled):
        return False
    return refusal(platform, webhook.app, service) is None


def webhook_problems(references: References) -> Iterator[Problem]:
    """All of them."""
    for name, webhook in references.platform.webhooks.items():
        path = ("webhooks", name)
        yield from references.missing("app", webhook.app, (*path, "app"))
        yield from _services(references, webhook, path)
        yield from address_problems(webhook.allow_private, (*path, "allow_private"))
        yield from _secrets(webhook, path)
        if webhook.url.startswith("http://") and not webhook.allow_private:
            yield Problem((*path, "url"), "use https://; plain http:// goes only to networks that allow_private lists")
        if webhook.max_delay_s < webhook.first_delay_s:
            yield Problem((*path, "max_delay_s"), f"is shorter than first_delay_s ({webhook.first_delay_s:g})")


def _services(references: References, webhook: Webhook, path: Path) -> Iterator[Problem]:
    platform = references.platform
    for index, service in enumerate(webhook.services):
        at = (*path, "services", str(index))
        yield from references.missing("service", service, at)
        if webhook.services.index(service) != index:
            yield Problem(at, f"service '{service}' stands here twice")
        if service in platform.services and webhook.app in platform.apps:
            reason = refusal(platform, webhook.app, service)
            if reason is not None:
                yield Problem(at, reason)


def _secrets(webhook: Webhook, path: Path) -> Iterator[Problem]:
    for index, secret in enumerate(webhook.secrets):
        if secret.reveal().startswith(SEALED):
            continue  # it is looked at where it is sealed
        try:
            webhook_key(secret.reveal())
        except ValueError as error:
            yield Problem((*path, "secrets", str(index)), str(error))
