"""The soap adapter against a small service of its own, PHP's SoapServer and the estate's member system."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from typing import Any
from xml.sax.saxutils import escape

import pytest
from aiohttp import encode_basic_auth, web
from defusedxml.ElementTree import fromstring

from adapters.soap import ADAPTER, SoapConnection, SoapSettings
from core.errors import (
    DeadlineExceeded,
    InvalidInput,
    NotConnected,
    NotFound,
    PlatformError,
    Unauthenticated,
    Unavailable,
)
from core.records import Payload
from core.schema import Dataset, Field
from core.secret import Secret
from examples.estate.generate_member import SCHEMA
from examples.estate.member_soap import PATH, member_application
from tests.conformance.adapter_suite import ConnectionSuite, Person, SourceSuite, decode_rows, people, read_transactions
from tests.servers.ports import free_port
from tests.servers.soap import PHPSOAPServer, seeded_members

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
LOGIN = encode_basic_auth("reader", "long-password", "utf-8")

XSD = """<xs:schema targetNamespace="urn:people" xmlns:xs="http://www.w3.org/2001/XMLSchema" elementFormDefault="qualified">
  <xs:element name="ListPeople"><xs:complexType><xs:sequence>
    <xs:element name="since" type="xs:string" minOccurs="0"/>
    <xs:element name="after" type="xs:int" minOccurs="0"/>
    <xs:element name="limit" type="xs:int"/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:element name="ListPeopleResponse"><xs:complexType><xs:sequence><xs:element name="people"><xs:complexType><xs:sequence>
    <xs:element name="person" minOccurs="0" maxOccurs="unbounded"><xs:complexType><xs:sequence>
      <xs:element name="number" type="xs:int"/><xs:element name="name" type="xs:string"/>
      <xs:element name="amount" type="xs:decimal"/><xs:element name="changed_at" type="xs:dateTime"/>
    </xs:sequence></xs:complexType></xs:element>
  </xs:sequence></xs:complexType></xs:element></xs:sequence></xs:complexType></xs:element>
  <xs:element name="Add"><xs:complexType><xs:sequence>
    <xs:element name="one" type="xs:decimal"/><xs:element name="other" type="xs:decimal"/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:element name="AddResponse"><xs:complexType><xs:sequence>
    <xs:element name="sum" type="xs:decimal"/><xs:element name="at" type="xs:dateTime" minOccurs="0"/>
    <xs:element name="raw" type="xs:base64Binary" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:schema>"""


def wsdl(address: str, *, schema: str = '<xs:include schemaLocation="?xsd=1"/>', prolog: str = "") -> str:
    """Of a service with ListPeople and Add; its types stand in a document of their own."""
    operations = ("ListPeople", "Add")
    messages = "".join(
        f'<w:message name="{name}"><w:part name="parameters" element="t:{name}"/></w:message>'
        for operation in operations
        for name in (operation, f"{operation}Response")
    )
    ports = "".join(
        f'<w:operation name="{o}"><w:input message="t:{o}"/><w:output message="t:{o}Response"/></w:operation>' for o in operations
    )
    body = '<s:body use="literal"/>'
    bindings = "".join(
        f'<w:operation name="{o}"><s:operation soapAction="urn:people#{o}"/>'
        f"<w:input>{body}</w:input><w:output>{body}</w:output></w:operation>"
        for o in operations
    )
    return f"""<?xml version="1.0"?>{prolog}<w:definitions targetNamespace="urn:people" xmlns:t="urn:people"
      xmlns:w="http://schemas.xmlsoap.org/wsdl/" xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/">
      <w:types><xs:schema targetNamespace="urn:people" xmlns:xs="http://www.w3.org/2001/XMLSchema">{schema}</xs:schema></w:types>
      {messages}<w:portType name="P">{ports}</w:portType>
      <w:binding name="B" type="t:P"><s:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>{bindings}</w:binding>
      <w:service name="People"><w:port name="Port" binding="t:B"><s:address location="{address}"/></w:port></w:service>
    </w:definitions>"""


def enveloped(content: str) -> str:
    return f'<?xml version="1.0"?><e:Envelope xmlns:e="{ENVELOPE}"><e:Body>{content}</e:Body></e:Envelope>'


def fault(code: str, text: str, detail: str = "") -> str:
    return enveloped(f"<e:Fault><faultcode>{code}</faultcode><faultstring>{text}</faultstring>{detail}</e:Fault>")


class PeopleService:
    """ListPeople in the order of change and number, behind basic authentication; `needs_login` may be switched off."""

    def __init__(self) -> None:
        self.people: dict[int, Person] = {}

    async def describe(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != LOGIN:
            raise web.HTTPUnauthorized(text="who are you?")
        text = XSD if "xsd" in request.query else wsdl(str(request.url.with_query(None)))
        return web.Response(text=text, content_type="text/xml")

    async def serve(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != LOGIN:
            raise web.HTTPUnauthorized(text="who are you?")
        body = fromstring(await request.read()).find(f"{{{ENVELOPE}}}Body")
        assert body is not None
        if not len(body):
            return web.Response(text=fault("e:Client", "an empty body"), status=500, content_type="text/xml")
        given = {part.tag.rpartition("}")[2]: part.text or "" for part in body[0]}
        mark = (given.get("since", ""), int(given.get("after", 0)))
        found = sorted((p for p in self.people.values() if (p.changed_at, p.number) > mark), key=lambda p: (p.changed_at, p.number))
        records = "".join(
            f"<person><number>{p.number}</number><name>{escape(p.name)}</name><amount>{p.amount}</amount>"
            f"<changed_at>{p.changed_at}</changed_at></person>"
            for p in found[: int(given["limit"])]
        )
        answer = f'<ListPeopleResponse xmlns="urn:people"><people>{records}</people></ListPeopleResponse>'
        return web.Response(text=enveloped(answer), content_type="text/xml")


class PeopleHarness:
    adapter = ADAPTER
    missing: Dataset | None

    def __init__(self, service: PeopleService, url: str) -> None:
        self._service = service
        options = {"result": "people.person", "since_argument": "since", "after_argument": "after", "size_argument": "limit"}
        self.dataset = people("ListPeople", options=options)
        self.missing = people("no_such_operation", options=options)
        self.settings = self._settings(url, "long-password")
        self.wrong_password = self._settings(url, "wrong-password")
        self.unreachable = self._settings(f"http://127.0.0.1:{free_port()}/", "long-password")

    @staticmethod
    def _settings(url: str, password: str) -> SoapSettings:
        return SoapSettings(wsdl=f"{url}/people?wsdl", user="reader", password=Secret(password))

    async def put(self, people: Sequence[Person]) -> None:
        self._service.people.update({person.number: person for person in people})

    def decode(self, payloads: Sequence[Payload]) -> list[Person]:
        return decode_rows(self.dataset, payloads)


@asynccontextmanager
async def serving(application: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def harness() -> AsyncIterator[PeopleHarness]:
    service = PeopleService()
    application = web.Application()
    application.router.add_get("/people", service.describe)
    application.router.add_post("/people", service.serve)
    async with serving(application) as url:
        yield PeopleHarness(service, url)


@pytest.mark.req("0.46")
class TestPeople(ConnectionSuite, SourceSuite):
    """The whole conformance suite of a source."""


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(handler: Handler, description: Handler | None = None, **settings: Any) -> AsyncIterator[SoapConnection]:
    """A connection to a service whose every call is answered by `handler`."""

    async def describe(request: web.Request) -> web.Response:
        return web.Response(
            text=XSD if "xsd" in request.query else wsdl(str(request.url.with_query(None))), content_type="text/xml"
        )

    application = web.Application()
    application.router.add_get("/s", description or describe)
    application.router.add_post("/s", handler)
    async with serving(application) as url:
        connection = SoapConnection(SoapSettings(wsdl=f"{url}/s?wsdl", **settings))
        try:
            yield connection
        finally:
            await connection.close()


def says(text: str | bytes, status: int = 200, content_type: str = "text/xml; charset=utf-8") -> Handler:
    async def answer(request: web.Request) -> web.Response:
        body = text if isinstance(text, bytes) else text.encode()
        return web.Response(body=body, status=status, headers={"Content-Type": content_type})

    return answer


async def add(connection: SoapConnection) -> Any:
    return await connection.call("Add", {"one": "1.10", "other": 2})


async def test_call_gives_json_safe_values_typed_by_the_wsdl() -> None:
    answer = "<sum>3.10</sum><at>2024-05-10T08:00:00+08:00</at><raw>AAH/</raw>"
    async with answering(says(enveloped(f'<AddResponse xmlns="urn:people">{answer}</AddResponse>'))) as connection:
        assert await add(connection) == {"sum": "3.10", "at": "2024-05-10T08:00:00+08:00", "raw": "AAH/"}
        with pytest.raises(NotFound, match="'Multiply'; the WSDL has: Add, ListPeople"):
            await connection.call("Multiply", {})
        for wrong in ({"one": 1}, {"one": 1, "other": 1, "third": 1}, {"_soapheaders": 1}):
            with pytest.raises(InvalidInput, match="operation Add"):
                await connection.call("Add", wrong)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (fault("e:Client", "points must be a number"), InvalidInput),
        (fault("soap:Client", "no member has the id M404"), NotFound),
        (fault("e:Client", "wrong", "<detail><NoSuchMember/></detail>"), NotFound),
        (fault("e:Client.NotFound", "wrong"), NotFound),
        (fault("e:Server", "no such table"), Unavailable),
        (fault("wsse:FailedAuthentication", "who?"), Unauthenticated),
        (fault("e:MustUnderstand", "a header"), InvalidInput),
        (
            '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"><e:Body><e:Fault><e:Code><e:Value>e:Sender</e:Value>'
            "<e:Subcode><e:Value>m:UnknownMember</e:Value></e:Subcode></e:Code><e:Reason><e:Text>wrong</e:Text></e:Reason>"
            "</e:Fault></e:Body></e:Envelope>",
            NotFound,
        ),
    ],
)
@pytest.mark.parametrize("status", [200, 500])
async def test_faults_become_our_errors(answer: str, kind: type[PlatformError], status: int) -> None:
    async with answering(says(answer, status)) as connection:
        with pytest.raises(PlatformError, match="operation Add: ") as caught:
            await add(connection)
        assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("answer", "status", "kind", "message"),
    [
        ("<html>down for maintenance</html>", 200, Unavailable, "not SOAP"),
        ("<html>down for maintenance</html>", 503, Unavailable, "HTTP 503"),
        ("out of order", 500, Unavailable, "out of order"),
        ("no", 403, PlatformError, "HTTP 403"),
        (enveloped('<AddResponse xmlns="urn:people"><sum>1</sum>')[:150], 200, Unavailable, "not SOAP"),
        ('<!DOCTYPE e [<!ENTITY a "b">]>' + enveloped("&a;").partition("?>")[2], 200, Unavailable, "document type"),
        (enveloped('<Other xmlns="urn:else"/>'), 200, Unavailable, "does not fit the WSDL"),
    ],
)
async def test_broken_answers(answer: str, status: int, kind: type[PlatformError], message: str) -> None:
    async with answering(says(answer, status)) as connection:
        with pytest.raises(kind, match=message):
            await add(connection)


async def test_an_empty_answer_of_a_one_way_call_is_empty() -> None:
    async with answering(says("", 202)) as connection:
        assert await add(connection) == {}


@pytest.mark.req("0.28")
@pytest.mark.parametrize(
    ("encoding", "content_type"), [("GBK", "text/xml"), ("utf-8", "text/xml; charset=gb2312"), ("UTF-16", "text/xml")]
)
async def test_answers_in_other_encodings_are_read(encoding: str, content_type: str) -> None:
    sent = "gb18030" if "gb" in (encoding + content_type).lower() else encoding
    nil = '<changed_at xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:nil="true"/>'
    person = f"<person><number>1</number><name>张三</name><amount></amount>{nil}</person>"
    text = enveloped(f'<ListPeopleResponse xmlns="urn:people"><people>{person}</people></ListPeopleResponse>')
    body = text.replace('version="1.0"', f'version="1.0" encoding="{encoding}"').encode(sent)
    if encoding == "UTF-16":
        content_type = "text/xml; charset=utf-16"
    async with answering(says(body, content_type=content_type)) as connection:
        dataset = people("ListPeople", options={"result": "people.person", "arguments": {"limit": 5}})
        (transaction,) = await read_transactions(connection, dataset)
    payload: Any = transaction.payload
    assert payload.rows == [["1", "张三", None, None]]


async def test_values_that_do_not_fit_the_wsdl_come_as_they_are() -> None:
    person = "<person><number>many</number><name> a </name><amount>1,5</amount><changed_at>yesterday</changed_at></person>"
    answer = enveloped(f'<ListPeopleResponse xmlns="urn:people"><people>{person}</people></ListPeopleResponse>')
    async with answering(says(answer)) as connection:
        dataset = people("ListPeople", options={"result": "people.person", "arguments": {"limit": 5}})
        (transaction,) = await read_transactions(connection, dataset)
    payload: Any = transaction.payload
    assert payload.rows == [["many", " a ", "1,5", "yesterday"]]


async def test_xml_notations_of_dates_and_bytes_are_translated_and_structures_kept() -> None:
    record = '<r id="7"><day>2024-05-10+08:00</day><raw>AAH/</raw><bad>!</bad><tag>a</tag><tag>b</tag><in><x>1</x></in></r>'
    async with answering(says(enveloped(f"<Any>{record}{record}</Any>"))) as connection:
        fields: dict[str, Any] = {
            "id": Field(source="@id"),
            "day": "date",
            "raw": "binary",
            "bad": "binary",
            "tags": Field(type="json", source="tag"),
            "x": Field(type="integer", source="in.x"),
        }
        dataset = Dataset(object="Add", key=("id",), fields=fields, options={"result": "r", "arguments": {"one": 1, "other": 2}})
        (transaction,) = await read_transactions(connection, dataset)
    payload: Any = transaction.payload
    assert payload.rows == [["7", "2024-05-10", b"\x00\x01\xff", "!", ["a", "b"], "1"]] * 2


async def test_an_answer_larger_than_the_bound_is_refused_and_a_large_one_read() -> None:
    person = "<person><number>1</number><name>x</name><amount>1</amount><changed_at>2024-05-10T08:00:00</changed_at></person>"
    answer = enveloped(f'<ListPeopleResponse xmlns="urn:people"><people>{person * 5000}</people></ListPeopleResponse>')
    dataset = people("ListPeople", options={"result": "people.person", "arguments": {"limit": 5}})
    async with answering(says(answer)) as connection:
        found = await read_transactions(connection, dataset, batch_rows=2000)
        sizes = [len(transaction.payload.rows) for transaction in found]  # type: ignore[union-attr]
        assert sizes == [2000, 2000, 1000]
        called = await connection.call("ListPeople", {"limit": 1})
        assert len(called["people"]["person"]) == 5000
    async with answering(says(answer), max_body_bytes=100_000) as connection:
        with pytest.raises(Unavailable, match="larger than 100000 bytes"):
            await read_transactions(connection, dataset)


async def test_an_answer_nested_without_end_is_refused() -> None:
    nested = "<a>" * 5000 + "</a>" * 5000
    async with answering(says(enveloped(f'<ListPeopleResponse xmlns="urn:people">{nested}</ListPeopleResponse>'))) as connection:
        with pytest.raises(Unavailable, match="nested deeper than 100"):
            await read_transactions(connection, people("ListPeople", options={"result": "a", "arguments": {"limit": 5}}))
        with pytest.raises(Unavailable, match="does not fit the WSDL"):
            await connection.call("ListPeople", {"limit": 1})


async def test_slow_and_broken_services() -> None:
    is_over = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        await is_over.wait()
        return web.Response()

    async def breaks_off(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with answering(slow, timeout_s=1.0) as connection:
        await connection._described()  # the WSDL itself comes in time
        with pytest.raises(DeadlineExceeded):
            await add(connection)
        is_over.set()
    async with answering(breaks_off) as connection:
        with pytest.raises(Unavailable, match="broke off"):
            await add(connection)
        await connection.close()
        with pytest.raises(NotConnected):
            await add(connection)


@pytest.mark.parametrize(
    ("description", "kind", "message"),
    [
        (
            wsdl("http://127.0.0.1/", schema='<xs:include schemaLocation="http://localhost/x.xsd"/>'),
            Unavailable,
            "not on its own host",
        ),
        (wsdl("http://127.0.0.1/", schema='<xs:include schemaLocation="file:///etc/passwd"/>'), Unavailable, "not on its own host"),
        (wsdl("http://127.0.0.1/", prolog='<!DOCTYPE w [<!ENTITY a SYSTEM "file:///etc/passwd">]>'), Unavailable, "without a DTD"),
        (wsdl("http://other.example/"), InvalidInput, "on another host .*endpoint"),
        ("<html/>", Unavailable, "can't be read|no service"),
        ("not xml", Unavailable, "not well-formed"),
    ],
)
async def test_descriptions_that_are_refused(description: str, kind: type[PlatformError], message: str) -> None:
    async def describe(request: web.Request) -> web.Response:
        return web.Response(text=XSD if "xsd" in request.query else description, content_type="text/xml")

    async with answering(says(""), describe) as connection:
        with pytest.raises(kind, match=message):
            await add(connection)


async def test_an_endless_chain_of_schemas_is_stopped() -> None:
    async def describe(request: web.Request) -> web.Response:
        number = int(request.query.get("xsd", 0))
        text = (
            f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema"><xs:include schemaLocation="?xsd={number + 1}"/></xs:schema>'
        )
        return web.Response(text=text if number else wsdl("http://127.0.0.1/"), content_type="text/xml")

    async with answering(says(""), describe) as connection:
        with pytest.raises(Unavailable, match=r"larger than 100 documents|can't be read"):
            await add(connection)


async def test_service_endpoint_and_port_can_be_chosen() -> None:
    answer = says(enveloped('<AddResponse xmlns="urn:people"><sum>3</sum></AddResponse>'))
    async with answering(answer, service="People", port="Other") as connection:
        with pytest.raises(NotFound, match=r"no service 'People' with a port 'Other'; it has \{'People': \['Port'\]\}"):
            await add(connection)
    async with answering(answer) as good:
        wanted = SoapSettings(wsdl=good._settings.wsdl, endpoint=good._settings.wsdl.replace("127.0.0.1", "localhost"))
        connection = SoapConnection(wanted)
        assert await add(connection) == {"sum": "3", "at": None, "raw": None}
        await connection.close()


PHP_FIELDS: dict[str, Any] = {
    "member_id": Field(source="memberId"),
    "name": "text",
    "points": "integer",
    "updated_at": Field(type="datetime", source="updatedAt"),
}


@pytest.mark.servers
@pytest.mark.req("0.46")
@pytest.mark.parametrize("port", ["MembersSoap", "MembersSoap12"])
async def test_php_soap_server_is_read_by_offset_and_called(php_soap_server: PHPSOAPServer, port: str) -> None:
    connection = SoapConnection(SoapSettings(wsdl=php_soap_server.wsdl_url, port=port))
    await connection.check()
    options = {"result": "member", "offset_argument": "offset", "size_argument": "limit", "since_argument": "updatedSince"}
    dataset = Dataset(object="ListMembers", key=("member_id",), fields=PHP_FIELDS, cursor="updated_at", options=options)
    found = await read_transactions(connection, dataset, batch_rows=10)
    rows = [tuple(row) for transaction in found for row in transaction.payload.rows]  # type: ignore[union-attr]
    assert rows == [(m["memberId"], m["name"], str(m["points"]), m["updatedAt"]) for m in seeded_members()]
    assert found[-1].cursor == {"since": "2024-05-25T08:00:00+08:00"}
    assert await read_transactions(connection, dataset, found[-1].cursor) == []
    assert await connection.call("PutMember", {"member": {"memberId": "M0003", "name": "改名"}}) == {"created": False}
    answer = await connection.call("GetMember", {"memberId": "M0003"})
    assert answer["member"]["name"] == "改名"
    assert answer["member"]["points"] == 30
    with pytest.raises(NotFound, match="there is no member M404"):
        await connection.call("GetMember", {"memberId": "M404"})
    with pytest.raises(InvalidInput, match="limit 1 to 100"):
        await connection.call("ListMembers", {"offset": 0, "limit": 1000})
    await connection.close()


@pytest.mark.servers
async def test_php_soap_server_comes_back_after_a_kill(php_soap_server: PHPSOAPServer) -> None:
    connection = SoapConnection(SoapSettings(wsdl=php_soap_server.wsdl_url))
    await connection.check()
    php_soap_server.kill()
    with pytest.raises(NotConnected):
        await connection.call("GetMember", {"memberId": "M0001"})
    php_soap_server.start()
    assert (await connection.call("GetMember", {"memberId": "M0001"}))["member"]["name"] == "会员1"
    await connection.close()


@pytest.fixture
def member_database() -> Iterator[sqlite3.Connection]:
    """The store of the member system with twelve members, four of each moment."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        database.executescript(SCHEMA)
        for n in range(12):
            row = [f"M{n:02d}", f"会员{n}", *([""] * 6), "银卡", n * 10, 0, "2024-05-01", "正常", f"2024-05-10 08:0{n // 4}:00.000"]
            database.execute(f"INSERT INTO member VALUES ({', '.join('?' * 14)})", row)
        yield database


async def test_the_estates_member_system(member_database: sqlite3.Connection) -> None:
    async with serving(member_application(member_database, user="zhiyun", password="secret-word")) as url:
        settings: dict[str, Any] = {"wsdl": f"{url}{PATH}?wsdl", "user": "zhiyun"}
        stranger = SoapConnection(SoapSettings(**settings, password=Secret("wrong-word")))
        with pytest.raises(Unauthenticated):
            await stranger.check()
        await stranger.close()
        connection = SoapConnection(SoapSettings(**settings, password=Secret("secret-word")))
        await connection.check()
        options = {"result": "member", "since_argument": "updatedSince", "after_argument": "afterId", "size_argument": "pageSize"}
        dataset = Dataset(object="ListMembers", key=("member_id",), fields=PHP_FIELDS, cursor="updated_at", options=options)
        found = await read_transactions(connection, dataset, batch_rows=5)
        ids = [row[0] for transaction in found for row in transaction.payload.rows]  # type: ignore[union-attr]
        assert ids == [f"M{n:02d}" for n in range(12)]
        assert found[-1].cursor == {"since": "2024-05-10T08:02:00.000Z", "after": "M11"}
        member_database.execute("UPDATE member SET points = 77, updated_at = '2024-05-10 08:03:00.000' WHERE member_id = 'M00'")
        (news,) = await read_transactions(connection, dataset, found[-1].cursor)
        assert [row[:3] for row in news.payload.rows] == [["M00", "会员0", "77"]]  # type: ignore[union-attr]
        assert await connection.call("GetMemberPoints", {"memberId": "M00"}) == {"points": 77, "level": "银卡", "expiring": 0}
        with pytest.raises(NotFound, match="no member has the id"):
            await connection.call("GetMemberPoints", {"memberId": "M99"})
        await connection.close()
