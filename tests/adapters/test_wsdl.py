"""Contracts made from documents in memory; the wire is proved in `test_soap`."""

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import pytest
from lxml import etree

from adapters.wsdl import Contract, json_safe
from core.errors import InvalidInput, NotFound, Unavailable

URL = "http://members.example/service?wsdl"
WSDL = """<w:definitions targetNamespace="urn:m" xmlns:t="urn:m" xmlns:w="http://schemas.xmlsoap.org/wsdl/"
    xmlns:s="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:x="http://www.w3.org/2001/XMLSchema">
  <w:message name="AddIn"><w:part name="one" type="x:decimal"/><w:part name="day" type="x:date"/></w:message>
  <w:message name="AddOut"><w:part name="sum" type="x:decimal"/></w:message>
  <w:portType name="P"><w:operation name="Add"><w:input message="t:AddIn"/><w:output message="t:AddOut"/></w:operation></w:portType>
  <w:binding name="B" type="t:P"><s:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
    <w:operation name="Add"><s:operation soapAction="urn:m#Add"/>
      <w:input><s:body use="literal" namespace="urn:m"/></w:input><w:output><s:body use="literal" namespace="urn:m"/></w:output>
    </w:operation></w:binding>
  <w:service name="S"><w:port name="Port" binding="t:B"><s:address location="http://members.example/service"/></w:port></w:service>
</w:definitions>"""


def fetching(text: str) -> Callable[[str], bytes]:
    return lambda url: text.encode()


def contract(text: str = WSDL, **choice: Any) -> Contract:
    return Contract(URL, fetching(text), **{"service": None, "port": None, **choice})


def test_an_rpc_call_is_built_and_its_answer_read() -> None:
    made = contract()
    assert made.operations == ["Add"]
    assert made.address == "http://members.example/service"
    content, headers = made.request("Add", {"one": "1.50", "day": "2024-05-10"})
    assert headers["SOAPAction"] == '"urn:m#Add"'
    call = etree.fromstring(content)[0][0]
    assert call.tag == "{urn:m}Add"
    assert [(part.tag, part.text) for part in call] == [("one", "1.50"), ("day", "2024-05-10")]
    body = '<m:AddResponse xmlns:m="urn:m"><sum>2.50</sum></m:AddResponse>'
    answer = f'<e:Envelope xmlns:e="{made.namespace}"><e:Body>{body}</e:Body></e:Envelope>'
    assert made.answer("Add", answer.encode()) == {"sum": "2.50"}


def test_what_does_not_fit_is_said() -> None:
    made = contract()
    with pytest.raises(NotFound, match="'Sub'; the WSDL has: Add"):
        made.request("Sub", {})
    with pytest.raises(InvalidInput, match="operation Add: the arguments do not fit"):
        made.request("Add", {"two": 2})
    with pytest.raises(NotFound, match="no service 'X'"):
        contract(service="X")
    with pytest.raises(Unavailable, match="can't be read"):
        contract(WSDL.replace('type="t:P"', 'type="t:Q"'))
    with pytest.raises(Unavailable, match="larger than 100 documents"):
        contract(WSDL + " " * 17_000_000)


def test_values_become_json_safe() -> None:
    element = etree.fromstring("<a><b>1</b></a>")
    values = [
        Decimal("1E+3"),
        datetime(2024, 5, 10, 8),
        date(2024, 5, 10),
        time(8),
        b"\x00",
        element,
        float("inf"),
        1.5,
        True,
        None,
    ]
    found = json_safe({"list": values, "inner": {"x": (1, "y")}})
    assert found == {
        "list": ["1000", "2024-05-10T08:00:00", "2024-05-10", "08:00:00", "AA==", "<a><b>1</b></a>", "inf", 1.5, True, None],
        "inner": {"x": [1, "y"]},
    }
