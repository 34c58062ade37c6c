"""The tables of the embedded transport and every statement on them. Synchronous: the transport runs it in its threads.

An envelope is stored once; each subscription has a floor, below which it has settled everything. What lies below all floors
is trimmed. `target` marks an envelope that a person put back for one subscription only.
"""

import sqlite3
from collections.abc import Callable, Sequence
from itertools import chain

import structlog
from msgspec import Struct

from bus.packing import pack, unpack
from bus.topics import matcher
from core.bus import LOST_TYPE, Channel, DeadLetter, Envelope, Subscription
from core.clock import epoch_ms
from core.errors import Conflict, Limited, NotConnected, NotFound
from core.ids import new_id

_TABLES: dict[Channel, str] = {"data": "data_messages", "control": "control_messages"}
_MESSAGES = """
CREATE TABLE IF NOT EXISTS {table} (position INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, target TEXT,
    stored_ms INTEGER NOT NULL, body BLOB NOT NULL);
DROP INDEX IF EXISTS {table}__topic;
"""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS subscriptions (name TEXT PRIMARY KEY, pattern TEXT NOT NULL, channel TEXT NOT NULL,
    floor INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS yielding (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS deliveries (subscription TEXT NOT NULL, position INTEGER NOT NULL, attempts INTEGER NOT NULL,
    due_ms INTEGER NOT NULL DEFAULT 0, is_settled INTEGER NOT NULL DEFAULT 0, cause TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (subscription, position)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead_letters (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
    subscription TEXT NOT NULL, body BLOB NOT NULL, cause TEXT NOT NULL, attempts INTEGER NOT NULL, dead_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS stored (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL);
INSERT OR IGNORE INTO stored VALUES (1, 0);
"""
_GRACE_MS = 5_000  # how long a message stays for the broadcast readers of other processes, which look every few hundredths
_TRIM_STEP = 1_000
_LOST_TOPIC = "lost"
_logger = structlog.get_logger(__name__)
_ROWS_AT_ONCE = 100
_FULL_RETRY_S = 5.0


class Stored(Struct, frozen=True):
    """An envelope and its position in the log."""

    position: int
    envelope: Envelope


class Progress(Struct, frozen=True):
    """What an earlier reader of a subscription did with a position above the floor."""

    attempts: int
    due_ms: int
    is_settled: bool
    cause: str


def create(connection: sqlite3.Connection) -> None:
    """Make the tables that are missing."""
    text = _SCHEMA + "".join(_MESSAGES.format(table=table) for table in _TABLES.values())
    for statement in text.split(";"):
        connection.execute(statement)


def append(
    connection: sqlite3.Connection, channel: Channel, envelopes: Sequence[Envelope], bodies: Sequence[bytes], max_bytes: int
) -> None:
    """Store the envelopes in this order. Raises Limited, with nothing stored, when data would pass `max_bytes`."""
    size = sum(map(len, bodies))
    if channel == "data":
        _make_room(connection, size, max_bytes)
        connection.execute("UPDATE stored SET bytes = bytes + ?", (size,))
    now = epoch_ms()
    # Many rows a statement: half the time of executemany, and Python's lock is let go once for all of them.
    rows = [(envelope.topic, now, body) for envelope, body in zip(envelopes, bodies, strict=True)]
    into = f"INSERT INTO {_TABLES[channel]} (topic, stored_ms, body) VALUES "  # noqa: S608
    whole = len(rows) // _ROWS_AT_ONCE * _ROWS_AT_ONCE
    for start in range(0, whole, _ROWS_AT_ONCE):
        many = rows[start : start + _ROWS_AT_ONCE]
        connection.execute(into + ", ".join(["(?, ?, ?)"] * _ROWS_AT_ONCE), list(chain.from_iterable(many)))
    connection.executemany(into + "(?, ?, ?)", rows[whole:])


def position_at(connection: sqlite3.Connection, at_ms: int) -> int:
    """The position of the first data message that was stored at that moment or later; behind the last where there is none."""
    table = _TABLES["data"]
    low, high = connection.execute(f"SELECT coalesce(min(position), 0), coalesce(max(position), -1) + 1 FROM {table}").fetchone()  # noqa: S608
    while low < high:  # moments rise with positions, of which some may be missing
        middle = (low + high) // 2
        row = connection.execute(
            f"SELECT position, stored_ms FROM {table} WHERE position >= ? ORDER BY position LIMIT 1",  # noqa: S608
            (middle,),
        ).fetchone()
        if row[1] >= at_ms:
            high = middle
        else:
            low = row[0] + 1
    return int(low)


def pattern_of(connection: sqlite3.Connection, name: str) -> str | None:
    """The pattern of a durable subscription of the data channel; None for any other."""
    row = connection.execute("SELECT pattern FROM subscriptions WHERE name = ? AND channel = 'data'", (name,)).fetchone()
    return None if row is None else str(row[0])


def published(connection: sqlite3.Connection, start: int, end: int, limit: int) -> list[tuple[int, str, int, bytes]]:
    """Position, topic, moment and bytes of data messages that were published, not put back, from `start` on and before `end`."""
    return connection.execute(
        f"SELECT position, topic, stored_ms, body FROM {_TABLES['data']} "  # noqa: S608
        "WHERE position >= ? AND position < ? AND target IS NULL ORDER BY position LIMIT ?",
        (start, end, limit),
    ).fetchall()


def put_back(connection: sqlite3.Connection, name: str, bodies: Sequence[tuple[str, bytes]], max_bytes: int) -> None:
    """Topics and bytes once more, for one subscription alone. Raises Limited, with nothing stored."""
    size = sum(len(body) for _, body in bodies)
    _make_room(connection, size, max_bytes)
    connection.execute("UPDATE stored SET bytes = bytes + ?", (size,))
    now = epoch_ms()
    connection.executemany(
        f"INSERT INTO {_TABLES['data']} (topic, target, stored_ms, body) VALUES (?, ?, ?, ?)",  # noqa: S608
        [(topic, name, now, body) for topic, body in bodies],
    )


def _make_room(connection: sqlite3.Connection, size: int, max_bytes: int) -> None:
    """What is kept for replays alone goes first."""
    while _stored_bytes(connection) + size > max_bytes:
        if not trim(connection, "data") and not make_way(connection):
            raise Limited(
                f"the bus is full: {_stored_bytes(connection)} of {max_bytes} bytes wait for a subscription; "
                "see its depth, and start its reader or raise the bus's size",
                retry_after_s=_FULL_RETRY_S,
                code="bus_full",
            )


def _stored_bytes(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT bytes FROM stored").fetchone()[0])


def end(connection: sqlite3.Connection, channel: Channel) -> int:
    """The position of the newest message ever stored."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (_TABLES[channel],)).fetchone()
    return int(row[0]) if row else 0


def declare(connection: sqlite3.Connection, subscription: Subscription) -> None:
    """Add a durable subscription that starts at the current end. Raises Conflict when the name reads something else."""
    known = "SELECT pattern, channel FROM subscriptions WHERE name = ?"
    row = connection.execute(known, (subscription.name,)).fetchone()
    if row is None:
        values = (subscription.name, subscription.pattern, subscription.channel, end(connection, subscription.channel))
        connection.execute("INSERT INTO subscriptions VALUES (?, ?, ?, ?)", values)
    elif row != (subscription.pattern, subscription.channel):
        raise Conflict(
            f"subscription {subscription.name!r} already reads {row[0]!r} of {row[1]}, not {subscription.pattern!r} of "
            f"{subscription.channel}: give the new one another name"
        )
    if subscription.yields:
        connection.execute("INSERT OR IGNORE INTO yielding VALUES (?)", (subscription.name,))
    else:
        connection.execute("DELETE FROM yielding WHERE name = ?", (subscription.name,))


def remove(connection: sqlite3.Connection, name: str) -> int:
    """Forget a durable subscription; how many dead letters went with it."""
    connection.execute("DELETE FROM subscriptions WHERE name = ?", (name,))
    connection.execute("DELETE FROM yielding WHERE name = ?", (name,))
    connection.execute("DELETE FROM deliveries WHERE subscription = ?", (name,))
    return connection.execute("DELETE FROM dead_letters WHERE subscription = ?", (name,)).rowcount


def floor(connection: sqlite3.Connection, name: str) -> int:
    """The position up to which the subscription has settled everything."""
    row = connection.execute("SELECT floor FROM subscriptions WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise NotConnected(f"subscription {name!r} was removed")
    return int(row[0])


def progress(connection: sqlite3.Connection, name: str) -> dict[int, Progress]:
    """What earlier readers began above the floor, by position."""
    rows = connection.execute(
        "SELECT position, attempts, due_ms, is_settled, cause FROM deliveries WHERE subscription = ?", (name,)
    )
    return {position: Progress(attempts, due, bool(settled), cause) for position, attempts, due, settled, cause in rows}


def read(connection: sqlite3.Connection, subscription: Subscription, after: int, limit: int) -> tuple[list[Stored], int]:
    """Up to `limit` envelopes for the subscription after a position, and the position up to which was looked."""
    matches = matcher(subscription.pattern)
    found: list[Stored] = []
    rows = connection.execute(
        f"SELECT position, topic, body, target FROM {_TABLES[subscription.channel]} "  # noqa: S608
        "WHERE position > ? AND (target IS NULL OR target = ?) ORDER BY position LIMIT ?",
        (after, subscription.name if subscription.durable else None, max(limit, 256)),
    )
    for position, topic, body, target in rows:
        if target is not None or matches(topic):
            if len(found) == limit:
                break
            found.append(Stored(position, unpack(body)))
        after = position
    rows.close()
    return found, after


def begin_attempt(connection: sqlite3.Connection, name: str, position: int) -> int:
    """Count a delivery before it is made; its number."""
    row = connection.execute(
        "INSERT INTO deliveries (subscription, position, attempts) VALUES (?, ?, 1) "
        "ON CONFLICT DO UPDATE SET attempts = attempts + 1 RETURNING attempts",
        (name, position),
    ).fetchone()
    return int(row[0])


def forget_attempt(connection: sqlite3.Connection, name: str, position: int) -> None:
    """Take back a `begin_attempt` whose delivery nobody received."""
    connection.execute("UPDATE deliveries SET attempts = attempts - 1 WHERE subscription = ? AND position = ?", (name, position))


def postpone(connection: sqlite3.Connection, name: str, position: int, due_ms: int, cause: str) -> None:
    """Note when and why it is to be delivered again."""
    connection.execute(
        "UPDATE deliveries SET due_ms = ?, cause = ? WHERE subscription = ? AND position = ?", (due_ms, cause, name, position)
    )


def settle(connection: sqlite3.Connection, name: str, position: int, new_floor: int) -> None:
    """The position is done; everything up to `new_floor` is."""
    connection.execute("UPDATE deliveries SET is_settled = 1 WHERE subscription = ? AND position = ?", (name, position))
    raise_floor(connection, name, new_floor)


def raise_floor(connection: sqlite3.Connection, name: str, new_floor: int) -> None:
    """Everything up to `new_floor` is settled or not for this subscription."""
    connection.execute("UPDATE subscriptions SET floor = ? WHERE name = ? AND floor < ?", (new_floor, name, new_floor))
    connection.execute("DELETE FROM deliveries WHERE subscription = ? AND position <= ?", (name, new_floor))


def bury(connection: sqlite3.Connection, name: str, envelope: Envelope, cause: str, attempts: int) -> None:
    """Add a dead letter; the caller settles the position in the same transaction."""
    connection.execute(
        "INSERT INTO dead_letters (id, subscription, body, cause, attempts, dead_ms) VALUES (?, ?, ?, ?, ?, ?)",
        (new_id("dead_"), name, pack(envelope), cause, attempts, epoch_ms()),
    )


def bury_beside(connection: sqlite3.Connection, name: str, envelope: Envelope, cause: str, attempts: int) -> None:
    """Add a dead letter of what has been settled. Raises NotFound for an unknown subscription."""
    if connection.execute("SELECT 1 FROM subscriptions WHERE name = ?", (name,)).fetchone() is None:
        raise NotFound(f"there is no durable subscription {name!r}")
    bury(connection, name, envelope, cause, attempts)


def dead_letters(connection: sqlite3.Connection, limit: int) -> list[DeadLetter]:
    """Oldest first."""
    rows = connection.execute(
        "SELECT id, subscription, body, cause, attempts, dead_ms FROM dead_letters ORDER BY number LIMIT ?", (limit,)
    )
    return [DeadLetter(id_, name, unpack(body), cause, attempts, dead) for id_, name, body, cause, attempts, dead in rows]


def redeliver(connection: sqlite3.Connection, dead_letter_id: str) -> None:
    """Move a dead letter to the end of its own subscription. Raises NotFound."""
    row = connection.execute(
        "SELECT dead_letters.body, name, channel FROM dead_letters JOIN subscriptions ON name = subscription WHERE id = ?",
        (dead_letter_id,),
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no dead letter {dead_letter_id!r}: it was redelivered or discarded, or never was")
    body, name, channel = row
    connection.execute(
        f"INSERT INTO {_TABLES[channel]} (topic, target, stored_ms, body) VALUES (?, ?, ?, ?)",  # noqa: S608
        (unpack(body).topic, name, epoch_ms(), body),
    )
    if channel == "data":
        connection.execute("UPDATE stored SET bytes = bytes + ?", (len(body),))
    connection.execute("DELETE FROM dead_letters WHERE id = ?", (dead_letter_id,))


def discard(connection: sqlite3.Connection, dead_letter_id: str) -> DeadLetter:
    """Delete a dead letter. Raises NotFound."""
    row = connection.execute(
        "DELETE FROM dead_letters WHERE id = ? RETURNING id, subscription, body, cause, attempts, dead_ms", (dead_letter_id,)
    ).fetchone()
    if row is None:
        raise NotFound(f"there is no dead letter {dead_letter_id!r}: it was redelivered or discarded, or never was")
    id_, name, body, cause, attempts, dead = row
    return DeadLetter(id_, name, unpack(body), cause, attempts, dead)


def depth(connection: sqlite3.Connection) -> dict[str, int]:
    """Unsettled envelopes by durable subscription."""
    depths = {}
    for name, pattern, channel, low in connection.execute("SELECT name, pattern, channel, floor FROM subscriptions").fetchall():
        waiting = _waiting(connection, channel, name, matcher(pattern), low)
        settled = "SELECT count(*) FROM deliveries WHERE subscription = ? AND is_settled AND position > ?"
        depths[name] = waiting - int(connection.execute(settled, (name, low)).fetchone()[0])
    return depths


def _waiting(connection: sqlite3.Connection, channel: Channel, name: str, matches: Callable[[str], bool], low: int) -> int:
    rows = connection.execute(
        f"SELECT topic, target, count(*) FROM {_TABLES[channel]} "  # noqa: S608
        "WHERE position > ? AND (target IS NULL OR target = ?) GROUP BY topic, target",
        (low, name),
    )
    return sum(count for topic, target, count in rows if target is not None or matches(topic))


def trim(connection: sqlite3.Connection, channel: Channel, *, keep_ms: int = 0) -> int:
    """Delete at most a thousand messages that every durable subscription has settled and older than `keep_ms`; how many."""
    table = _TABLES[channel]
    floors = connection.execute("SELECT min(floor) FROM subscriptions WHERE channel = ?", (channel,)).fetchone()[0]
    last = end(connection, channel) if floors is None else floors
    first = connection.execute(f"SELECT min(position) FROM {table}").fetchone()[0]  # noqa: S608
    if first is None or first > last:
        return 0
    bounds = (min(last, first + _TRIM_STEP - 1), epoch_ms() - max(keep_ms, _GRACE_MS))
    condition = "position <= ? AND stored_ms < ?"
    size = connection.execute(f"SELECT coalesce(sum(length(body)), 0) FROM {table} WHERE {condition}", bounds).fetchone()[0]  # noqa: S608
    deleted = connection.execute(f"DELETE FROM {table} WHERE {condition}", bounds).rowcount  # noqa: S608
    if channel == "data":
        connection.execute("UPDATE stored SET bytes = bytes - ?", (size,))
    return deleted


def make_way(connection: sqlite3.Connection) -> bool:
    """Drop the oldest data messages that only subscriptions which yield still wait for, at most a thousand of them; whether there
    were any. Each subscription that loses some finds an envelope of LOST_TYPE instead, once, behind what waits."""
    firm = connection.execute(
        "SELECT min(floor) FROM subscriptions WHERE channel = 'data' AND name NOT IN (SELECT name FROM yielding)"
    ).fetchone()[0]
    bound = end(connection, "data") if firm is None else firm
    slow = connection.execute(
        "SELECT name, pattern, floor FROM subscriptions JOIN yielding USING (name) WHERE channel = 'data' AND floor < ?", (bound,)
    ).fetchall()
    if not slow:
        return False
    table = _TABLES["data"]
    # Not what the grace of `trim` keeps: its loss would give no room.
    old = f"SELECT position FROM {table} WHERE position <= ? AND position > ? AND stored_ms < ? ORDER BY position LIMIT ?"  # noqa: S608
    lowest = min(low for _, _, low in slow)
    positions = connection.execute(old, (bound, lowest, epoch_ms() - _GRACE_MS, _TRIM_STEP)).fetchall()
    if not positions:
        return False
    cut = positions[-1][0]
    for name, pattern, low in slow:
        if low < cut:
            lost = _matching(connection, name, matcher(pattern), low, cut)
            raise_floor(connection, name, cut)
            if lost:
                _tell_lost(connection, name, lost)
    return True


def _matching(connection: sqlite3.Connection, name: str, matches: Callable[[str], bool], low: int, high: int) -> int:
    rows = connection.execute(
        f"SELECT topic, target FROM {_TABLES['data']} WHERE position > ? AND position <= ? AND (target IS NULL OR target = ?)",  # noqa: S608
        (low, high, name),
    )
    return sum(target is not None or matches(topic) for topic, target in rows)


def _tell_lost(connection: sqlite3.Connection, name: str, lost: int) -> None:
    _logger.error("the bus is full: the oldest envelopes of a slow subscription were dropped", subscription=name, envelopes=lost)
    table, key = _TABLES["data"], f"lost:{name}"
    known = f"SELECT 1 FROM {table} WHERE target = ? AND topic = ? AND position > (SELECT floor FROM subscriptions WHERE name = ?)"  # noqa: S608
    if connection.execute(known, (name, _LOST_TOPIC, name)).fetchone() is not None:
        return  # one that waits says it for both
    body = pack(Envelope(new_id(), _LOST_TOPIC, "bus", epoch_ms(), key, lost, LOST_TYPE, b""))
    connection.execute(
        f"INSERT INTO {table} (topic, target, stored_ms, body) VALUES (?, ?, ?, ?)",  # noqa: S608
        (_LOST_TOPIC, name, epoch_ms(), body),
    )
    connection.execute("UPDATE stored SET bytes = bytes + ?", (len(body),))
