"""What a gateway process has of sessions, from one snapshot to the next: opened once, then kept up to date by three tasks."""

from dataclasses import dataclass

from core.bus import Subscription, Transport
from core.sessions import REVOKED_PATTERN, AppSessions, revocation_of
from core.supervise import Tasks
from gateway.numbered_feed import NumberedFeed
from gateway.revocations import Revocations
from gateway.session_log import SessionLog
from registry.app_sessions import Revoker


@dataclass(frozen=True, slots=True)
class SessionParts:
    """`public_url` is where clients reach the gateway."""

    revocations: Revocations
    revoker: Revoker
    log: SessionLog
    public_url: str


async def open_sessions(
    store: AppSessions, bus: Transport, tasks: Tasks, *, node: str, public_url: str, poll_s: float = 0.5
) -> SessionParts:
    """To be awaited before the first request is served: what was revoked earlier is known then, unless the database is down. The
    tasks end, and the last sessions are written, when `tasks` is closed, which must be before the database is."""
    revocations, log = Revocations(), SessionLog(store)
    feed = NumberedFeed(
        "revocations", store.revocations, revocations.revoke, revocation_of, interval_s=poll_s, tidy=revocations.drop_expired
    )
    told = await bus.subscribe(Subscription(f"revocations-{node}", REVOKED_PATTERN, channel="control", durable=False))
    await feed.catch_up()
    tasks.keep(lambda: feed.listen(told), name="revocations told")
    tasks.keep(feed.poll, name="revocations read")
    tasks.keep(log.run, name="sessions written")
    return SessionParts(revocations, Revoker(store, bus, node=node), log, public_url)
