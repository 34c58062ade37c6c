"""Where a paged read of a web service stands, and how its pages become transactions. Used by `soap` and `http_json`.

Three orders of a list. `cursor`: by last change, then key; since and after move together, so each page's end is exact.
`key`: by key among what changed since; the mark moves to the highest change seen when the list ends. `none`: by page number,
offset or token; such a position is worth nothing after a break, so a broken run starts again at its `since`.
"""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Literal

from core.errors import InvalidInput, Unavailable
from core.records import Cursor, Rows, Transaction
from core.schema import Dataset

Order = Literal["cursor", "key", "none"]
Mark = tuple[Any, Any]
"""Of one record: the value of its cursor field and of the field that `after` takes."""


@dataclass(slots=True)
class Page:
    """One answer. `is_last` where the source says so itself; `token` names the next page where the source gives one."""

    records: list[Mapping[str, Any]]
    observed_ms: int
    is_last: bool = False
    token: Any = None


class Progress:
    """The position of one read. Values in, values out; all positions are JSON-safe."""

    def __init__(self, cursor: Cursor | None, order: Order, *, asked: int, is_keyed: bool) -> None:
        """`asked` is the page size asked for; `is_keyed` says whether the source is told the last key (`after`)."""
        known = cursor or {}
        self._order = order
        self._asked = asked
        self._is_keyed = is_keyed
        self.since = known.get("since")
        self.after = known.get("after")
        self.token: Any = None
        self.pages = 0
        self.records = 0
        self._high = known.get("high", self.since)
        self._longest = 0

    @property
    def is_exact(self) -> bool:
        """Whether the position after each page is final, so that a page need not wait for the next."""
        return self._order == "cursor"

    def position(self) -> Cursor:
        """Where a read may resume when all pages so far are durable and more follow."""
        if self._order == "none":
            return _without_none(since=self.since)
        high = self._high if self._order == "key" else None
        return _without_none(since=self.since, after=self.after, high=high)

    def end(self) -> Cursor:
        """Where the next read starts when the list has ended."""
        return self.position() if self._order == "cursor" else _without_none(since=self._high)

    def advance(self, marks: Sequence[Mark], token: Any = None) -> bool:
        """Take a page in; True when it was the last: empty, or shorter than one before it.

        Shorter than *asked* says nothing: many services cap the page size silently. Raises Unavailable where a list stands still.
        """
        before = (self.since, self.after, self.token)
        is_short = len(marks) < max(self._longest, 1)
        self._longest = max(self._longest, len(marks))
        self.pages += 1
        self.records += len(marks)
        self.token = token
        if marks:
            self._mark(marks)
        stands_still = bool(marks) and self._order != "none" and (self.since, self.after, self.token) == before
        # A source that includes `since` gives the records of the last moment once more; that is its end unless they fill a page.
        if stands_still and (self._is_keyed or len(marks) >= self._asked):
            raise Unavailable(
                f"the list gives page {self.pages - 1} again as page {self.pages}: the options order, since and after"
                f" do not fit the source, or more than {self._asked} records changed in one moment"
            )
        return is_short or stands_still

    def _mark(self, marks: Sequence[Mark]) -> None:
        last_change, last_key = (plain(value) for value in marks[-1])
        if self._is_keyed:
            self.after = last_key
        if self._order == "cursor":
            self.since = self.since if last_change is None else last_change
            return
        for change, _ in marks:
            self._high = later(self._high, plain(change))


class Circle:
    """Notices that a list goes round in a circle, in constant memory (Brent's algorithm): after at most three times the pages that
    the circle and the way to it have. A service that ignores the page number gives the first page for ever."""

    def __init__(self) -> None:
        self._kept: bytes | None = None
        self._since = 0
        self._until = 1

    def closes(self, records: Sequence[Mapping[str, Any]]) -> bool:
        """Whether this page has come before. An empty one never has."""
        if not records:
            return False
        page = hashlib.blake2b(repr(records).encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if page == self._kept:
            return True
        self._since += 1
        if self._since == self._until:
            self._kept, self._since, self._until = page, 0, self._until * 2
        return False


def _without_none(**values: Any) -> Cursor:
    return {name: value for name, value in values.items() if value is not None}


def plain(value: Any) -> Any:
    """A value of a record as it stands in a cursor: dates in ISO 8601, decimals as text."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value


def later(one: Any, other: Any) -> Any:
    """The greater of two cursor values: as numbers, else as date-times, else as text. None is less than anything."""
    if one is None or other is None:
        return other if one is None else one
    for read in (Decimal, datetime.fromisoformat, str):
        try:
            return other if read(str(other)) > read(str(one)) else one  # type: ignore[operator]
        except (InvalidOperation, ValueError, TypeError):
            continue
    return other


_JSONPATH = "$"
_MAX_QUERY = 1_000  # characters of an expression


@lru_cache(maxsize=1024)
def _query(path: str) -> Any:
    """A JSONPath (RFC 9535), strictly. InvalidInput for what is none."""
    from jsonpath import JSONPathEnvironment
    from jsonpath.exceptions import JSONPathError

    try:
        if len(path) > _MAX_QUERY:
            raise InvalidInput(f"a JSONPath of more than {_MAX_QUERY} characters")
        return JSONPathEnvironment(strict=True).compile(path)
    except (JSONPathError, RecursionError) as error:
        raise InvalidInput(f"{path!r:.100} is no JSONPath (RFC 9535): {str(error).partition(chr(10))[0]:.200}") from error


def at_path(document: Any, path: str) -> Any:
    """What stands at a dotted path of names, or at a JSONPath, which begins with `$`: of several nodes the list. None where there
    is nothing; the document itself for an empty path."""
    if path.startswith(_JSONPATH):
        query = _query(path)
        nodes = query.findall(document)
        if query.singular_query():
            return nodes[0] if nodes else None
        return nodes
    for name in filter(None, path.split(".")):
        document = document.get(name) if isinstance(document, Mapping) else None
    return document


def records_at(answer: Any, path: str, what: str) -> list[Mapping[str, Any]]:
    """The list of records at `path`; none there is an empty list. Raises Unavailable for anything but a list of records."""
    found = at_path(answer, path)
    if found in (None, "", {}) and (path or not answer):
        return []
    found = found if isinstance(found, list) else [found]
    if not all(isinstance(record, Mapping) for record in found):
        raise Unavailable(f"{what}: expected a list of records at {path or 'the top'!r} of the answer; is the path right?")
    return found


def value_at(record: Mapping[str, Any], name: str) -> Any:
    """The field of that name, or what stands at that dotted path."""
    return record[name] if name in record else at_path(record, name)


def marker(dataset: Dataset, after_field: str | None) -> Callable[[Mapping[str, Any]], Mark]:
    """How to get a record's mark; `after_field` is a source name, the first key field's by default."""
    change = dataset.source_name(dataset.cursor) if dataset.cursor else None
    after = after_field or dataset.source_name(dataset.key[0])
    return lambda record: (value_at(record, change) if change else None, value_at(record, after))


async def read_pages(
    ask: Callable[[Progress], Awaitable[Page]],
    progress: Progress,
    mark: Callable[[Mapping[str, Any]], Mark],
    to_rows: Callable[[Sequence[Mapping[str, Any]]], Rows],
    batch_rows: int,
) -> AsyncGenerator[Transaction, None]:
    """Ask for page after page until the last. Where the position is not exact, a page waits until it is known whether it is the
    last, because its cursor depends on it: two pages are held at most."""
    held: Page | None = None
    is_last = False
    resume = progress.position()
    circle = Circle()
    while not is_last:
        page = await ask(progress)
        if not progress.is_exact and circle.closes(page.records):
            raise Unavailable(
                f"the list goes round in a circle: page {progress.pages + 1} has come before; the service ignores the parameter"
                " that names the page, or gives an earlier one as the next"
            )
        between = progress.position()
        is_last = progress.advance([mark(record) for record in page.records], page.token) or page.is_last
        if held is not None:
            done = progress.end() if not page.records else between
            for transaction in _slices(held, to_rows, batch_rows, resume, done):
                yield transaction
            resume, held = done, None
        if is_last or progress.is_exact:
            done = progress.end() if is_last else progress.position()
            for transaction in _slices(page, to_rows, batch_rows, resume, done):
                yield transaction
            resume = done
        else:
            held = page


def _slices(
    page: Page, to_rows: Callable[[Sequence[Mapping[str, Any]]], Rows], batch_rows: int, resume: Cursor, done: Cursor
) -> list[Transaction]:
    """The page's records in batches; only the last carries the position after the page."""
    starts = range(0, len(page.records), batch_rows)
    return [
        Transaction(
            to_rows(page.records[start : start + batch_rows]),
            done if start + batch_rows >= len(page.records) else resume,
            page.observed_ms,
        )
        for start in starts
    ]
