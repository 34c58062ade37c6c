"""Who is told when something fails: part of the platform model."""

from typing import Annotated, Literal

from msgspec import Meta

from config.policies import Part, Positive
from config.upstreams import ResourceName
from core.secret import Secret

Address = Annotated[str, Meta(pattern=r"^[^@\s<>,;]+@[^@\s<>,;]+$", max_length=254, description="a mail address")]


class Mail(Part, frozen=True):
    """By SMTP (RFC 5321): `starttls` and `tls` check the server's certificate; `none` is for a relay on this machine."""

    host: str
    sender: Address
    to: Annotated[tuple[Address, ...], Meta(min_length=1, max_length=20)]
    port: Annotated[int, Meta(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: Secret | None = None


class Contact(Part, frozen=True):
    """A person or a team, told by every way that is given (requirement 2.12). `webhook` is a URL that gets JSON, signed where
    there is a `webhook_secret`; `wecom` the URL of a group robot (企业微信群机器人). Both are secrets: whoever knows them may
    write there.

    What nobody has acknowledged after `escalate_after_s` goes to `escalate_to` too."""

    title: str = ""
    webhook: Secret | None = None
    webhook_secret: Secret | None = None
    wecom: Secret | None = None
    mail: Mail | None = None
    escalate_to: ResourceName | None = None
    escalate_after_s: Positive = 7_200.0
    enabled: bool = True
