"""Content-Digest (RFC 9530 §2): that the body is the one which was signed. The whole body is at hand: nothing is streamed here."""

import hashlib
from base64 import b64encode

from core.errors import Unauthenticated
from gateway.access import structured
from gateway.stage import Request

_HASHES = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}  # the others of the registry are insecure (RFC 9530 §5)


def body_of(request: Request) -> bytes:
    """The whole body, which the authenticate stage has read because the means said `needs_body`."""
    if request.content is not None:
        return request.content
    if request.body_length == 0:
        return b""
    raise RuntimeError("the body takes part in the proof and was not read before identify()")


def check_content_digest(field: str, body: bytes) -> None:
    """Raises Unauthenticated (digest_mismatch) unless the field has a digest that we know, and all that we know are the body's."""
    if field == f"sha-256=:{b64encode(hashlib.sha256(body).digest()).decode()}:":
        return
    try:
        members = structured.dictionary(field)
    except ValueError as error:
        raise Unauthenticated(f"Content-Digest can't be understood (RFC 9530): {error}", code="digest_mismatch") from error
    known = [(member, _HASHES[name]) for name, member in members.items() if name in _HASHES]
    if not known:
        raise Unauthenticated("Content-Digest must have a sha-256 or sha-512 digest", code="digest_mismatch")
    if any(member[0] != make(body).digest() for member, make in known):
        raise Unauthenticated("Content-Digest is not the digest of the body that arrived", code="digest_mismatch")
