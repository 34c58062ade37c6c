"""The transforming stages over real sockets: what an upstream is sent and what a client gets, on one route with all of them."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import aiohttp
import msgspec
import pytest

from config import policies
from config.policies import OwnStage
from gateway.http1.engine import Patience
from gateway.identity import Identity
from gateway.own_stages import load_own_stages, with_own_stages
from gateway.stage import Outcome, Request, Stage
from gateway.stages import validate
from gateway.stages.compress import Compress
from gateway.stages.cors import Cors
from gateway.stages.fields import Fields
from gateway.stages.transform import Transform
from gateway.views import View
from tests.gateway.rig import Rig, rigged, serve_requests

SHOP = "https://shop.example"
RECORD = {"id": "K1", "name": "李小明", "mobile": "13812348000", "note": "x" * 3000}
ENVELOPE = b"<E:Envelope xmlns:E='urn:e'><E:Body><p:Answer xmlns:p='urn:p'><p:points>42</p:points></p:Answer></E:Body></E:Envelope>"


class Known:
    """Stands for authentication and the router: the app is what a header says, the last segment is a parameter."""

    name = "authenticate"

    def on_request(self, request: Request) -> Outcome:
        request.identity = Identity(request.headers.get("x-app", "other"), "ak_1")
        request.parameters = {"id": unquote(request.path.rpartition("/")[2])}
        return None


class Upstream:
    """Answers by the last segment of the path; keeps what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[bytes, bytes]] = []
        record = msgspec.json.encode(RECORD)
        self.answers: dict[bytes, tuple[bytes, list[bytes]]] = {
            b"record": (b'Content-Type: application/json\r\nETag: "1"\r\nCache-Control: public\r\n', [record]),
            b"pieces": (b"Content-Type: text/csv\r\nAccess-Control-Allow-Origin: *\r\n", [b"a;b\n" * 500] * 8),
            b"html": (b"Content-Type: text/html\r\n", [b"<p>13812348000"]),
            b"large": (b"Content-Type: application/json\r\n", [b'"' + b"x" * 9000 + b'"']),
            b"soap": (b"Content-Type: text/xml\r\n", [ENVELOPE]),
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def answer(head: bytes, body: bytes) -> bool:
            self.seen.append((head, body))
            path = head.split(b" ")[1].partition(b"?")[0]
            fields, pieces = self.answers.get(path.rpartition(b"/")[2], self.answers[b"record"])
            if len(pieces) == 1:
                writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(pieces[0]), pieces[0]))
                return True
            writer.write(b"HTTP/1.1 200 OK\r\n" + fields + b"Transfer-Encoding: chunked\r\n\r\n")
            for piece in pieces:
                writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            return True

        await serve_requests(reader, writer, answer)


GRANT = {"fields": ["id", "name", "mobile"], "masks": {"mobile": {"middle": 4}, "name": {"keep_first": 1}}, "max_bytes": 5000}
SCHEMA = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}}},
}


def stages(**transform: Any) -> tuple[Stage, ...]:
    """All of them in the gateway's order."""
    made: list[Stage] = [
        Cors(policies.Cors(origins=(SHOP,))),
        Compress(policies.Compress()),
        Known(),
        Fields({"clerk": View(msgspec.convert(GRANT, policies.Grant))}, "route"),
        validate.make(policies.Validate(schema=SCHEMA, max_body_bytes=20_000), "route shop.check"),
    ]
    if transform:
        made.append(Transform(msgspec.convert(transform, policies.Transform), "route shop.transform"))
    return tuple(made)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with rigged(Patience(body_s=2.0, write_s=2.0)) as made:
        yield made


@pytest.fixture
async def upstream(rig: Rig) -> Upstream:
    up = Upstream()
    await rig.upstream(up.serve)
    rig.route("crm", stages())
    return up


@pytest.fixture
async def client(rig: Rig) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{rig.port}", auto_decompress=False) as session:
        yield session


async def test_a_preflight_and_a_problem_reach_the_page(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    preflight = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    async with client.options("/crm/record", headers=preflight) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (204, SHOP)
    async with client.post("/crm/record", headers={"Origin": SHOP}, json={"items": [{}, {"price": "x"}]}) as answer:
        problem = await answer.json(content_type=None)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (422, SHOP)
        assert (problem["code"], problem["detail"]) == ("body_invalid", 'body.items[1].price: "x" is not of type "number"')
    async with client.get("/crm/pieces", headers={"Origin": SHOP}) as answer:
        assert answer.headers.getall("Access-Control-Allow-Origin") == [SHOP]  # not the upstream's `*` as well
        assert answer.headers.getall("Vary") == ["Accept-Encoding", "Origin"]
    assert len(upstream.seen) == 1


async def test_a_passing_answer_is_compressed(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    for path in ("/crm/pieces", "/crm/record"):
        async with client.get(path, headers={"Accept-Encoding": "gzip"}) as answer:
            body = await answer.read()
            assert answer.headers["Content-Encoding"] == "gzip"
            assert gzip.decompress(body) == b"".join(upstream.answers[path.encode().rpartition(b"/")[2]][1])
        async with client.get(path, headers={"Accept-Encoding": "identity"}) as answer:
            assert "Content-Encoding" not in answer.headers
            assert await answer.read() == gzip.decompress(body)
    async with client.get("/crm/record", headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.headers["ETag"] == 'W/"1"'


@pytest.mark.req("2.24")
async def test_a_route_is_masked_by_the_callers_grant(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    clerk = {"X-App": "clerk", "Accept-Encoding": "gzip", "Range": "bytes=0-5"}
    async with client.get("/crm/record", headers=clerk) as answer:
        body = await answer.read()
        assert msgspec.json.decode(body) == {"id": "K1", "name": "李**", "mobile": "138****8000"}
        assert (answer.headers["Cache-Control"], answer.headers["Content-Length"]) == ("private, no-cache", str(len(body)))
    head = upstream.seen[-1][0].lower()
    assert b"\r\naccept-encoding: identity\r\n" in head
    assert b"range" not in head
    async with client.get("/crm/record", headers={"X-App": "other", "Accept-Encoding": "identity"}) as answer:
        assert msgspec.json.decode(await answer.read()) == RECORD
    for path, status, code in (
        ("/crm/html", 502, "upstream_malformed"),
        ("/crm/large", 502, "answer_too_large"),
        ("/crm/record?mobile=13812348000", 403, "field_forbidden"),
    ):
        async with client.get(path, headers={"X-App": "clerk"}) as answer:
            problem = await answer.read()
            assert (answer.status, msgspec.json.decode(problem)["code"]) == (status, code)
            assert b"13812348000" not in problem
    async with client.head("/crm/record", headers=clerk) as answer:
        assert (answer.status, await answer.read()) == (200, b"")


async def test_a_body_is_bounded_and_goes_on_as_it_was_checked(client: aiohttp.ClientSession, upstream: Upstream) -> None:
    kind = {"Content-Type": "application/json"}
    async with client.post("/crm/record", headers=kind, data=b'{"items": 1, "items": []}') as answer:
        assert answer.status == 200
    head, body = upstream.seen[-1]
    assert body == b'{"items":[]}'
    assert head.lower().count(b"content-length: 12\r\n") == 1
    assert head.lower().count(b"content-type") == 1
    async with client.post("/crm/record", headers=kind, data=b'{"a": "%b"}' % (b"x" * 30_000)) as answer:
        assert answer.status == 413
    assert len(upstream.seen) == 1


async def test_a_soap_upstream_behind_json(rig: Rig, client: aiohttp.ClientSession, upstream: Upstream) -> None:
    made = stages(
        xml="upstream",
        xml_root="soap:Envelope",
        xml_prefixes="strip",
        path="/ws/soap",
        request_headers={"set": {"Content-Type": "text/xml; charset=utf-8", "SOAPAction": '"urn:p#Get"'}, "remove": ["X-App"]},
        request_body={"@xmlns:soap": "urn:e", "soap:Body": {"Get": {"member": "{body.member}", "app": "{app}"}}},
        answer_body={"member": "{path.id}", "points": "{body.Body.Answer.points}"},
    )
    rig.route("points", made)
    async with client.post("/points/M1", json={"member": "<M&1>"}, headers={"X-App": "other"}) as answer:
        assert (answer.status, await answer.read()) == (200, b'{"member":"M1","points":"42"}')
    head, body = upstream.seen[-1]
    assert head.startswith(b"POST /ws/soap HTTP/1.1\r\n")
    assert b'\r\nSOAPAction: "urn:p#Get"\r\n' in head
    assert b"x-app" not in head.lower()
    assert body.endswith(b"<soap:Body><Get><member>&lt;M&amp;1&gt;</member><app>other</app></Get></soap:Body></soap:Envelope>")


@pytest.mark.parametrize(
    "evil", ["%0D%0AX-Evil:%201", "a%0Ab", "%E2%80%A8x", "a%00b", "..%3Bx", "%3Fadmin=1%26x", "%23x", "%C2%85"]
)
async def test_nothing_in_a_path_becomes_a_line_a_parameter_or_a_segment(
    rig: Rig, client: aiohttp.ClientSession, upstream: Upstream, evil: str
) -> None:
    made = stages(path="/api/{path.id}/x", query_set={"id": "{path.id}"}, request_headers={"set": {"X-Id": "<{path.id}>"}})
    rig.route("evil", made)
    data = await rig.exchange(f"GET /evil/{evil} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert data.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
    for head, _ in upstream.seen:
        lines = head.split(b"\r\n")
        target = lines[0].split(b" ")
        assert len(target) == 3
        assert (target[1].count(b"/"), target[1].count(b"?"), target[1].count(b"&"), target[1].count(b"=")) == (3, 1, 0, 1)
        assert len([line for line in lines if line.startswith(b"X-Id: <")]) == 1
        assert not any(line.lower().startswith(b"x-evil") for line in lines)
        assert b"\n" not in head.replace(b"\r\n", b"")


async def test_a_stage_of_ones_own_stands_among_them(rig: Rig, client: aiohttp.ClientSession, upstream: Upstream) -> None:
    own = load_own_stages([OwnStage("examples.stage_example", {"max_items": 2})], "route orders")
    rig.route("orders", tuple(with_own_stages(stages(), own)))
    async with client.post("/orders/record", headers={"X-Customer": "7"}, json={"items": []}) as answer:
        assert (answer.status, answer.headers["X-Served"], answer.headers["X-Order-Desk"]) == (200, "7", "open")
    assert b"\r\nX-Checked-By: order-desk\r\n" in upstream.seen[-1][0]
    async with client.post("/orders/record", json={"items": []}) as answer:
        assert (answer.status, "X-Customer" in await answer.text()) == (400, True)
    async with client.get("/orders/hours") as answer:
        assert await answer.read() == b"9-17\n"
    assert len(upstream.seen) == 1
