"""JSON documents, JSON lines and XML. A document that does not parse is one bad row: none of its records can be trusted."""

from collections.abc import Iterable
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import msgspec
from defusedxml.common import DefusedXmlException

from core.records import BadRow
from core.schema import Dataset, Format
from exchange.conversion import Conversion, Converted
from exchange.formats.lines import LineSplitter

MAX_DOCUMENT_BYTES = 64 << 20
_KEPT_BYTES = 65_536


class WholeDocument:
    """Collects the pieces of one document, up to the limit."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= MAX_DOCUMENT_BYTES:
            self._pieces.append(data)

    def data(self) -> bytes:
        """ValueError where it is too long."""
        if self._size > MAX_DOCUMENT_BYTES:
            raise ValueError(f"a document of {self._size} bytes; the limit is {MAX_DOCUMENT_BYTES}")
        return b"".join(self._pieces)

    def text(self, encoding: str) -> str:
        """ValueError where it is too long or no text."""
        data = self.data()
        try:
            return data.decode(encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            wrong = data[error.start : error.end].hex(" ")
            raise ValueError(f"byte {wrong} at offset {error.start} is no {encoding} text") from None

    def bad(self, error: ValueError) -> Converted:
        return Converted(bad=[BadRow(str(error), "document", b"".join(self._pieces)[:_KEPT_BYTES])])


def _convert(conversion: Conversion, records: Iterable[Any]) -> Converted:
    """Records as mappings; anything else among them is bad by itself. A bad one is kept as JSON, with the names it may have."""
    result = Converted()
    for number, record in enumerate(records, 1):
        if isinstance(record, dict):
            converted = conversion.rows(conversion.named([record]), place="record", first=number)
            result.rows.extend(converted.rows)
            raw = msgspec.json.encode(record)
            result.bad.extend(BadRow(bad.reason, bad.place, raw, bad.columns) for bad in converted.bad)
        else:
            result.bad.append(BadRow("expected an object", f"record {number}", msgspec.json.encode(record), conversion.sources))
    return result


class JsonDecoder:
    """A JSON document: a list of objects, one object, or what stands at `format.path` (`data.items`)."""

    def __init__(self, dataset: Dataset, form: Format, conversion: Conversion) -> None:
        self._form = form
        self._conversion = conversion
        self._document = WholeDocument()

    def feed(self, data: bytes) -> Converted:
        self._document.add(data)
        return Converted()

    def finish(self) -> Converted:
        try:
            return _convert(self._conversion, self._records(self._document.text(self._form.encoding)))
        except ValueError as error:
            return self._document.bad(error)

    def _records(self, text: str) -> list[Any]:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(f"no JSON: {error}") from None
        for name in self._form.path.split(".") if self._form.path else ():
            if not isinstance(value, dict) or name not in value:
                raise ValueError(f"the document has nothing at {self._form.path}")
            value = value[name]
        return value if isinstance(value, list) else [value]


class JsonLinesDecoder:
    """One JSON object a line."""

    def __init__(self, dataset: Dataset, form: Format, conversion: Conversion) -> None:
        self._conversion = conversion
        self._splitter = LineSplitter(form.encoding)

    def feed(self, data: bytes) -> Converted:
        return self._take(self._splitter.feed(data))

    def finish(self) -> Converted:
        return self._take(self._splitter.finish())

    def _take(self, records: Iterable[Any]) -> Converted:
        result = Converted()
        for record in records:
            if not record.data.strip() and not record.fault:
                continue
            try:
                value = msgspec.json.decode(self._splitter.text(record))
            except (ValueError, RecursionError) as error:  # msgspec.DecodeError is a ValueError
                result.bad.append(BadRow(str(error), f"line {record.line}", self._splitter.original(record.data)))
                continue
            converted = _convert(self._conversion, [value])
            result.rows.extend(converted.rows)
            result.bad.extend(
                BadRow(bad.reason, f"line {record.line}", self._splitter.original(record.data)) for bad in converted.bad
            )
        return result


class XmlDecoder:
    """XML: every element named `format.path` is a record; its children and attributes are the fields.

    Entities and DTDs are refused (defusedxml). The declared encoding is ignored in favour of `format.encoding`: many systems
    declare UTF-8 and write GBK, and the parser knows no GBK at all.
    """

    def __init__(self, dataset: Dataset, form: Format, conversion: Conversion) -> None:
        self._form = form
        self._conversion = conversion
        self._document = WholeDocument()

    def feed(self, data: bytes) -> Converted:
        self._document.add(data)
        return Converted()

    def finish(self) -> Converted:
        try:
            text = self._document.text(self._form.encoding)
            root = defusedxml.ElementTree.fromstring(
                text, forbid_dtd=True
            )  # a str is parsed as UTF-8 whatever its declaration says
        except ValueError as error:
            return self._document.bad(error)
        except (ParseError, DefusedXmlException) as error:
            return self._document.bad(ValueError(f"no XML that is accepted: {error!r}"))
        return _convert(self._conversion, (_fields(element) for element in self._records(root)))

    def _records(self, root: Element) -> Iterable[Element]:
        wanted = self._form.path
        return [e for e in root.iter() if _local(e.tag) == wanted] if wanted else list(root)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _fields(element: Element) -> dict[str, Any]:
    return {**element.attrib, **{_local(child.tag): child.text for child in element}}
