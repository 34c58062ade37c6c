"""Envelopes as bytes: a msgpack array of the envelope's fields in their order."""

import msgspec

from core.bus import Envelope

_decoder = msgspec.msgpack.Decoder(Envelope)
_encoder = msgspec.msgpack.Encoder()


def pack(envelope: Envelope) -> bytes:
    return _encoder.encode(envelope)


def unpack(body: bytes) -> Envelope:
    """Raises msgspec.DecodeError (or its ValidationError) when `body` is no envelope."""
    return _decoder.decode(body)
