"""A SOAP service as its WSDL describes it: what zeep knows of operations, messages and types. No network but through `fetch`.

zeep's own transport and requests' sessions are never used; whoever makes a `Contract` hands in how a document is fetched.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from core.errors import InvalidInput, NotFound, Unavailable
from core.schema import Value

MAX_DOCUMENTS: Final = 100
MAX_BYTES: Final = 16 * 1024 * 1024
"""Bounds of one WSDL with all the schemas that it imports."""

Fetch = Callable[[str], bytes]


class _Documents:
    """What zeep calls a transport: loads the WSDL and its schemas, from the WSDL's own host alone, without any DTD."""

    def __init__(self, url: str, fetch: Fetch) -> None:
        self._host = urlsplit(url).hostname
        self._fetch = fetch
        self._documents = 0
        self._bytes = 0

    def load(self, url: str) -> bytes:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname != self._host:
            raise Unavailable(f"the WSDL refers to {url[:100]!r}, which is not on its own host and is not loaded")
        content = self._fetch(url)
        self._documents += 1
        self._bytes += len(content)
        if self._documents > MAX_DOCUMENTS or self._bytes > MAX_BYTES:
            raise Unavailable(f"the WSDL with its schemas is larger than {MAX_DOCUMENTS} documents or {MAX_BYTES} bytes")
        try:
            fromstring(content, forbid_dtd=True)
        except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
            raise Unavailable(f"the WSDL document {url[:100]!r} is not well-formed XML without a DTD") from error
        return content


class Contract:
    """One port of one service. Immutable once made; making it blocks (fetching, parsing), so that is done in a thread."""

    def __init__(self, url: str, fetch: Fetch, *, service: str | None, port: str | None) -> None:
        """Raises Unavailable for a WSDL that can't be read, NotFound for a service or port it does not have."""
        import zeep

        documents = _Documents(url, fetch)
        settings = zeep.Settings(strict=True, forbid_dtd=True, forbid_entities=True, xml_huge_tree=False)
        with _readable(f"the WSDL {url[:200]!r} can't be read"):
            self._client = zeep.Client(
                zeep.wsdl.Document(url, documents, settings=settings), transport=documents, settings=settings
            )
            services = {name: sorted(found.ports) for name, found in self._client.wsdl.services.items()}
        try:
            self._proxy = self._client.bind(service, port)
        except (ValueError, IndexError) as error:
            raise NotFound(f"the WSDL has no service {service!r} with a port {port!r}; it has {services}") from error
        if self._proxy is None:
            raise Unavailable("the WSDL describes no service")
        self._client._default_service = self._proxy  # WS-Addressing asks the client for its service
        self.binding: Any = self._proxy._binding
        self.address: str = self._proxy._binding_options["address"]

    @property
    def operations(self) -> list[str]:
        """The names of the operations, sorted."""
        return sorted(self.binding._operations)

    @property
    def namespace(self) -> str:
        """The namespace of the envelope, which tells SOAP 1.1 from 1.2."""
        return str(self.binding.nsmap["soap-env"])

    def request(self, operation: str, arguments: Mapping[str, Value]) -> tuple[bytes, dict[str, str]]:
        """The envelope and the HTTP headers of a call. NotFound for an unknown operation, InvalidInput for arguments that don't
        fit its schema."""
        from lxml import etree
        from zeep.exceptions import Error

        if operation not in self.binding._operations:
            raise NotFound(f"there is no operation {operation[:60]!r}; the WSDL has: {', '.join(self.operations)[:500]}")
        if "_soapheaders" in arguments:  # zeep's own, not an argument of any operation
            raise InvalidInput(f"operation {operation} has no argument '_soapheaders'")
        try:
            envelope, headers = self.binding._create(
                operation, (), dict(arguments), client=self._client, options=self._proxy._binding_options
            )
        except (Error, TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
            raise InvalidInput(f"operation {operation}: the arguments do not fit: {str(error)[:300]}") from error
        return etree.tostring(envelope, xml_declaration=True, encoding="utf-8"), headers

    def answer(self, operation: str, envelope: bytes) -> dict[str, Any]:
        """The children of the answer's element, typed by the schema and made JSON-safe. `envelope` is UTF-8, checked, no fault."""
        from zeep.loader import parse_xml

        described = self.binding._operations[operation]
        output = described.output
        if output is None or output.body is None:
            return {}
        with _readable(f"operation {operation}: the answer does not fit the WSDL"):
            document = parse_xml(envelope, self._client.transport, settings=self._client.settings)
            body = document.find("{%s}Body" % self.namespace)  # noqa: UP031 - braces are the notation of a qualified name
            if described.style == "document" and body[0].tag != output.body.qname.text:  # zeep would give it with every field empty
                raise ValueError(f"expected the element {output.body.qname.text}, got {body[0].tag[:100]}")
            # zeep's own process_reply unwraps an answer of one element, so its shape would hang on the number of elements.
            value = json_safe(output._deserialize_body(body)["body"])
        return value if isinstance(value, dict) else {str(output.body.name): value}


def json_safe(value: Any) -> Any:
    """zeep's values as JSON: decimals as exact text, dates in ISO 8601, bytes as base64, foreign elements as XML text."""
    from lxml import etree
    from zeep.xsd import CompoundValue

    if isinstance(value, CompoundValue | dict):
        return {str(name): json_safe(value[name]) for name in value}
    if isinstance(value, list | tuple):
        return [json_safe(item) for item in value]
    if isinstance(value, float):
        return value if -1.8e308 < value < 1.8e308 else str(value)
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, etree._Element):
        return etree.tostring(value, encoding="unicode")
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """zeep and lxml fail in many ways on what is not as they expect; all of them mean that the document is at fault."""
    from lxml import etree
    from zeep.exceptions import Error

    try:
        yield
    except (
        Error,
        etree.LxmlError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        NotImplementedError,
        RecursionError,
    ) as error:
        raise Unavailable(f"{what}: {str(error)[:200] or type(error).__name__}") from error
