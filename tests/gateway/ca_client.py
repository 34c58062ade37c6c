"""The client's side of the X-Ca signature, for tests: made from the origin's published rules, sharing no code with the verifier."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from urllib.parse import quote_plus

from gateway.http1.message import Request, made_request
from tests.gateway.signing import KEY, NOW, SECRET

FORM = "application/x-www-form-urlencoded; charset=UTF-8"
SIGNED = ("X-Ca-Key", "X-Ca-Nonce", "X-Ca-Timestamp")
Parameters = Sequence[tuple[str, str]]


def ca_request(
    method: str = "GET",
    path: str = "/v1/customers",
    query: Parameters = (),
    form: Parameters = (),
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    secret: str = SECRET,
    key: str = KEY,
    nonce: str = "n-1",
    at: float = NOW,
    signed: Sequence[str] = SIGNED,
    text: str | None = None,
) -> Request:
    """A request as a client of the origin signs and sends it; `text` replaces what is signed."""
    fields = {
        "X-Ca-Key": key,
        "X-Ca-Nonce": nonce,
        "X-Ca-Timestamp": str(int(at * 1000)),
        "Accept": "application/json",
        **(headers or {}),
    }
    if form:
        fields.setdefault("Content-Type", FORM)
        body = encoded(form).encode()
    elif body:
        fields.setdefault("Content-Type", "application/json")
        fields.setdefault("Content-MD5", base64.b64encode(hashlib.md5(body).digest()).decode())
    to_sign = text if text is not None else text_of(method, path, query, form, fields, signed)
    fields["X-Ca-Signature-Headers"] = ",".join(signed)
    fields["X-Ca-Signature"] = base64.b64encode(hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).digest()).decode()
    return made_request(method, path + (f"?{encoded(query)}" if query else ""), headers=fields, body=body)


def text_of(method: str, path: str, query: Parameters, form: Parameters, fields: Mapping[str, str], signed: Sequence[str]) -> str:
    """HTTPMethod, Accept, Content-MD5, Content-Type, Date, Headers, Url, as the origin's documentation puts them."""
    text = method.upper() + "\n"
    for name in ("Accept", "Content-MD5", "Content-Type", "Date"):
        text += fields.get(name, "") + "\n"
    for name in sorted(signed):
        text += name + ":" + fields.get(name, "") + "\n"
    text += path
    parameters = sorted({**dict(query), **dict(form)}.items())
    for place, (name, value) in enumerate(parameters):
        text += ("&" if place else "?") + (f"{name}={value}" if value else name)
    return text


def encoded(parameters: Parameters) -> str:
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in parameters)
