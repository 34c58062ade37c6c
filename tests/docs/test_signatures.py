"""docs/signatures.md: the programs that it shows sign requests which pass."""

import re
import time
from typing import Any
from urllib.parse import urlencode

import pytest

from cache.replays_memory import MemoryReplays
from gateway.access.ca import CaMeans
from gateway.access.signature import SignatureMeans
from gateway.http1.message import made_request
from gateway.identity import Identity
from tests.gateway.signing import KEY, SECRET, snapshot
from tools.source_tree import ROOT

PAGE = (ROOT / "docs/signatures.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shown() -> dict[str, Any]:
    """What the page's programs define."""
    names: dict[str, Any] = {}
    for program in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(program, names)
    return names


@pytest.mark.parametrize(
    ("method", "query", "body"), [("GET", "", b""), ("GET", "limit=2", b""), ("POST", "a=1&b=%E5%8F%B7", b'{"n": 1}')]
)
def test_the_signer_of_rfc_9421(shown: dict[str, Any], method: str, query: str, body: bytes) -> None:
    fields = shown["sign"](method, "gateway:8080", "/v1/customers", query, body, KEY, SECRET)
    request = made_request(
        method, f"/v1/customers?{query}" if query else "/v1/customers", headers={"host": "gateway:8080", **fields}, body=body
    )
    means = SignatureMeans(snapshot(), MemoryReplays(), time.time)
    assert means.identify(request) == Identity("shop", KEY, means="signature")


@pytest.mark.parametrize(
    ("method", "parameters", "body"), [("GET", {}, b""), ("GET", {"b": "号", "a": ""}, b""), ("POST", {"v": "1"}, b"{}")]
)
def test_the_signer_of_x_ca(shown: dict[str, Any], method: str, parameters: dict[str, str], body: bytes) -> None:
    fields = shown["sign_ca"](method, "/v1/customers", parameters, body, KEY, SECRET)
    target = "/v1/customers" + (f"?{urlencode(parameters)}" if parameters else "")
    means = CaMeans(snapshot(), MemoryReplays(), time.time)
    assert means.identify(made_request(method, target, headers=fields, body=body)) == Identity("shop", KEY, means="ca")
