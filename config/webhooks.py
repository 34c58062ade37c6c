"""Webhooks: whom the platform tells of changes of its records (Standard Webhooks 1.0). Part of the platform model."""

from typing import Annotated, Literal

from msgspec import Meta

from config.policies import Part, Positive
from config.upstreams import ResourceName
from core.secret import Secret

Event = Literal["upsert", "patch", "delete", "sweep"]


class Webhook(Part, frozen=True):
    """Changes of the datasets of `services` are posted to `url` as CloudEvents 1.0, signed with each of `secrets` (while they
    are rotated: the new one and the old one).

    `app` owns it: what its scopes and grants let it read of the services' changes is delivered, and masked as they say. Of
    the events, `patch` sets some fields and `sweep` tells that records not seen since a moment are gone at the source.

    A delivery that fails is tried again for `retry_s`, after `first_delay_s` doubled up to `max_delay_s`; then it is a dead
    letter. `allow_private` lists the networks (CIDR) beside the public internet that the URL may lead to; plain `http://` only
    to these.
    """

    url: Annotated[str, Meta(pattern=r"^https?://[^\s/?#@\\]+([/?][^\s#\\]*)?$", max_length=2000, description="an http(s) URL")]
    secrets: Annotated[tuple[Secret, ...], Meta(min_length=1, max_length=4)]
    services: Annotated[tuple[ResourceName, ...], Meta(min_length=1, max_length=50)]
    app: ResourceName
    events: Annotated[tuple[Event, ...], Meta(min_length=1)] = ("upsert", "patch", "delete", "sweep")
    retry_s: Annotated[float, Meta(ge=1, le=7 * 86_400)] = 86_400.0
    first_delay_s: Annotated[float, Meta(ge=0.1, le=3_600)] = 5.0
    max_delay_s: Annotated[float, Meta(ge=0.1, le=86_400)] = 3_600.0
    timeout_s: Annotated[Positive, Meta(le=60)] = 15.0
    concurrency: Annotated[int, Meta(ge=1, le=64)] = 4
    batch_records: Annotated[int, Meta(ge=1, le=500)] = 1
    allow_private: Annotated[tuple[str, ...], Meta(max_length=50)] = ()
    title: str = ""
    enabled: bool = True
