"""Incidents: a job whose attempts have all failed, rows in quarantine, dead letters.

Told to the job's contact, escalated, closed when it is over (requirement 2.12). One node of a cluster tells; a repeat after a crash
carries the same id.
"""

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

import structlog

from config.contacts import Contact
from config.model import Job, Platform
from core.bus import DeadLetter, Transport
from core.clock import epoch_ms
from core.errors import PlatformError
from core.incidents import Incident, IncidentKind, Incidents
from core.stores import JobStates, Run
from exchange.notify import Message, tell

_log = structlog.get_logger("exchange.alerts")
_LEASE = ".alerts"  # beside those of the jobs, whose names begin with a letter
_LEASE_S = 60.0
_LOOK_S = 5.0
_DEAD_LOOK_S = 60.0
_DEAD_LOOKED_AT = 50
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 15_000, 600_000
_MAX_TRIES = 200  # a day and more; then it stands in the list, told or not


class Alerts:
    """`followed` tells it of each run; `keep` tells the contacts."""

    def __init__(self, incidents: Incidents, states: JobStates, *, owner: str, bus: Transport | None = None) -> None:
        self._incidents = incidents
        self._states = states
        self._owner = owner
        self._bus = bus
        self._contacts: Mapping[str, Contact] = {}
        self._contact_of: dict[str, str] = {}  # dataset → contact
        self._dead: dict[str, frozenset[str]] = {}  # dataset → the dead letters that were raised
        self._dead_look_at = 0.0
        self._news = asyncio.Event()

    def reload(self, platform: Platform) -> None:
        self._contacts = platform.contacts
        self._contact_of = {job.dataset: job.alert for job in platform.jobs.values() if job.alert}

    async def followed(self, job: Job, run: Run, *, is_last: bool) -> None:
        """After each run; `is_last`: no attempt is left."""
        if run.state in ("succeeded", "partial"):
            if await self._incidents.resolved("job_failed", run.job) is not None:
                self._news.set()
        elif run.state == "failed" and is_last:
            await self._incidents.raised("job_failed", run.job, run.reason, contact=job.alert or "")
            self._news.set()
        if run.state == "partial":
            text = f"{run.bad_rows} rows of {run.batch_id} are in quarantine; see zhiyun job quarantine list"
            await self._incidents.raised("rows_quarantined", run.job, text, contact=job.alert or "")
            self._news.set()
        elif run.state == "succeeded" and await self._incidents.resolved("rows_quarantined", run.job) is not None:
            self._news.set()

    async def drifted(self, job: Job, name: str, text: str) -> None:
        """The columns of its source have changed; an empty `text`: they are again as declared."""
        if text:
            await self._incidents.raised("schema_drift", name, text, contact=job.alert or "")
        elif await self._incidents.resolved("schema_drift", name) is None:
            return
        self._news.set()

    async def keep(self) -> None:
        """Tell whom it concerns, as long as the process lives."""
        while True:
            self._news.clear()
            if await self._states.lease(_LEASE, owner=self._owner, ttl_s=_LEASE_S):
                await self._look()
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        if self._bus is not None and time.monotonic() >= self._dead_look_at:
            self._dead_look_at = time.monotonic() + _DEAD_LOOK_S
            try:
                await self._look_at_the_dead(self._bus)
            except PlatformError as error:  # the bus is down: its own health says so
                _log.warning("dead letters can't be looked at", reason=error.detail)
        now_ms = epoch_ms()
        for incident in await self._incidents.unfinished():
            if incident.next_try_ms <= now_ms and incident.tries < _MAX_TRIES:
                await self._serve(incident, now_ms)

    async def _look_at_the_dead(self, bus: Transport) -> None:
        """One incident for each dataset that has any; over when there is none of it."""
        found: dict[str, list[DeadLetter]] = {}
        for letter in await bus.dead_letters(limit=_DEAD_LOOKED_AT):
            found.setdefault(letter.envelope.topic.rpartition(".")[0] or letter.subscription, []).append(letter)
        for dataset, letters in found.items():
            ids = frozenset(letter.id for letter in letters)
            if not ids <= self._dead.get(dataset, frozenset()):
                text = f"{letters[-1].cause}; see zhiyun bus dead"
                await self._incidents.raised("dead_letters", dataset, text, contact=self._contact_of.get(dataset, ""))
            self._dead[dataset] = ids
        for dataset in [each for each in self._dead if each not in found]:
            del self._dead[dataset]
            await self._incidents.resolved("dead_letters", dataset)

    async def _serve(self, incident: Incident, now_ms: int) -> None:
        """At most one step of it: being told, escalated, or closed."""
        contact = self._contact(incident.contact)
        if incident.state == "resolved":
            names = [incident.contact] if incident.told_ms else []
            if incident.escalated_ms and contact is not None and contact.escalate_to:
                names.append(contact.escalate_to)
            if await self._told(incident, names, "closed"):
                incident.closed_ms = now_ms
        elif not incident.told_ms:
            if contact is None or not await self._told(incident, [incident.contact], "raised"):
                if contact is None:
                    return
            else:
                incident.told_ms = now_ms
        elif self._is_overdue(incident, contact, now_ms):
            assert contact is not None
            assert contact.escalate_to is not None
            if await self._told(incident, [contact.escalate_to], "escalated"):
                incident.escalated_ms = now_ms
        else:
            return
        await self._incidents.note(incident)

    def _is_overdue(self, incident: Incident, contact: Contact | None, now_ms: int) -> bool:
        if incident.state != "open" or incident.escalated_ms or contact is None or self._contact(contact.escalate_to or "") is None:
            return False
        return now_ms - incident.raised_ms >= contact.escalate_after_s * 1000

    def _contact(self, name: str) -> Contact | None:
        contact = self._contacts.get(name)
        return contact if contact is not None and contact.enabled else None

    async def _told(self, incident: Incident, names: list[str], what: str) -> bool:
        """Whether all were told by all of their ways. A failure is tried again, later each time."""
        failures = []
        for name in names:
            contact = self._contact(name)
            if contact is not None:
                failures += [f"{name} by {each}" for each in await tell(contact, _message(incident, what))]
        if failures:
            incident.tries += 1
            pause_ms = min(_FIRST_PAUSE_MS << min(incident.tries - 1, 10), _LONGEST_PAUSE_MS)
            incident.next_try_ms = epoch_ms() + pause_ms
            _log.warning("a contact could not be told", incident=incident.id, subject=incident.subject, failures=failures)
            return False
        incident.tries = incident.next_try_ms = 0
        _log.info("contacts told", incident=incident.id, subject=incident.subject, what=what, contacts=names)
        return True


_WHAT: Mapping[IncidentKind, str] = {
    "job_failed": "job {} failed 任务失败",
    "schema_drift": "job {}: the columns of its source have changed 源表结构已变更",
    "rows_quarantined": "job {}: rows in quarantine 有数据被隔离",
    "dead_letters": "{}: messages can't be delivered 有消息无法投递",
    "transaction_stuck": "transaction {} is stuck 事务需人工处理",
}
_SUBJECTS = {"raised": "{}", "escalated": "escalated 已升级: {}", "closed": "over 已恢复: {}"}


def _message(incident: Incident, what: str) -> Message:
    subject = "[Zhiyun 智云] " + _SUBJECTS[what].format(_WHAT[incident.kind].format(incident.subject))
    since = datetime.fromtimestamp(incident.raised_ms / 1000, UTC).isoformat(timespec="seconds")
    lines = [f"reason 原因: {incident.detail}", f"since 自: {since}", f"times 次数: {incident.count}"]
    if what != "closed":
        lines.append(f"acknowledge 确认: zhiyun incident acknowledge {incident.id}")
    event = {
        "event": f"incident.{what}",
        "incident": incident.id,
        "kind": incident.kind,
        "subject": incident.subject,
        "detail": incident.detail,
        "state": incident.state,
        "count": incident.count,
        "raised_at": since,
    }
    return Message(f"{incident.id}-{what}", subject, "\n".join(lines), event)
