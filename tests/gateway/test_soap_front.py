"""The SOAP face over a real desk: the JSON face's rights, limits, masks and errors; whatever is hostile is refused as a fault."""

from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml.ElementTree import fromstring
from lxml import etree

from core.supervise import Tasks
from gateway.soap.versions import SOAP11, SOAP12, XSD, Version
from gateway.stage import Response
from tests.gateway.desk import Desk, document, header, open_desk

NS = "urn:zhiyun:service:customers"
KEY = "<key><customer_id>K1</customer_id></key>"


def message(payload: str, version: Version = SOAP11, head: str = "") -> bytes:
    return f'<e:Envelope xmlns:e="{version.envelope}">{head}<e:Body>{payload}</e:Body></e:Envelope>'.encode()


def asked(operation: str, inside: str) -> str:
    return f'<{operation} xmlns="{NS}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{inside}</{operation}>'


async def send(desk: Desk, body: bytes, version: Version = SOAP11, **more: Any) -> Response:
    headers = {"Content-Type": f"{version.media}; charset=utf-8", **more.pop("headers", {})}
    return await desk.ask("POST", "/soap/customers", headers=headers, body=body, **more)


def texts(response: Response) -> dict[str, str | None]:
    root: Element = fromstring(response.body)
    return {each.tag.rpartition("}")[2]: each.text for each in root.iter()}


async def code(desk: Desk, body: bytes, version: Version = SOAP11, **more: Any) -> str | None:
    response = await send(desk, body, version, **more)
    assert response.status >= 400
    assert (header(response, "Content-Type") or "").startswith(version.media)
    return texts(response).get("code")


@pytest.mark.req("0.46")
@pytest.mark.parametrize("version", [SOAP11, SOAP12])
async def test_answers_are_valid_by_the_schema_that_is_given_out(desk: Desk, version: Version) -> None:
    described = await desk.ask("GET", "/soap/customers?wsdl")
    inline = etree.fromstring(described.body).find(f".//{{{XSD}}}schema[@targetNamespace='{NS}']")
    assert inline is not None
    schema = etree.XMLSchema(inline)
    write = "<idempotency_key>k{}</idempotency_key>"
    calls = [
        asked("get", KEY),
        asked("query", "<filters><channel>web</channel></filters><limit>2</limit>"),
        asked("changes", "<since>0</since>"),
        asked("update", write.format(1) + KEY + '<record><name>&lt;新&gt;</name><score xsi:nil="true"/></record>'),
        asked("create", write.format(2) + "<record><customer_id>K9</customer_id><tags>[1,{}]</tags></record>"),
        asked("delete", write.format(3) + KEY),
    ]
    for call in calls:
        schema.assertValid(etree.fromstring(call))
        answer = await send(desk, message(call, version), version)
        assert answer.status == 200, answer.body
        schema.assertValid(etree.fromstring(answer.body)[0][0])
    assert (await desk.ask("GET", "/v1/customers/K1")).status == 404
    assert (await desk.ask("GET", "/v1/customers/K9")).status == 200


HOSTILE = {
    "xxe": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + message(asked("get", KEY.replace("K1", "&a;"))),
    "laughs": b'<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>' + message(asked("get", "&b;")),
    "utf16": ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x>' + message("").decode()).encode("utf-16"),
    "deep": message("<a>" * 200 + "</a>" * 200),
    "wide": message("<a>" + "<b/>" * 30_000 + "</a>"),
    "instruction": message("<?php x?>" + asked("get", KEY)),
    "cut": message(asked("get", KEY))[:-9],
    "nothing": b"",
    "bytes": b"\xff\xfe\x00",
    "two bodies": message(asked("get", KEY) * 2),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_xml_is_a_fault(desk: Desk, name: str) -> None:
    headers = {"Content-Type": "text/xml"} if name == "utf16" else {}
    answer = await send(desk, HOSTILE[name], headers=headers)
    assert (answer.status, texts(answer)["code"]) == (500, "soap_malformed")
    assert b"root:" not in answer.body


WRONG = {
    asked("get", KEY.replace("K1", "nobody")): "not_found",
    asked("get", ""): "invalid_input",
    asked("get", KEY + KEY): "invalid_input",
    asked("get", "<key xmlns='urn:x'/>"): "invalid_input",
    asked("get", KEY + "<more/>"): "invalid_input",
    asked("query", "<limit>many</limit>"): "invalid_input",
    asked("query", "<limit>51</limit>"): "invalid_input",
    asked("query", "<filters><score>1</score></filters>"): "invalid_input",
    asked("drop", ""): "operation_unknown",
    asked("get", KEY).replace(NS, "urn:other"): "operation_unknown",
    asked("delete", "<idempotency_key></idempotency_key>" + KEY): "idempotency_key_required",
    asked("delete", '<idempotency_key>k</idempotency_key><if_match>"0"</if_match>' + KEY): "etag_mismatch",
}


@pytest.mark.parametrize("payload", WRONG)
async def test_what_the_contract_does_not_have_is_refused(desk: Desk, payload: str) -> None:
    assert await code(desk, message(payload, SOAP12), SOAP12) == WRONG[payload]


async def test_versions_headers_types_and_actions(desk: Desk) -> None:
    good = message(asked("get", KEY))
    plain = await send(desk, good, headers={"Content-Type": "application/json"})
    assert (plain.status, texts(plain)["code"]) == (415, "unsupported_media_type")
    assert await code(desk, good, SOAP12) == "unsupported_media_type"
    assert await code(desk, good.replace(SOAP11.envelope.encode(), b"urn:soap3")) == "soap_version_mismatch"
    assert await code(desk, good, headers={"SOAPAction": f'"{NS}:delete"'}) == "soap_action_mismatch"
    assert (await send(desk, good, headers={"SOAPAction": f'"{NS}:get"'})).status == 200
    for version, more, is_refused in (
        (SOAP11, "", True), (SOAP12, "", True), (SOAP11, 'e:actor="urn:other"', False), (SOAP12, 'e:role="urn:other"', False),
    ):  # fmt: skip
        head = f'<e:Header><s:Security xmlns:s="urn:s" e:mustUnderstand="1" {more}/></e:Header>'
        answer = await send(desk, message(asked("get", KEY), version, head), version)
        assert (b"MustUnderstand" in answer.body, answer.status) == (is_refused, 500 if is_refused else 200)
        assert (b"NotUnderstood" in answer.body) == (is_refused and version is SOAP12)


async def test_rights_and_limits_are_those_of_the_json_face(desk: Desk) -> None:
    good = message(asked("get", KEY))
    unknown = await send(desk, good, app=None)
    assert (unknown.status, texts(unknown)["code"]) == (401, "token_missing")
    assert header(unknown, "WWW-Authenticate")
    assert await code(desk, good, app="off") == "app_disabled"
    assert await code(desk, message(asked("delete", "<idempotency_key>k</idempotency_key>" + KEY)), app="reader") == "scope_missing"
    assert (await desk.ask("GET", "/soap/customers?wsdl", app=None)).status == 401
    found = [await send(desk, body, app="slow") for body in (good, b"<no", good)]
    assert [answer.status for answer in found] == [200, 500, 429]
    assert header(found[0], "RateLimit")
    assert header(found[2], "Retry-After")


async def test_a_service_whose_answer_has_no_type_says_so(desk: Desk) -> None:
    answer = await desk.ask("POST", "/soap/points", headers={"Content-Type": "text/xml"}, body=message("<x/>"))
    assert (answer.status, texts(answer)["code"]) == (500, "no_soap_face")
    assert (await desk.ask("GET", "/soap/points?wsdl")).status == 404


async def test_masks_hold_and_a_masked_number_is_nil(tmp_path: Path) -> None:
    declared = document()
    declared["apps"]["shop"]["grants"] = {
        "customers": {"fields": ["customer_id", "name", "score"], "masks": {"name": {"keep_first": 1}, "score": {}}}
    }
    tasks = Tasks(lambda task, error: None)
    async with open_desk(tmp_path / "desk", tasks=tasks, declared=declared) as desk:
        answer = await send(desk, message(asked("get", KEY)))
        assert "<name>客**</name>".encode() in answer.body
        assert b'<score xsi:nil="true"/>' in answer.body
        assert b"channel" not in answer.body
    await tasks.close()
