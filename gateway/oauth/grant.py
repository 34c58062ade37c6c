"""What a token is to be made of, once it is decided."""

from collections.abc import Sequence

from msgspec import Struct

from config.model import App
from core.errors import Forbidden, Unauthenticated
from gateway.oauth.client import Form, Refused
from gateway.stages.authorise import Admission


class Grant(Struct, frozen=True):
    """A token for the app with these scopes, sorted; `actor` is the proxy that will act for it, or empty."""

    app: str
    scopes: Sequence[str]
    lifetime_s: int
    actor: str = ""


def narrowed(form: Form, allowed: Sequence[str]) -> list[str]:
    """The scopes asked for, or all that are allowed, sorted. Refused for one that is not."""
    wanted = set(form.get("scope", "").split()) or set(allowed)
    if not wanted <= set(allowed):
        raise Refused("invalid_scope", f"the scopes to be had are {' '.join(allowed) or '(none)'}")
    return sorted(wanted)


def admitted(admission: Admission, app: str, remote: str) -> App:
    """The app, if it may come in from there. Refused otherwise."""
    try:
        return admission.admit(app, remote)
    except Unauthenticated as error:
        raise Refused("invalid_client", error.detail, 401) from None
    except Forbidden as error:
        raise Refused("unauthorized_client", error.detail) from None
