"""What a service offers over SOAP: its operations and their elements, from its declared dataset. Pure; made with a snapshot.

Elements are in the order of an xsd:sequence. What the answer's JSON has in header fields (`etag`) is an element here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from config.model import Service
from core.schema import Dataset, FieldType

READS = ("get", "query", "changes")


@dataclass(frozen=True, slots=True)
class Element:
    """`kind` is the type of its text; None: it has `children`. `many`: any number of them."""

    name: str
    kind: FieldType | None = None
    children: tuple["Element", ...] = ()
    is_required: bool = False
    is_nillable: bool = False
    is_many: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    name: str
    request: Element
    response: Element


@dataclass(frozen=True, slots=True)
class Contract:
    service: str
    namespace: str
    operations: dict[str, Operation]

    def action(self, operation: str) -> str:
        return f"{self.namespace}:{operation}"


def why_untyped(declared: Service, dataset: Dataset | None) -> str | None:
    """Why a service has no SOAP face; None where it has one."""
    if dataset is None:
        return "it wraps a live call, whose answer has no declared type"
    if declared.policies.transform is not None and declared.policies.transform.answer_body is not None:
        return "its answers are made by transform.answer_body, so that they have no declared type"
    return None


def contract_of(name: str, declared: Service, dataset: Dataset) -> Contract:
    """Of a service that `why_untyped` has nothing against."""
    key = Element("key", children=_fields(dataset, dataset.key, is_required=True), is_required=True)
    record = Element("record", children=_fields(dataset, dataset.fields, is_nillable=True))
    etag = Element("etag", "text")
    filters = Element("filters", children=_fields(dataset, declared.filters))
    limit = Element("limit", "integer")
    change = (Element("version", "integer", is_required=True), Element("deleted", "boolean", is_required=True), record)
    operations = [
        _operation("get", (key,), (record, etag)),
        _operation("query", (filters, limit, Element("cursor", "text")), (_many(record), Element("next_cursor", "text"))),
        _operation(
            "changes",
            (Element("since", "integer"), limit, Element("wait_s", "integer")),
            (_many(Element("change", children=change)), Element("last_version", "integer", is_required=True)),
        ),
    ]
    if declared.kind == "synchronous":
        once, match = Element("idempotency_key", "text", is_required=True), Element("if_match", "text")
        given = _fields(dataset, declared.writable, is_nillable=True)
        sets = Element("record", children=given, is_required=True)
        parts = _fields(dataset, dataset.key, is_required=True)
        fresh = Element(
            "record",
            children=(*parts, *(each for each in given if each.name not in dataset.key)),
            is_required=True,
        )
        operations += [
            _operation("create", (once, fresh), (record, etag)),
            _operation("update", (once, match, key, sets), (record, etag)),
            _operation("replace", (once, match, key, sets), (record, etag)),
            _operation("delete", (once, match, key), ()),
        ]
    return Contract(name, f"urn:zhiyun:service:{name}", {each.name: each for each in operations})


def _operation(name: str, request: tuple[Element, ...], response: tuple[Element, ...]) -> Operation:
    return Operation(name, Element(name, children=request), Element(f"{name}Response", children=response))


def _many(element: Element) -> Element:
    return Element(element.name, element.kind, element.children, is_many=True)


def _fields(dataset: Dataset, names: Iterable[str], *, is_required: bool = False, is_nillable: bool = False) -> tuple[Element, ...]:
    return tuple(Element(each, dataset.field(each).type, (), is_required, is_nillable) for each in names)
