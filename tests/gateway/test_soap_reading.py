"""Whatever bytes a stranger sends as SOAP: an envelope or the one refusal, within the bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInput
from gateway.soap.reading import MAX_DEPTH, MAX_NODES, Node, envelope, parsed
from gateway.soap.versions import SOAP11, SOAP12

_BODY = '<a xmlns="urn:a">甲 &amp; 乙</a>'
GOOD = f'<?xml version="1.0"?><e:Envelope xmlns:e="{SOAP11.envelope}"><e:Header/><e:Body>{_BODY}</e:Body></e:Envelope>'
REFUSALS = {"soap_malformed", "soap_version_mismatch", "unsupported_media_type", "must_understand"}


def _read(data: bytes, charset: str = "") -> Node | str | None:
    """The payload, or the code of the refusal."""
    try:
        return envelope(parsed(data, charset), SOAP11).payload
    except InvalidInput as error:
        return error.specific_code


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    assert _read(data) in REFUSALS


@given(st.integers(0, len(GOOD.encode())), st.binary(max_size=6), st.sampled_from(["", "utf-8", "gbk", "utf-16", "x"]))
def test_a_good_envelope_with_something_else_in_it(at: int, extra: bytes, charset: str) -> None:
    good = GOOD.encode()
    found = _read(good[:at] + extra + good[at + len(extra) :], charset)
    assert isinstance(found, Node) or found in REFUSALS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gb18030"])
def test_charsets(encoding: str) -> None:
    found = _read(GOOD.encode(encoding), encoding)
    assert isinstance(found, Node)
    assert (found.name, found.text) == ("{urn:a}a", "甲 & 乙")


def test_bounds() -> None:
    inner = MAX_DEPTH - 2  # the envelope and its body are two of them
    for depth, expected in ((inner, None), (inner + 1, "soap_malformed")):
        found = _read(GOOD.replace("甲 &amp; 乙", "<b>" * (depth - 1) + "</b>" * (depth - 1)).encode())
        assert (found if isinstance(found, str) else None) == expected
    assert _read(GOOD.replace("甲", "<b/>" * MAX_NODES).encode()) == "soap_malformed"
    with pytest.raises(InvalidInput) as other:
        envelope(parsed(GOOD.encode()), SOAP12)
    assert other.value.specific_code == "unsupported_media_type"
