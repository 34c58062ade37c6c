"""The member system, called by zeep over its WSDL and by hand-made envelopes."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
import zeep
from aiohttp.test_utils import TestServer

from examples.estate.member_soap import PATH, member_application


@pytest.fixture
async def server(generated: Path) -> AsyncIterator[TestServer]:
    with closing(sqlite3.connect(generated / "member.db", isolation_level=None)) as database:
        running = TestServer(member_application(database, user="u", password="p"))
        async with running:
            yield running


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.auth = ("u", "p")
        yield session


async def client(server: TestServer, session: requests.Session) -> Any:
    """The proxy of zeep, made in a thread because zeep blocks while the server runs in this loop."""
    wsdl = str(server.make_url(PATH)) + "?wsdl"
    made = await in_thread(lambda: zeep.Client(wsdl, transport=zeep.Transport(session=session)))
    return made.service


async def in_thread(work: Any) -> Any:
    return await asyncio.to_thread(work)


@pytest.mark.req("0.46")
async def test_zeep_pages_through_all_members_in_a_stable_order(server: TestServer, session: requests.Session) -> None:
    service = await client(server, session)
    seen, since, after, more = [], None, None, True
    while more:
        page = await in_thread(lambda since=since, after=after: service.ListMembers(updatedSince=since, afterId=after, pageSize=90))
        seen += [(member.updatedAt, member.memberId) for member in page.member]
        (since, after), more = seen[-1], page.more
    assert len(seen) == 375
    assert seen == sorted(seen)
    assert len({member_id for _, member_id in seen}) == 375
    recent = datetime(2024, 1, 1, tzinfo=UTC)
    newer = await in_thread(lambda: service.ListMembers(updatedSince=recent, pageSize=500))
    assert [member.memberId for member in newer.member] == [member_id for at, member_id in seen if at >= recent]


async def test_zeep_reads_points_and_gets_a_client_fault_for_a_stranger(server: TestServer, session: requests.Session) -> None:
    service = await client(server, session)
    points = await in_thread(lambda: service.GetMemberPoints("M00000003"))
    page = await in_thread(lambda: service.ListMembers(pageSize=500))
    member = next(member for member in page.member if member.memberId == "M00000003")
    assert (points.points, points.level, points.expiring) == (member.points, member.level, member.expiring)
    with pytest.raises(zeep.exceptions.Fault, match="no member has the id 'nobody'") as caught:
        await in_thread(lambda: service.GetMemberPoints("nobody"))
    assert caught.value.code == "soap:Client"


async def post(server: TestServer, body: str, password: str = "p") -> tuple[int, str]:
    async with (
        aiohttp.ClientSession(headers={"Authorization": aiohttp.encode_basic_auth("u", password)}) as session,
        session.post(server.make_url(PATH), data=body.encode()) as response,
    ):
        return response.status, await response.text()


def envelope(content: str, namespace: str = "http://schemas.xmlsoap.org/soap/envelope/") -> str:
    return f'<e:Envelope xmlns:e="{namespace}"><e:Body>{content}</e:Body></e:Envelope>'


async def test_a_wrong_password_is_401_and_the_wsdl_is_open(server: TestServer) -> None:
    status, text = await post(server, envelope(""), password="wrong")
    assert (status, text) == (401, "wrong or missing user and password\n")
    async with aiohttp.ClientSession() as session, session.get(str(server.make_url(PATH)) + "?wsdl") as response:
        assert response.status == 200
        assert f'location="{server.make_url(PATH)}"' in await response.text()


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("not xml", "Client"),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + envelope("&a;"), "Client"),
        (envelope("", "http://www.w3.org/2003/05/soap-envelope"), "VersionMismatch"),
        (envelope(""), "Client"),
        (envelope('<m:Drop xmlns:m="urn:example:member"/>'), "Client"),
        (envelope('<m:ListMembers xmlns:m="urn:other"/>'), "Client"),
        (envelope('<m:ListMembers xmlns:m="urn:example:member"><m:pageSize>0</m:pageSize></m:ListMembers>'), "Client"),
        (
            envelope('<m:ListMembers xmlns:m="urn:example:member"><m:updatedSince>x</m:updatedSince></m:ListMembers>'),
            "Client",
        ),
        (envelope('<m:GetMemberPoints xmlns:m="urn:example:member"/>'), "Client"),
    ],
)
async def test_what_is_wrong_comes_back_as_a_fault(server: TestServer, body: str, fault: str) -> None:
    status, text = await post(server, body)
    assert status == 500
    assert f"<faultcode>soap:{fault}</faultcode>" in text


async def test_an_envelope_that_is_too_large_is_refused(server: TestServer) -> None:
    status, _ = await post(server, envelope("x" * 70_000))
    assert status == 413
