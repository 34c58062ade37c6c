"""Packing: what is packed is unpacked, and what is no envelope is told."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.packing import pack, unpack
from core.bus import Envelope

_text = st.text(max_size=40)


@given(
    st.builds(
        Envelope, _text, _text, _text, st.integers(0, 2**53), _text, st.integers(0, 2**31), _text, st.binary(max_size=200), _text
    )
)
def test_an_envelope_comes_back(envelope: Envelope) -> None:
    assert unpack(pack(envelope)) == envelope


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\xa1a\xa1b\xa1c", msgspec.msgpack.encode([1] * 9)])
def test_other_bytes_are_told(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        unpack(body)
