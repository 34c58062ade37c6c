"""Content-Digest: RFC 9530's own examples, and what is no digest of the body."""

import pytest

from core.errors import Unauthenticated
from gateway.access.digest import body_of, check_content_digest
from gateway.http1.message import made_request
from tests.gateway.signing import digest

BODY = b'{"hello": "world"}'
SHA512 = "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:"  # RFC 9421 B.2
SHA256 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"  # RFC 9530 §B


@pytest.mark.parametrize(
    "field", [SHA256, SHA512, f"{SHA256}, {SHA512}", f"md5=:AA==:,{SHA256}", f"{SHA256};q=1", f"unixsum=:AA==:, {SHA512}"]
)
def test_digests_of_the_body_pass(field: str) -> None:
    check_content_digest(field, BODY)


def test_of_an_empty_body_too() -> None:
    check_content_digest(digest(b""), b"")


@pytest.mark.parametrize(
    "field",
    [
        "",
        "sha-256",
        "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
        'sha-256="X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="',
        "sha-256=()",
        "sha-256=(:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:)",
        "SHA-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
        SHA256.replace("X4", "X5"),
        SHA256.replace("PE=", "PF="),
        f"{SHA256}, sha-512=:AA==:",
        f"{SHA256}, {SHA256}",
        "md5=:AA==:",
        "sha=:AA==:",
        SHA256 + ",",
        SHA512.replace("sha-512", "sha-256"),
    ],
)
def test_others_are_refused(field: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        check_content_digest(field, BODY)
    assert refused.value.specific_code == "digest_mismatch"


def test_a_body_that_was_not_read_is_no_empty_body() -> None:
    request = made_request("POST", "/", body=b"x")
    assert body_of(request) == b"x"
    request.content = None
    with pytest.raises(RuntimeError, match="not read"):
        body_of(request)
    request.body_length = 0
    assert body_of(request) == b""
