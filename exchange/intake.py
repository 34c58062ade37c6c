"""Intake: a transaction from a source → converted rows on the bus, bad rows in quarantine, and only then the acknowledgement.

The order is the promise: bus durable → quarantine durable → checkpoint durable → source acknowledged. A crash between any two of
them makes the transaction come again, and sinks are idempotent.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from core.bus import Envelope, Transport
from core.errors import InvalidInput
from core.ids import new_id
from core.records import ChangeSet, Chunk, Cursor, Frames, Rows, Transaction
from core.schema import Dataset, Value
from core.stores import Quarantine
from exchange.conversion import Conversion, Converted
from exchange.formats.decoder import Decoder, decoder_for

_ENVELOPE_ROWS = 5_000
"""A document gives all of its rows at once: they go on in messages of a size that brokers take."""
_DOCUMENTS = ("json", "xml", "excel")
CHANGE_SET_TYPE = "application/vnd.zhiyun.changeset+msgpack"
_ENCODER = msgspec.msgpack.Encoder()


def envelope_for(changes: ChangeSet, *, source: str, key: str | None = None) -> Envelope:
    """A change set as one bus message: topic `<source>.<dataset>.<op>`, ordered by dataset unless `key` says otherwise."""
    return Envelope(
        id=new_id(),
        topic=f"{changes.dataset}.{changes.op}",
        source=source,
        time_ms=changes.observed_ms,
        key=key or changes.dataset,
        count=len(changes.rows),
        content_type=CHANGE_SET_TYPE,
        data=_ENCODER.encode(changes),
    )


class NewColumnsError(Exception):
    """A file brings columns that an evolving dataset lacks. Nothing of it was stored: it is to be read again, with them."""

    def __init__(self, columns: Sequence[str]) -> None:
        super().__init__(f"new columns {', '.join(columns)}")
        self.columns = tuple(columns)


@dataclass(slots=True)
class Taken:
    """What a transaction came to. `cursor` is where the job may resume; None leaves its checkpoint as it is."""

    rows: int
    bad: int
    cursor: Cursor | None


class Intake:
    """Takes the transactions of one run of one job, in order. Keeps the decoders of files that are under way (few)."""

    def __init__(
        self,
        name: str,
        dataset: Dataset,
        *,
        job: str,
        batch_id: str,
        bus: Transport,
        quarantine: Quarantine,
        known: Collection[str] = (),
        op: Literal["upsert", "patch"] = "upsert",
    ) -> None:
        """`known`: columns beside the declared ones that are no news."""
        self._op = op
        self._name = name
        self._dataset = dataset
        self._conversion = Conversion(dataset)
        self._job = job
        self._batch_id = batch_id
        self._bus = bus
        self._quarantine = quarantine
        self._decoders: dict[str, Decoder] = {}
        self._count = 0
        self._declared = frozenset((*dataset.read_columns, *known))

    @property
    def header(self) -> Sequence[str]:
        """The columns of what was converted last; empty before that."""
        return self._conversion.header

    async def take(self, transaction: Transaction) -> Taken:
        """Convert and store durably. The caller stores the cursor, then awaits `transaction.acknowledge`."""
        converted = await self._at_its_place(transaction)
        if self._dataset.drift == "evolve" and isinstance(transaction.payload, Chunk) and set(self.header) - self._declared:
            raise NewColumnsError(self.header)
        if converted.rows:
            pieces = [converted.rows[at : at + _ENVELOPE_ROWS] for at in range(0, len(converted.rows), _ENVELOPE_ROWS)]
            observed_ms = transaction.observed_ms
            await self._bus.publish([envelope_for(self._changes(rows, observed_ms), source=self._batch_id) for rows in pieces])
        if converted.bad:
            await self._quarantine.add(self._job, self._name, self._batch_id, converted.bad)
        cursor = transaction.cursor if transaction.cursor is not None else self._conversion.cursor(converted.rows)
        return Taken(len(converted.rows), len(converted.bad), cursor)

    async def complete(self, *, observed_ms: int) -> None:
        """Say on the bus, behind all rows, that the mirror then equals the source as of `observed_ms`."""
        await self._bus.publish([envelope_for(self._changes([], observed_ms), source=self._batch_id)])

    async def sweep(self, *, since_ms: int, max_share: float) -> None:
        """Say behind it that what was not seen since then is gone at the source."""
        changes = ChangeSet(self._name, "sweep", ("max_share",), [(max_share,)], since_ms)
        await self._bus.publish([envelope_for(changes, source=self._batch_id)])

    def _changes(self, rows: list[Sequence[Value]], observed_ms: int) -> ChangeSet:
        return ChangeSet(self._name, self._op, self._dataset.columns, rows, observed_ms)

    async def _at_its_place(self, transaction: Transaction) -> Converted:
        """A whole document is worked on in a thread: a workbook of many rows would hold up every other job for seconds."""
        form, payload = self._dataset.format, transaction.payload
        is_document = form is not None and (form.type in _DOCUMENTS or form.compression == "zip")
        if is_document and isinstance(payload, Chunk) and payload.last:
            return await asyncio.to_thread(self._converted, transaction)
        return self._converted(transaction)

    def _converted(self, transaction: Transaction) -> Converted:
        payload = transaction.payload
        if isinstance(payload, Rows):
            result = self._conversion.rows(payload, first=self._count + 1)
            self._count += len(payload.rows)
            return result
        if isinstance(payload, Frames):
            return self._frames(payload.frames)
        return self._chunk(payload)

    def _chunk(self, chunk: Chunk) -> Converted:
        decoder = self._decoders.get(chunk.name)
        if decoder is None:
            decoder = self._decoders[chunk.name] = decoder_for(self._dataset, self._conversion)
        result = decoder.feed(chunk.data)
        if chunk.last:
            result.extend(decoder.finish())
            del self._decoders[chunk.name]
        for bad in result.bad:
            bad.place = f"{chunk.name} {bad.place}"
        return result

    def _frames(self, frames: Sequence[bytes]) -> Converted:
        result = Converted()
        for frame in frames:
            self._count += 1
            decoder = decoder_for(self._dataset, self._conversion)
            piece = decoder.feed(frame)
            piece.extend(decoder.finish())
            for bad in piece.bad:
                bad.place, bad.raw, bad.columns = f"message {self._count}", frame, ()  # read again as a whole
            result.extend(piece)
        return result


def reread(dataset: Dataset, raw: bytes, columns: Sequence[str]) -> Converted:
    """A quarantined row once more, after its declaration or its bytes were mended.

    A CSV row is read under the columns it came with; a row of SQL or SOAP was kept as a JSON list of its values, a record out of a
    JSON or XML document as a JSON object.
    """
    conversion = Conversion(dataset)
    if dataset.format is None or (columns and dataset.format.type in _DOCUMENTS):
        return conversion.rows(_values(conversion, raw, columns))
    if dataset.format.compression is not None and columns:  # the row has been unpacked already
        dataset = msgspec.structs.replace(dataset, format=msgspec.structs.replace(dataset.format, compression=None))
    decoder = decoder_for(dataset, conversion, columns=columns)
    result = decoder.feed(raw)
    result.extend(decoder.finish())
    return result


def _values(conversion: Conversion, raw: bytes, columns: Sequence[str]) -> Rows:
    try:
        value: Any = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"the raw row is no JSON: {error}") from None
    if isinstance(value, dict):
        return conversion.named([value])
    return Rows(columns, [value if isinstance(value, list) else [value]])
