"""SOAP 1.1 and 1.2: reads a list operation page by page and calls any operation. WSDL and types are `wsdl`'s, the wire is
`http_client`'s, positions are `paging`'s.

A read takes the values as the text that stands in the XML: zeep turns what does not fit its type into null, and a bad value must
reach the quarantine instead. A call gives typed values.
"""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

import msgspec
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring
from msgspec import Meta, Struct

from adapters.http_client import Answer, Bounds, HTTPClient, basic, checked_url
from adapters.paging import Order, Page, Progress, marker, read_pages, records_at, value_at
from adapters.wsdl import Contract
from core.adapter import Adapter, Backend, Source
from core.clock import epoch_ms
from core.errors import DeadlineExceeded, InvalidInput, NotFound, PlatformError, Unauthenticated, Unavailable
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset, FieldType, Value
from core.secret import Secret

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]

LARGE_BYTES = 256 * 1024
"""An answer larger than this is parsed in a thread, so that it doesn't hold up the loop."""

MAX_DEPTH = 100
"""How deep the elements of an answer may be nested."""

_NIL = "{http://www.w3.org/2001/XMLSchema-instance}nil"
_ENVELOPE = re.compile(r"\{(http://schemas\.xmlsoap\.org/soap/envelope/|http://www\.w3\.org/2003/05/soap-envelope)\}Envelope")
_ZONED_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(Z|[+-]\d\d:\d\d)")
_UNKNOWN_CODE = re.compile(r"not.?found|no.?such|unknown|not.?exist|不存在|未找到", re.IGNORECASE)
_UNKNOWN_TEXT = re.compile(
    r"\bnot found\b|\bno such\b|\bnot exist\b|\bthere is no\b|\bno \w+ has\b|不存在|未找到|查无", re.IGNORECASE
)


class SoapSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """One service. `service` and `port` choose among several of the WSDL; `endpoint` replaces the address in it, and is needed
    where that is on another host than the WSDL. User and password go by HTTP basic authentication, to the WSDL as well."""

    wsdl: str
    user: str | None = None
    password: Secret | None = None
    service: str | None = None
    port: str | None = None
    endpoint: str | None = None
    connect_timeout_s: Positive = 5.0
    timeout_s: Positive = 30.0
    max_body_bytes: Count = 16 * 1024 * 1024


class SoapOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """How a list operation is asked. `result` is the dotted path of the records inside the answer's element.

    The `…_argument` options name the arguments that take the cursor value, the last record's `after_field` (its key by default),
    the number of records so far, and the page size. `order` is that of the list, see `paging.Order`.
    """

    arguments: dict[str, Any] = {}
    result: str = ""
    since_argument: str | None = None
    since_start: str | None = None
    after_argument: str | None = None
    after_field: str | None = None
    offset_argument: str | None = None
    size_argument: str | None = None
    size: Count = 500
    order: Literal["cursor", "key"] = "cursor"


class SoapConnection:
    """Loads the WSDL on first use and keeps it. Calls may overlap."""

    def __init__(self, settings: SoapSettings) -> None:
        self._settings = settings
        bounds = Bounds(settings.connect_timeout_s, settings.timeout_s, settings.max_body_bytes)
        credentials = basic(settings.user, settings.password) if settings.user else {}
        self._client = HTTPClient(settings.wsdl, credentials, bounds)
        self._contract: Contract | None = None
        self._loading = asyncio.Lock()

    async def check(self) -> None:
        """Load the WSDL and send an empty envelope: a service that answers with a fault is there and has let us in."""
        contract = await self._described()
        envelope = f'<e:Envelope xmlns:e="{contract.namespace}"><e:Body/></e:Envelope>'.encode()
        is_old = contract.namespace.startswith("http://schemas")
        headers = {"Content-Type": f"{'text/xml' if is_old else 'application/soap+xml'}; charset=utf-8", "SOAPAction": '""'}
        answer = await self._client.send("POST", self._endpoint(contract), envelope, headers)
        if answer.status >= 400 and (answer.status in (401, 403, 404) or _envelope(answer) is None):
            raise self._client.refusal(answer, "check")

    async def close(self) -> None:
        await self._client.close()

    async def estimate(self, dataset: Dataset, cursor: Cursor | None) -> int | None:
        """Unknown: SOAP has no common way to ask."""
        return None

    async def read(self, dataset: Dataset, cursor: Cursor | None, *, batch_rows: int) -> AsyncIterator[Transaction]:
        """Rows of text. Missing and nil elements are None, nested ones dicts and lists."""
        options = options_of(dataset)
        order: Order = (
            options.order if options.after_argument or (options.since_argument and not options.offset_argument) else "none"
        )
        size = min(options.size, batch_rows)
        progress = Progress(cursor, order, asked=size, is_keyed=options.after_argument is not None)
        ask = partial(self._page, dataset, options, size)
        mark, rows = marker(dataset, options.after_field), partial(_rows, dataset)
        async with aclosing(read_pages(ask, progress, mark, rows, batch_rows)) as transactions:
            async for transaction in transactions:
                yield transaction

    async def call(self, operation: str, arguments: Mapping[str, Value]) -> Any:
        """A dict of the elements of the answer, typed by the WSDL: decimals as text, dates in ISO 8601."""
        contract = await self._described()
        answer, _ = await self._exchange(contract, operation, arguments)
        if answer is None:
            return {}
        return await _computed(contract.answer, len(answer), operation, answer)

    async def _page(self, dataset: Dataset, options: SoapOptions, size: int, progress: Progress) -> Page:
        arguments = dict(options.arguments)
        positions = (
            (options.since_argument, progress.since if progress.since is not None else options.since_start),
            (options.after_argument, progress.after),
            (options.offset_argument, progress.records),
            (options.size_argument, size),
        )
        arguments.update({name: value for name, value in positions if name and value is not None})
        observed_ms = epoch_ms()
        _, body = await self._exchange(await self._described(), dataset.object, arguments)
        records = [] if body is None else records_at(_tree(body), options.result, dataset.object)
        is_paged = options.after_argument or options.offset_argument or options.since_argument
        return Page(records, observed_ms, is_last=not is_paged)

    async def _exchange(
        self, contract: Contract, operation: str, arguments: Mapping[str, Value]
    ) -> tuple[bytes | None, Element | None]:
        """Call and give the answer's envelope and the element in its body; both None where the answer is empty."""
        content, headers = contract.request(operation, arguments)
        answer = await self._client.send("POST", self._endpoint(contract), content, headers)
        if answer.status in (401, 403):
            raise self._client.refusal(answer, operation)
        envelope = await _computed(_envelope, len(answer.body), answer)
        if envelope is None:
            if answer.status >= 300:
                raise self._client.refusal(answer, operation)
            if answer.body.strip():
                raise Unavailable(f"operation {operation}: the answer is not SOAP")
            return None, None
        body = next((part for part in envelope if _local(part.tag) == "Body"), None)
        found = None if body is None else next(iter(body), None)
        if found is not None and _local(found.tag) == "Fault":
            raise fault_error(found, operation)
        if answer.status >= 300:
            raise self._client.refusal(answer, operation)
        return (None, None) if found is None else (_utf8(answer), found)

    async def _described(self) -> Contract:
        """The contract, loaded once; a failure is not kept, so that the next call tries again."""
        async with self._loading:
            if self._contract is None:
                loop = asyncio.get_running_loop()
                self._contract = await asyncio.to_thread(self._load, loop)
            return self._contract

    def _load(self, loop: asyncio.AbstractEventLoop) -> Contract:
        def fetch(url: str) -> bytes:
            # The thread waits for the loop's HTTP client, so that the WSDL comes with the same bounds and credentials as calls.
            fetching = asyncio.run_coroutine_threadsafe(self._fetched(url), loop)
            try:
                return fetching.result(self._settings.timeout_s + 5)
            except TimeoutError as error:
                raise DeadlineExceeded(f"the WSDL did not come within {self._settings.timeout_s:g} s") from error

        return Contract(checked_url(self._settings.wsdl), fetch, service=self._settings.service, port=self._settings.port)

    async def _fetched(self, url: str) -> bytes:
        answer = await self._client.send("GET", url)
        if answer.status >= 300:
            raise self._client.refusal(answer, "the WSDL")
        return answer.body

    def _endpoint(self, contract: Contract) -> str:
        if self._settings.endpoint is not None:
            return checked_url(self._settings.endpoint)
        if urlsplit(contract.address).hostname != urlsplit(self._settings.wsdl).hostname:
            raise InvalidInput(
                f"the WSDL names an endpoint on another host ({contract.address[:100]!r}); confirm it with the setting `endpoint`"
            )
        return checked_url(contract.address)


def options_of(dataset: Dataset) -> SoapOptions:
    """The dataset's options; InvalidInput names what is wrong with them."""
    try:
        return msgspec.convert(dataset.options, SoapOptions)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"{dataset.object}: options: {error}") from error


def fault_error(fault: Element, operation: str) -> PlatformError:
    """What a fault means for the caller. SOAP 1.1 §4.4: faultcode, faultstring, detail; SOAP 1.2 part 1 §5.4: Code, Reason, Detail.

    Client and Sender are the caller's: NotFound where the code, the detail or the reason says so, else InvalidInput. All else is
    the service's: Unavailable.
    """
    parts = {_local(part.tag).lower(): part for part in fault}
    code = parts.get("faultcode", parts.get("code"))
    reason = parts.get("faultstring", parts.get("reason"))
    words = _words(reason)
    codes = _words(code)
    detail = parts.get("detail")
    said = "".join(letter if letter.isprintable() else " " for letter in words or codes)[:300]
    message = f"operation {operation}: {said}"
    if re.search(r"FailedAuthentication|InvalidSecurity", codes):
        return Unauthenticated(message)
    if not re.search(r"(^|:)(Client|Sender|MustUnderstand|VersionMismatch)\b", codes):
        return Unavailable(message)
    names = "" if detail is None else " ".join(_local(part.tag) for part in detail.iter())
    is_unknown = _UNKNOWN_CODE.search(f"{codes} {names} {_words(detail)}"[:1000]) or _UNKNOWN_TEXT.search(words)
    return NotFound(message) if is_unknown else InvalidInput(message)


def _words(element: Element | None) -> str:
    return "" if element is None else " ".join(filter(None, (text.strip() for text in element.itertext())))


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _envelope(answer: Answer) -> Element | None:
    """The answer's envelope, None where it is no SOAP. Raises Unavailable for XML with a DTD, which no service needs."""
    try:
        root: Element = fromstring(_utf8(answer), forbid_dtd=True)
    except DefusedXmlException as error:
        raise Unavailable("the answer has a document type definition, which is not accepted") from error
    except (ParseError, ValueError, LookupError):
        return None
    return root if _ENVELOPE.fullmatch(root.tag) else None


def _utf8(answer: Answer) -> bytes:
    """The body in UTF-8 without its declaration, whatever encoding it came in (RFC 7303: the charset parameter comes first)."""
    outer = re.search(r"charset=[\"']?([\w.:-]+)", answer.headers.get("content-type", ""), re.IGNORECASE)
    inner = re.match(rb"\s*<\?xml[^>]*encoding=[\"']([\w.:-]+)", answer.body)
    named = outer[1] if outer else inner[1].decode() if inner else "utf-8"
    encoding = "gb18030" if named.lower() in ("gb2312", "gbk") else "utf-8-sig" if named.lower() == "utf-8" else named
    text = answer.body.decode(encoding)
    return re.sub(r"^\ufeff?\s*<\?xml[^>]*\?>", "", text).encode()


def _tree(element: Element, depth: int = 0) -> Any:
    """An element as JSON-like values: text, a dict of its children (attributes as `@name`), lists where a name is repeated."""
    if depth > MAX_DEPTH:
        raise Unavailable(f"the answer's XML is nested deeper than {MAX_DEPTH} elements")
    if element.get(_NIL) in ("true", "1"):
        return None
    attributes = {f"@{_local(name)}": value for name, value in element.items() if not name.startswith("{")}
    if not len(element) and not attributes:
        return element.text or ""
    tree: dict[str, Any] = dict(attributes)
    if not len(element) and element.text:
        tree["text"] = element.text
    for child in element:
        name, value = _local(child.tag), _tree(child, depth + 1)
        if name in tree:
            tree[name] = [*tree[name], value] if isinstance(tree[name], list) else [tree[name], value]
        else:
            tree[name] = value
    return tree


def _rows(dataset: Dataset, records: Sequence[Mapping[str, Any]]) -> Rows:
    columns = [(dataset.source_name(name), dataset.field(name).type) for name in dataset.given]
    rows = [[_cell(value_at(record, column), kind) for column, kind in columns] for record in records]
    return Rows([column for column, _ in columns], rows)


def _cell(value: Any, kind: FieldType) -> Any:
    """XML Schema's own notation of a type, where it differs from what conversion reads; what doesn't fit stays as it is."""
    if not isinstance(value, str):
        return value
    if not value.strip() and kind not in ("text", "json"):  # an empty element: XML Schema has no empty number or date
        return None
    if kind == "date" and (zoned := _ZONED_DATE.fullmatch(value.strip())):
        return zoned[1]
    if kind == "binary":
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except ValueError:
            return value
    return value


async def _computed(work: Any, size: int, *arguments: Any) -> Any:
    return await asyncio.to_thread(work, *arguments) if size > LARGE_BYTES else work(*arguments)


def _open(settings: SoapSettings) -> SoapConnection:
    return SoapConnection(settings)


ADAPTER = Adapter(
    name="soap",
    title="SOAP web service",
    settings=SoapSettings,
    options=SoapOptions,
    abilities=frozenset({"read", "call"}),
    open=_open,
)

_reads: type[Source] = SoapConnection
_calls: type[Backend] = SoapConnection
