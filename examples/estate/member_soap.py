"""The member system's front: SOAP 1.1 over HTTP with basic authentication, and its WSDL at `?wsdl`."""

import base64
import hmac
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from string import Template
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from aiohttp import web
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring
from lxml import etree

from examples.estate.member import ClientFault, Members

ENVELOPE: Final = "http://schemas.xmlsoap.org/soap/envelope/"
MEMBER: Final = "urn:example:member"
PATH: Final = "/services/MemberService"
MAX_BYTES: Final = 64 * 1024


def member_application(database: sqlite3.Connection, *, user: str, password: str) -> web.Application:
    """The service at `PATH`. `database` stays the caller's to close."""
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    members = Members(database)
    wsdl = Template(Path(__file__).with_name("member.wsdl").read_text(encoding="utf-8"))

    async def describe(request: web.Request) -> web.Response:
        if "wsdl" not in {name.lower() for name in request.query}:
            raise web.HTTPNotFound(text="the service takes POST; its description is at ?wsdl\n")
        return web.Response(text=wsdl.substitute(address=request.url.with_query(None)), content_type="text/xml")

    async def serve(request: web.Request) -> web.Response:
        if not hmac.compare_digest(request.headers.get("Authorization", "").encode(), expected.encode()):
            headers = {"WWW-Authenticate": 'Basic realm="member"'}
            raise web.HTTPUnauthorized(text="wrong or missing user and password\n", headers=headers)
        try:
            return _xml(_answer(members, await request.read()), 200)
        except ClientFault as fault:
            return _xml(_fault("Client", str(fault)), 500)
        except VersionMismatchError as fault:
            return _xml(_fault("VersionMismatch", str(fault)), 500)

    application = web.Application(client_max_size=MAX_BYTES)
    application.router.add_get(PATH, describe)
    application.router.add_post(PATH, serve)
    return application


class VersionMismatchError(Exception):
    """The envelope is not SOAP 1.1's (SOAP 1.1, section 4.4.1)."""


def _answer(members: Members, body: bytes) -> etree._Element:
    operation, arguments = _call(body)
    if operation == "ListMembers":
        found, more = members.list_members(arguments)
        groups = [("member", fields) for fields in found]
        return _response("ListMembersResponse", groups, [("more", "true" if more else "false")])
    if operation == "GetMemberPoints":
        return _response("GetMemberPointsResponse", [], members.points(arguments))
    raise ClientFault(f"there is no operation {operation[:60]!r}; there are ListMembers and GetMemberPoints")


def _call(body: bytes) -> tuple[str, Mapping[str, str]]:
    """The operation's name and its arguments as text, out of an envelope that a stranger sent."""
    try:
        envelope: Element = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise ClientFault(f"the request is not well-formed XML without a DTD: {type(error).__name__}") from None
    if envelope.tag != f"{{{ENVELOPE}}}Envelope":
        raise VersionMismatchError(f"the root must be Envelope of {ENVELOPE}")
    content = envelope.find(f"{{{ENVELOPE}}}Body")
    if content is None or len(content) != 1:
        raise ClientFault("the envelope needs a Body with exactly one element")
    namespace, _, operation = content[0].tag.rpartition("}")
    if namespace != "{" + MEMBER:
        raise ClientFault(f"the operation must be in the namespace {MEMBER}")
    return operation, {element.tag.rpartition("}")[2]: element.text or "" for element in content[0]}


def _response(name: str, groups: list[tuple[str, list[tuple[str, str]]]], fields: list[tuple[str, str]]) -> etree._Element:
    envelope, body = _envelope()
    response = etree.SubElement(body, f"{{{MEMBER}}}{name}", nsmap={"m": MEMBER})
    for group, members in groups:
        element = etree.SubElement(response, f"{{{MEMBER}}}{group}")
        for field, text in members:
            etree.SubElement(element, f"{{{MEMBER}}}{field}").text = text
    for field, text in fields:
        etree.SubElement(response, f"{{{MEMBER}}}{field}").text = text
    return envelope


def _fault(code: str, reason: str) -> etree._Element:
    envelope, body = _envelope()
    fault = etree.SubElement(body, f"{{{ENVELOPE}}}Fault")
    # SOAP 1.1, section 4.4: faultcode and faultstring have no namespace, the code's prefix has.
    etree.SubElement(fault, "faultcode").text = f"soap:{code}"
    etree.SubElement(fault, "faultstring").text = "".join(c if c.isprintable() else "?" for c in reason)
    return envelope


def _envelope() -> tuple[etree._Element, etree._Element]:
    envelope = etree.Element(f"{{{ENVELOPE}}}Envelope", nsmap={"soap": ENVELOPE})
    return envelope, etree.SubElement(envelope, f"{{{ENVELOPE}}}Body")


def _xml(envelope: etree._Element, status: int) -> web.Response:
    body = etree.tostring(envelope, xml_declaration=True, encoding="UTF-8")
    return web.Response(body=body, status=status, content_type="text/xml", charset="utf-8")
