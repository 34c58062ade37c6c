"""The SOAP face as SOAP's own clients see it: zeep in strict mode and PHP's SoapClient load the WSDL from a node and call it."""

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import zeep
from zeep.exceptions import Fault
from zeep.helpers import serialize_object

from tests.servers.process import find_program
from tests.system.node import Node, count, eventually

PORTS = ("Soap11", "Soap12")
_PHP = r"""
$header = 'Authorization: ' . getenv('SOAP_AUTHORIZATION');
$client = new SoapClient($argv[1], [
    'soap_version' => (int) $argv[2],
    'stream_context' => stream_context_create(['http' => ['header' => $header]]),
    'cache_wsdl' => WSDL_CACHE_NONE,
    'trace' => true,
]);
$found = $client->get(['key' => ['customer_id' => $argv[3]]]);
try {
    $client->get(['key' => ['customer_id' => 'nobody']]);
    $fault = null;
} catch (SoapFault $error) {
    $fault = ['reason' => $error->getMessage(), 'code' => $error->detail->problem->code];
}
$sent = $client->__getLastRequest();
echo json_encode(['record' => $found->record, 'etag' => $found->etag, 'fault' => $fault, 'sent' => $sent]);
"""


@pytest.fixture(scope="module")
def app(own_node: Node) -> Iterator[httpx.Client]:
    """The sample's app, once there are customers."""
    with own_node.app() as client:
        eventually("customers are there", lambda: count(client, "customers") > 100)
        yield client


def _zeep(node: Node, app: httpx.Client, port: str) -> Any:
    """zeep's proxy of one port, from the WSDL that the node gives out."""
    transport = zeep.Transport(timeout=20, operation_timeout=20)
    transport.session.headers["Authorization"] = app.headers["Authorization"]
    client = zeep.Client(
        f"http://{node.settings.http}/soap/customers?wsdl", transport=transport, settings=zeep.Settings(strict=True)
    )
    return client.bind("customers", port)


def _customer(app: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = app.get("/v1/customers", params={"limit": 1}).json()["data"][0]
    return found


@pytest.mark.req("0.46")
@pytest.mark.parametrize("port", PORTS)
def test_zeep_reads_and_writes_what_json_does(own_node: Node, app: httpx.Client, port: str) -> None:
    service, customer = _zeep(own_node, app, port), _customer(app)
    key = {"customer_id": customer["customer_id"]}
    answer = service.get(key=key)
    assert answer.etag == app.get(f"/v1/customers/{customer['customer_id']}").headers["ETag"]
    record = serialize_object(answer.record, dict)
    texts = {name: value for name, value in customer.items() if isinstance(record.get(name), str)}
    assert set(record) >= set(customer)
    assert {name: record[name] for name in texts} == texts
    assert len(texts) >= 3
    page = service.query(limit=7)
    assert [each.customer_id for each in page.record] == [
        each["customer_id"] for each in app.get("/v1/customers", params={"limit": 7}).json()["data"]
    ]
    assert service.query(limit=7, cursor=page.next_cursor).record[0].customer_id != page.record[0].customer_id
    status, sent = f"回访 <&> {uuid4().hex[:6]}", uuid4().hex
    first, again = (service.update(idempotency_key=sent, key=key, record={"status": status}) for _ in range(2))
    assert first.record.status == status
    assert serialize_object(first, dict) == serialize_object(again, dict), "sent twice, done once"
    assert app.get(f"/v1/customers/{customer['customer_id']}").json()["status"] == status
    since = 0
    seen = service.changes(since=since)
    while seen.change and seen.last_version > since:
        since, last = seen.last_version, seen
        seen = service.changes(since=since, wait_s=0)
    assert last.last_version == since


@pytest.mark.parametrize("port", PORTS)
def test_zeep_gets_faults_with_the_platforms_codes(own_node: Node, app: httpx.Client, port: str) -> None:
    service = _zeep(own_node, app, port)
    with pytest.raises(Fault) as refused:
        service.get(key={"customer_id": "nobody"})
    told = {each.tag.rpartition("}")[2]: each.text for each in refused.value.detail.iter()}
    assert (told["code"], told["status"]) == ("not_found", "404")
    assert told["request_id"]
    stranger = _zeep(own_node, app, port)
    stranger._client.transport.session.headers["Authorization"] = "Bearer none"
    with pytest.raises(Fault) as unknown:
        stranger.get(key={"customer_id": "nobody"})
    assert "token" in {each.tag.rpartition("}")[2]: each.text for each in unknown.value.detail.iter()}["code"]


@pytest.mark.parametrize(
    ("number", "envelope"), [("1", "schemas.xmlsoap.org/soap/envelope"), ("2", "www.w3.org/2003/05/soap-envelope")]
)
def test_php(own_node: Node, app: httpx.Client, number: str, envelope: str) -> None:
    customer = _customer(app)["customer_id"]
    wsdl = f"http://{own_node.settings.http}/soap/customers?wsdl"
    php = find_program("php", "php-cli")
    ran = subprocess.run(
        [php, "-d", "default_socket_timeout=20", "-r", _PHP, wsdl, number, customer],
        env={**os.environ, "SOAP_AUTHORIZATION": str(app.headers["Authorization"])},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(ran.stdout)
    there = app.get(f"/v1/customers/{customer}")
    assert found["record"]["customer_id"] == customer
    assert found["record"]["name"] == there.json()["name"]
    assert found["etag"] == there.headers["ETag"]
    assert found["fault"]["code"] == "not_found"
    assert envelope in found["sent"]


def test_what_is_hostile_is_refused_over_the_wire_and_the_node_goes_on(own_node: Node, app: httpx.Client) -> None:
    laughs = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "' + "&a;" * 1000 + '">]><x>' + "&b;" * 1000 + "</x>"
    headers = {"Content-Type": "text/xml; charset=utf-8"}
    for body in (laughs, '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>', "<x>" * 100_000):
        answer = app.post("/soap/customers", content=body.encode(), headers=headers)
        assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (500, "text/xml"), answer.text
        assert "soap_malformed" in answer.text
        assert "root:" not in answer.text
    assert app.post("/soap/customers", content=b"<x>" + b" " * 5_000_000, headers=headers).status_code == 413
    assert app.get("/soap/customers?wsdl", headers={"Authorization": "Bearer none"}).status_code == 401
    assert app.get("/soap/member-points?wsdl").json()["code"] == "no_soap_face"
    assert app.get("/v1/customers", params={"limit": 1}).status_code == 200
